"""The network that tells an expert's pairs from a policy's, with its gradient in closed form."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from reward_models.encoders import seeded
from reward_models.errors import UserError

LEAK, HEAD_GAIN = 0.1, 0.01


class Layers(NamedTuple):
    """Weights as they are used, spectral normalisation included; fetched once, used often."""

    first: Tensor
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor
    head: Tensor
    head_bias: Tensor


@final
class Discriminator(nn.Module):
    """Linear - LeakyReLU(0.1), twice, then a linear head: rows ``[N, D]`` to logits ``[N]``.

    The gradient with respect to a row is a product of matrices, because the network is linear
    around it: ``W1^T diag(m1) W2^T diag(m2) w``, with the slopes ``m`` of 0.1 or 1. It is computed
    like that, as a function of the weights that can be differentiated once more, which costs half
    of what differentiating twice does.

    Weights are orthogonal, those of the head with the gain 0.01; biases are zero. Spectral
    normalisation is on the two hidden layers only. Its power iteration advances with
    ``layers(advance=True)`` alone, however often the network is evaluated and in whatever mode.

    Args:
        input_size: D.
        hidden_size: of both hidden layers.
        spectral: whether the hidden layers are divided by their largest singular value.
        seed: of the weights.

    Raises:
        UserError: no hidden units.
    """

    def __init__(
        self, *, input_size: int, hidden_size: int = 100, spectral: bool = True, seed: int = 0
    ) -> None:
        super().__init__()
        if hidden_size < 1:
            raise UserError(f"hidden_size must be at least 1, got {hidden_size}.")
        with seeded(seed):
            self.first = nn.Linear(input_size, hidden_size)
            self.second = nn.Linear(hidden_size, hidden_size)
            self.head = nn.Linear(hidden_size, 1)
            gain = nn.init.calculate_gain("leaky_relu", LEAK)
            for layer, scale in ((self.first, gain), (self.second, gain), (self.head, HEAD_GAIN)):
                nn.init.orthogonal_(layer.weight, scale)
                nn.init.zeros_(layer.bias)
            if spectral:
                spectral_norm(self.first)
                spectral_norm(self.second)
        self.eval()

    def train(self, mode: bool = True) -> Discriminator:
        """Stay in evaluation mode: only learning may advance the spectral normalisation."""
        return super().train(False)

    def layers(self, *, advance: bool = False) -> Layers:
        """Return the weights as they are used.

        Args:
            advance: do a step of the power iteration first; for learning.
        """
        if advance:
            super().train(True)
        try:
            return Layers(
                self.first.weight, self.first.bias, self.second.weight, self.second.bias,
                self.head.weight.squeeze(0), self.head.bias,
            )  # fmt: skip
        finally:
            if advance:
                super().train(False)

    def forward(self, rows: Float[Tensor, "N D"], layers: Layers | None = None) -> Tensor:
        """Return the logits ``[N]``.

        Args:
            rows: the input.
            layers: of an earlier call of ``layers``; fetched when None.
        """
        w = self.layers() if layers is None else layers
        hidden = F.leaky_relu(F.linear(rows, w.first, w.first_bias), LEAK)
        hidden = F.leaky_relu(F.linear(hidden, w.second, w.second_bias), LEAK)
        return torch.addmv(w.head_bias, hidden, w.head)

    def with_gradient(
        self, rows: Float[Tensor, "N D"], layers: Layers | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the logits ``[N]`` and their gradients ``[N, D]`` with respect to the rows."""
        w = self.layers() if layers is None else layers
        before = F.linear(rows, w.first, w.first_bias)
        hidden = F.leaky_relu(before, LEAK)
        first = _slopes(before)
        before = F.linear(hidden, w.second, w.second_bias)
        hidden = F.leaky_relu(before, LEAK)
        gradient = ((_slopes(before) * w.head) @ w.second * first) @ w.first
        return torch.addmv(w.head_bias, hidden, w.head), gradient


def _slopes(before: Tensor) -> Tensor:
    return torch.where(before.detach() > 0, 1.0, LEAK)
