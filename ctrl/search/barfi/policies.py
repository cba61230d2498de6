"""Small differentiable policies: softmax and Gaussian, on features or tanh layers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor, nn

from reward_models.blend.coefficients import tanh_layers
from reward_models.blend.features import Features
from reward_models.encoders import seeded
from reward_models.errors import UserError


class Policy(nn.Module, ABC):
    """A stochastic policy whose log-probability can be differentiated twice.

    Everything is in double precision. The last layer is 0 at first: uniform actions, or the middle
    of the action space.

    Args:
        features: of the observation.
        outputs: size of the last layer.
        hidden: sizes of tanh layers; none for a policy that is linear in its features.
        seed: of the hidden layers.
    """

    def __init__(
        self, features: Features, outputs: int, *, hidden: Sequence[int] = (), seed: int = 0
    ) -> None:
        super().__init__()
        self.features = features
        with seeded(seed):
            self.trunk, size = tanh_layers(features.size, hidden)
        bias_free = features.sums_to_one and not hidden
        zeros = torch.zeros(outputs, size, dtype=torch.float64)
        self.weight = nn.Parameter(zeros)
        self.bias = None if bias_free else nn.Parameter(zeros[:, 0].clone())

    def head(self, observation: Tensor) -> Float[Tensor, "*batch O"]:
        """Return the last layer: logits, or the mean."""
        return nn.functional.linear(self.trunk(self.features(observation)), self.weight, self.bias)

    @abstractmethod
    def sample(self, observation: Tensor, generator: torch.Generator) -> Tensor:
        """Return an action for each observation, as ``evaluate`` takes them."""

    @abstractmethod
    def executed(self, action: Tensor) -> np.ndarray:
        """Return the actions as the environment takes them."""

    @abstractmethod
    def evaluate(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probability and entropy in nats, ``[...]`` each, with a graph."""


@final
class SoftmaxPolicy(Policy):
    """``pi(a | s)`` proportional to ``exp(logit_a(s))`` for ``Discrete`` actions.

    Args:
        features: of the observation.
        action_space: of one environment.
        hidden: see `Policy`.
        seed: see `Policy`.
    """

    def __init__(
        self,
        features: Features,
        *,
        action_space: spaces.Discrete,
        hidden: Sequence[int] = (),
        seed: int = 0,
    ) -> None:
        super().__init__(features, int(action_space.n), hidden=hidden, seed=seed)
        self.start = int(action_space.start)

    @torch.no_grad()
    def sample(self, observation: Tensor, generator: torch.Generator) -> Tensor:
        """Return actions counted from 0, int64 ``[B]``."""
        weights = self.head(observation).softmax(-1)
        return torch.multinomial(weights, 1, generator=generator).squeeze(-1)

    def executed(self, action: Tensor) -> np.ndarray:
        """Return the actions counted from the space's start."""
        return action.numpy() + self.start

    def evaluate(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probability and entropy."""
        logs = self.head(observation).log_softmax(-1)
        log_prob = logs.gather(-1, action.unsqueeze(-1)).squeeze(-1)
        return log_prob, -(logs.exp() * logs).sum(-1)


@final
class GaussianPolicy(Policy):
    """A normal distribution for each number of a ``Box`` action, of the same width everywhere.

    The log-probability is of what was drawn; the environment gets it clipped to the space, which
    the objective does not see.

    Args:
        features: of the observation.
        action_space: of one environment, with finite bounds.
        hidden: see `Policy`.
        deviation: first standard deviation, as a part of half the width of the space.
        seed: see `Policy`.

    Raises:
        UserError: actions without bounds, or a deviation that is not positive.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        features: Features,
        *,
        action_space: spaces.Box,
        hidden: Sequence[int] = (),
        deviation: float = 0.5,
        seed: int = 0,
    ) -> None:
        self.shape = tuple(action_space.shape)
        numbers = int(np.prod(self.shape))
        super().__init__(features, numbers, hidden=hidden, seed=seed)
        low = torch.as_tensor(action_space.low.ravel(), dtype=torch.float64)
        high = torch.as_tensor(action_space.high.ravel(), dtype=torch.float64)
        if not bool((high - low).isfinite().all()):
            raise UserError(f"A Gaussian policy needs bounded actions, got {action_space}.")
        if not 0.0 < deviation < math.inf:
            raise UserError(f"deviation must be positive and finite, got {deviation}.")
        self.register_buffer("low", low)
        self.register_buffer("high", high)
        self.log_deviation = nn.Parameter(torch.full_like(low, math.log(deviation)))

    @torch.no_grad()
    def sample(self, observation: Tensor, generator: torch.Generator) -> Tensor:
        """Return unclipped actions where the space is [-1, 1], float64 ``[B, A]``."""
        mean = self.head(observation)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
        return mean + self.log_deviation.exp() * noise

    def executed(self, action: Tensor) -> np.ndarray:
        """Return the actions, clipped and scaled to the space."""
        unit = (action.clamp(-1.0, 1.0) + 1.0) / 2.0
        scaled = self.low + unit * (self.high - self.low)
        return scaled.to(torch.float32).numpy().reshape(*action.shape[:-1], *self.shape)

    def evaluate(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probability and entropy, summed over the numbers of the action."""
        mean = self.head(observation)
        scaled = (action - mean) * (-self.log_deviation).exp()
        constant = 0.5 * math.log(2 * math.pi)
        log_prob = (-0.5 * scaled.square() - self.log_deviation - constant).sum(-1)
        entropy = (self.log_deviation + 0.5 + constant).sum().expand_as(log_prob)
        return log_prob, entropy


def make_policy(
    features: Features,
    action_space: spaces.Space,
    *,
    hidden: Sequence[int] = (),
    deviation: float = 0.5,
    seed: int = 0,
) -> Policy:
    """Return a softmax policy for ``Discrete`` actions and a Gaussian one for ``Box`` actions.

    Raises:
        UserError: actions of another kind.
    """
    if isinstance(action_space, spaces.Discrete):
        return SoftmaxPolicy(features, action_space=action_space, hidden=hidden, seed=seed)
    if isinstance(action_space, spaces.Box):
        return GaussianPolicy(
            features, action_space=action_space, hidden=hidden, deviation=deviation, seed=seed
        )
    raise UserError(f"Actions must be Discrete or Box here, got {action_space}.")
