"""Hindsight: a vector that carries the unpredictable part of an outcome, and nothing else.

A world with noise is ``x' = f(x, a, Z)`` with ``Z`` independent of ``(x, a)``. Three networks learn
that ``Z`` from what happened (Jarrett et al. 2023, section 3): a generator draws it after the fact,
a reconstructor must find the outcome again with its help, and a critic tells whether ``Z`` knows
anything about ``(x, a)``, which the generator has to avoid. With such a ``Z`` the reconstruction
error of irreducible noise vanishes, while that of unknown dynamics stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from reward_models.encoders import seeded
from reward_models.errors import UserError
from reward_models.statistics import RunningStatistics


def deep_mlp(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Return linear layers of the given widths with ReLU between them, torch's own weights."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def invariance(
    scores: Float[Tensor, "G M M"], valid: Bool[Tensor, "G M"] | None = None
) -> Float[Tensor, "G M"]:
    """Return how much the critic thinks each ``Z_i`` says about its own context, in nats.

    ``l_i = log(exp(S_ii) / mean_j exp(S_ij))``, the positive in the mean. Its expectation is a
    lower bound of the mutual information of context and ``Z``, at most ``log M``. Single values
    may be negative. Alone in its group a member has the value 0.

    Args:
        scores: ``S_ij``, context ``i`` against vector ``j``, in ``G`` groups of ``M`` members.
        valid: false for members that take no part; their value is 0. All take part when None.
    """
    own = scores.diagonal(dim1=-2, dim2=-1)
    if valid is None:
        return own - scores.logsumexp(-1) + math.log(scores.shape[-1])
    members = valid.sum(-1, keepdim=True)
    # Groups without members would give -inf, which poisons gradients even where it is not used.
    seen = valid.unsqueeze(-2) | (members == 0).unsqueeze(-1)
    total = scores.masked_fill(~seen, -torch.inf).logsumexp(-1)
    values = own - total + members.clamp_min(1).to(scores.dtype).log()
    return torch.where(valid, values, 0.0)


class Hindsight(nn.Module):
    """Generator, reconstructor and critic over contexts (belief and action side by side).

    Args:
        context_size: numbers ``C`` of a context.
        target_size: numbers ``N`` of an outcome's embedding.
        hindsight_size: numbers of ``Z``.
        noise_size: numbers of the noise ``eps ~ N(0, I)`` that the generator draws from.
        hidden: widths of the hidden layers of all three networks.
        critic_bound: scores are ``bound * tanh(s / bound)``, which keeps their exponential finite.
        seed: seed of the weights.

    Raises:
        UserError: a size below 1, or a bound that is not positive.
    """

    def __init__(
        self,
        *,
        context_size: int,
        target_size: int,
        hindsight_size: int = 8,
        noise_size: int = 8,
        hidden: Sequence[int] = (64, 64),
        critic_bound: float = 5.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, size in (
            ("hindsight_size", hindsight_size),
            ("noise_size", noise_size),
            *(("hidden", width) for width in hidden),
        ):
            if size < 1:
                raise UserError(f"{name} must be at least 1, got {size}.")
        if not hidden:
            raise UserError("hidden must name the width of at least one hidden layer.")
        if not 0.0 < critic_bound < math.inf:
            raise UserError(f"critic_bound must be positive and finite, got {critic_bound}.")
        self.noise_size, self.critic_bound = noise_size, critic_bound
        self.outcomes = RunningStatistics(shape=(target_size,))
        with seeded(seed):
            self.generator = deep_mlp(
                context_size + target_size + noise_size, hidden, hindsight_size + 2
            )
            self.reconstructor = deep_mlp(context_size + hindsight_size, hidden, target_size)
            self.critic = Critic(context_size, hindsight_size, hidden)

    def generate(
        self,
        context: Float[Tensor, "*batch C"],
        target: Float[Tensor, "*batch N"],
        noise: Float[Tensor, "*batch E"],
    ) -> Float[Tensor, "*batch Z"]:
        """Return ``Z`` in [-1, 1], drawn after the outcome is known.

        No gradient reaches context or target: the generator may not shape what it explains.
        """
        # A direction's numbers vary little beside the noise's, which would drown them for long.
        inputs = [context.detach(), self.outcomes.normalize(target.detach()), noise]
        # Without the layer norm nearly all numbers of Z end beyond 0.99, where tanh has no slope
        # and Z is a constant that can carry nothing. It fixes two numbers, which are left out.
        raw = self.generator(torch.cat(inputs, -1))
        return torch.tanh(functional.layer_norm(raw, raw.shape[-1:]))[..., :-2]

    def reconstruct(
        self, context: Float[Tensor, "*batch C"], z: Float[Tensor, "*batch Z"]
    ) -> Float[Tensor, "*batch N"]:
        """Return the outcome's embedding as predicted with hindsight, not normalised."""
        return self.reconstructor(torch.cat([context, z], -1))

    def scores(
        self, context: Float[Tensor, "G M C"], z: Float[Tensor, "G M Z"]
    ) -> Float[Tensor, "G M M"]:
        """Return the critic's ``S_ij`` of context ``i`` and vector ``j`` of the same group.

        No gradient reaches the context.
        """
        bound = self.critic_bound
        return bound * torch.tanh(self.critic(context.detach(), z) / bound)


class Critic(nn.Module):
    """All pairs of contexts and vectors of a group through one network.

    The first layer of a network of two inputs side by side is the sum of two linear maps, so it is
    computed once for each context and each vector instead of once for each pair.
    """

    def __init__(self, context_size: int, hindsight_size: int, hidden: Sequence[int]) -> None:
        super().__init__()
        first = nn.Linear(context_size + hindsight_size, hidden[0])
        self.of_context = nn.Linear(context_size, hidden[0])
        self.of_vector = nn.Linear(hindsight_size, hidden[0], bias=False)
        with torch.no_grad():
            self.of_context.weight.copy_(first.weight[:, :context_size])
            self.of_context.bias.copy_(first.bias)
            self.of_vector.weight.copy_(first.weight[:, context_size:])
        self.rest = deep_mlp(hidden[0], hidden[1:], 1)

    def forward(
        self, context: Float[Tensor, "G M C"], z: Float[Tensor, "G M Z"]
    ) -> Float[Tensor, "G M M"]:
        """Return one number for each pair: context in the rows, vector in the columns."""
        pairs = self.of_context(context).unsqueeze(-2) + self.of_vector(z).unsqueeze(-3)
        return self.rest(pairs.relu()).squeeze(-1)
