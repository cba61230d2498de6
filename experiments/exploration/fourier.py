"""Random Fourier features of a position, and any curiosity model on top of them.

Two coordinates alone say little to a network: neighbouring cells look alike, and what it learns in
one place changes its errors everywhere. Sines and cosines of random projections (Rahimi and Recht
2007) tell cells apart. In a configuration:

    reward:
      bonus: {use: "experiments/exploration/fourier.py:Fourier", model: rnd, scale: reward_std}
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any, final

import gymnasium
import torch
from jaxtyping import Float
from torch import Tensor, nn

from reward_models.base import Extras, RewardModel
from reward_models.encoders import Encoder, seeded
from reward_models.errors import UserError
from reward_models.registry import build_reward, load_reward
from reward_models.rollout import Rollout


@final
class FourierEncoder(Encoder):
    """Sine and cosine of random projections, then linear - ReLU - linear ``D``.

    ``phi(x) = W2 relu(W1 [sin(F x), cos(F x)])`` with fixed ``F_ij ~ N(0, deviation^2)`` and
    trainable layers, drawn as those of every encoder.

    Args:
        space: Box of the observation, any shape; best scaled to about [-1, 1].
        projections: number of rows of ``F``; there are twice as many features.
        deviation: of their entries: how fast the waves are.
        hidden: units between the two layers.
        size: number of features ``D``.
        seed: of the projections and the weights.
    """

    frequencies: Tensor

    def __init__(
        self,
        *,
        space: gymnasium.spaces.Box,
        projections: int = 32,
        deviation: float = 3.0,
        hidden: int = 64,
        size: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__(input_space=space, output_size=size)
        with seeded(seed):
            drawn = deviation * torch.randn(projections, math.prod(space.shape))
            self.register_buffer("frequencies", drawn)
            self.network = nn.Sequential(
                nn.Linear(2 * projections, hidden), nn.ReLU(), nn.Linear(hidden, size)
            )
            self.redraw()

    def forward(self, inputs: Tensor) -> Float[Tensor, "*batch D"]:
        """Return the features."""
        axes = len(self.input_space.shape or ())
        numbers = inputs.flatten(inputs.ndim - axes).to(torch.float32)
        waves = numbers @ self.frequencies.T
        return self.network(torch.cat([waves.sin(), waves.cos()], dim=-1))


@final
class Fourier(RewardModel):
    """A listed curiosity model whose encoder is a `FourierEncoder`; otherwise that model itself.

    Observations are not normalised unless ``settings`` say so, because the frequencies belong to
    the scale of the space.

    Args:
        observation_space: a Box.
        action_space: of one action.
        gamma: the learner's discount.
        model: name of the reward, as in a configuration.
        settings: options of the model.
        projections: see `FourierEncoder`, as for the next three.
        deviation: of the frequencies.
        hidden: units of the hidden layer.
        size: number of features.
        seed: of model and encoder.

    Raises:
        UserError: the model takes no encoder.
    """

    def __init__(
        self,
        *,
        observation_space: gymnasium.spaces.Box,
        action_space: gymnasium.Space,
        gamma: float,
        model: str,
        settings: Mapping[str, Any] | None = None,
        projections: int = 32,
        deviation: float = 3.0,
        hidden: int = 64,
        size: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        parameters = inspect.signature(load_reward(model)).parameters
        if "encoder" not in parameters:
            raise UserError(f"{model} takes no encoder, so it cannot look at Fourier features.")
        encoder = FourierEncoder(
            space=observation_space, projections=projections, deviation=deviation, hidden=hidden,
            size=size, seed=seed,
        )  # fmt: skip
        options = {"encoder": encoder, **(settings or {})}
        if "normalize_observations" in parameters:
            options.setdefault("normalize_observations", False)
        self.inner = build_reward(
            model, observation_space=observation_space, action_space=action_space, gamma=gamma,
            seed=seed, options=options,
        )  # fmt: skip
        for name in (
            "scope", "order", "preferred_scale", "requires", "task_free", "replayable",
            "goal_relabelling", "concurrent_update", "batch_dependent",
        ):  # fmt: skip
            setattr(self, name, getattr(self.inner, name))

    def forward(self, rollout: Rollout) -> Tensor | tuple[Tensor, Extras]:
        """Return the model's reward."""
        return self.inner.forward(rollout)

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Let the model learn."""
        return self.inner.update(rollout)

    def bind_discount(self, gamma: float) -> None:
        """Hand the discount on."""
        self.inner.bind_discount(gamma)
