"""State-dependent coefficients of a task reward and of auxiliary rewards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reward_models.blend.features import Features
from reward_models.encoders import seeded
from reward_models.errors import UserError


@final
class BlendCoefficients(nn.Module):
    """The coefficients ``phi`` of a behaviour-alignment reward (Gupta et al. 2023, eq. 4).

    ``r_phi(s, a) = phi_1(s) + phi_2(s) r_task(s, a) + sum_k phi_3k(s) r_aux,k(s, a)``

    ``phi(s)`` is linear in fixed features, or in the last hidden layer of a tanh network on them
    (tanh, because the outer gradient takes second derivatives). At first it is ``start`` in every
    state.

    Args:
        features: of the observation.
        auxiliary: number of auxiliary rewards ``K``, at least 1.
        hidden: sizes of hidden layers; none for a linear map.
        fixed_task: keep ``phi_2 = 1`` and learn the others.
        start: ``[phi_1, phi_2, phi_31, ..., phi_3K]`` of an untrained model; ``[0, 1, 1, ...]``,
            the naive sum, when None.
        seed: of the hidden layers.

    Attributes:
        count: number of coefficients, ``2 + K``.
        free: indices of those that are learned.
        start: see above, ``[2 + K]``.

    Raises:
        UserError: no auxiliary reward, or a start of another length or not finite.
    """

    start: Tensor

    def __init__(
        self,
        features: Features,
        *,
        auxiliary: int,
        hidden: Sequence[int] = (),
        fixed_task: bool = False,
        start: Sequence[float] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if auxiliary < 1:
            raise UserError(
                "A blend needs at least one auxiliary reward beside the task; add a reward term."
            )
        self.count = 2 + auxiliary
        values = [0.0, *[1.0] * (1 + auxiliary)] if start is None else [float(v) for v in start]
        if len(values) != self.count or not all(map(math.isfinite, values)):
            raise UserError(
                f"start must be {self.count} finite numbers, phi_1 (free), phi_2 (task) and one "
                f"for each of {auxiliary} auxiliary rewards; got {list(values)}."
            )
        if fixed_task and values[1] != 1.0:
            raise UserError(f"With fixed_task phi_2 stays 1, but start says {values[1]}.")
        self.free = [k for k in range(self.count) if not (fixed_task and k == 1)]
        self.register_buffer("start", torch.tensor(values, dtype=torch.float64))
        self.features = features
        with seeded(seed):
            self.trunk, size = tanh_layers(features.size, hidden)
        # One-hot features and tiles need no bias: their weights hold it.
        self._bias_free = features.sums_to_one and not hidden
        first = self.start[self.free]
        spread = first.unsqueeze(1).expand(-1, size) if self._bias_free else first.new_zeros(1)
        self.weight = nn.Parameter(spread.expand(len(self.free), size).clone())
        self.bias = None if self._bias_free else nn.Parameter(first.clone())

    def forward(self, observation: Tensor) -> Float[Tensor, "*batch C"]:
        """Return ``[phi_1, phi_2, phi_31, ...]`` of each observation, ``[..., 2 + K]``."""
        values = nn.functional.linear(
            self.trunk(self.features(observation)), self.weight, self.bias
        )
        if len(self.free) == self.count:
            return values
        task = torch.ones_like(values[..., :1])
        return torch.cat([values[..., :1], task, values[..., 1:]], -1)

    def offsets(self, anchor: Float[Tensor, " C"]) -> list[Tensor]:
        """Return how far the parameters are from those that give ``anchor`` in every state.

        Args:
            anchor: coefficients ``[2 + K]``.

        Returns:
            One flat tensor for every learned coefficient (its weights and bias), and one for every
            tensor of the hidden layers, whose anchor is 0.
        """
        target = anchor.to(self.weight)[self.free]
        found = []
        for k, row in enumerate(self.weight):
            if self.bias is None:
                found.append(row - target[k])
            else:
                found.append(torch.cat([row, (self.bias[k] - target[k]).reshape(1)]))
        return [*found, *(tensor.flatten() for tensor in self.trunk.parameters())]


def blended(
    coefficients: Float[Tensor, "*batch C"],
    task: Float[Tensor, "*batch"],
    auxiliary: Float[Tensor, "*batch K"],
) -> Float[Tensor, "*batch"]:
    """Return ``phi_1 + phi_2 r_task + sum_k phi_3k r_aux,k``, step by step."""
    return (
        coefficients[..., 0]
        + coefficients[..., 1] * task
        + (coefficients[..., 2:] * auxiliary).sum(-1)
    )


def tanh_layers(inputs: int, hidden: Sequence[int]) -> tuple[nn.Sequential, int]:
    """Return hidden layers with tanh, in double precision, and the size of the last one.

    Raises:
        UserError: a layer without units.
    """
    layers: list[nn.Module] = []
    for size in hidden:
        if size < 1:
            raise UserError(f"hidden layers need at least 1 unit each, got {list(hidden)}.")
        layers += [nn.Linear(inputs, size, dtype=torch.float64), nn.Tanh()]
        inputs = size
    return nn.Sequential(*layers), inputs
