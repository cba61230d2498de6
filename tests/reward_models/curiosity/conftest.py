from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.rollout import Rollout

T, B = 6, 3

OBSERVATIONS: dict[str, spaces.Space] = {
    "vector": spaces.Box(-np.inf, np.inf, (5,), np.float64),
    "image": spaces.Box(0, 255, (36, 40, 3), np.uint8),
    "small_image": spaces.Box(0, 255, (7, 7, 3), np.uint8),
    "discrete": spaces.Discrete(7, start=-2),
    "multi_discrete": spaces.MultiDiscrete([3, 4], start=[1, 0]),
    "multi_binary": spaces.MultiBinary(4),
    "dict": spaces.Dict(
        {
            "glyphs_crop": spaces.Box(0, 5976, (9, 9), np.int16),
            "blstats": spaces.Box(-(2**31), 2**31 - 1, (27,), np.int64),
            "message": spaces.Box(0, 255, (256,), np.uint8),
            "inner": spaces.Dict({"flag": spaces.Discrete(2)}),
        }
    ),
}

ACTIONS: dict[str, spaces.Space] = {
    "box": spaces.Box(-1, 1, (2,), np.float32),
    "discrete": spaces.Discrete(4, start=3),
    "multi_discrete": spaces.MultiDiscrete([2, 3]),
    "multi_binary": spaces.MultiBinary(3),
}


def _draw(space: spaces.Space, rng: np.random.Generator, size: tuple[int, ...]) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: _draw(sub, rng, size) for key, sub in space.items()}
    if isinstance(space, spaces.Discrete):
        return rng.integers(space.start, space.start + space.n, size)
    if isinstance(space, spaces.MultiDiscrete):
        return rng.integers(space.start, space.start + space.nvec, (*size, *space.shape))
    if isinstance(space, spaces.MultiBinary):
        return rng.integers(0, 2, (*size, *space.shape)).astype(np.int8)
    if np.issubdtype(space.dtype, np.integer):
        high = min(int(space.high.max()), 10_000)
        return rng.integers(0, high + 1, (*size, *space.shape)).astype(space.dtype)
    return rng.normal(size=(*size, *space.shape)).astype(space.dtype)


def _tensors(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _tensors(item) for key, item in value.items()}
    return torch.as_tensor(value)


def _part(value: Any, rows: slice) -> Any:
    if isinstance(value, Mapping):
        return {key: _part(item, rows) for key, item in value.items()}
    return value[rows]


@pytest.fixture
def make_rollout() -> Callable[..., Rollout]:
    """Return a function that draws a rollout from spaces: o' of a step is o of the next one."""

    def make(
        observation_space: spaces.Space = OBSERVATIONS["vector"],
        action_space: spaces.Space = ACTIONS["box"],
        *,
        steps: int = T,
        columns: int = B,
        seed: int = 0,
        **entries: Any,
    ) -> Rollout:
        rng = np.random.default_rng(seed)
        observations = _tensors(_draw(observation_space, rng, (steps + 1, columns)))
        flags = torch.zeros(steps, columns, dtype=torch.bool)
        drawn = {
            "observation": _part(observations, slice(None, -1)),
            "action": _tensors(_draw(action_space, rng, (steps, columns))),
            "next_observation": _part(observations, slice(1, None)),
            "reward": torch.zeros(steps, columns),
            "terminated": flags,
            "truncated": flags.clone(),
        }
        return Rollout(**{**drawn, **entries})

    return make


@pytest.fixture
def observation_spaces() -> dict[str, spaces.Space]:
    """Return observation spaces of every kind by name."""
    return OBSERVATIONS


@pytest.fixture
def action_spaces() -> dict[str, spaces.Space]:
    """Return action spaces of every kind by name."""
    return ACTIONS


@pytest.fixture
def noisy_rollout() -> Callable[[int], tuple[Rollout, torch.Tensor]]:
    """Return a function of a seed: a rollout [6, 16], and where its outcome is noise.

    Action 3 of 4 shows one of four pictures at random, the others change the observation in a
    known way. The action tells that there is noise, and nothing tells which picture it will be.
    """
    pictures = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))

    def make(seed: int) -> tuple[Rollout, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        observation = torch.randn(6, 16, 5, generator=generator)
        action, picture = torch.randint(4, (2, 6, 16), generator=generator)
        noisy = action == 3
        known = observation.roll(1, -1)
        flags = torch.zeros(6, 16, dtype=torch.bool)
        rollout = Rollout(
            observation=observation,
            action=action,
            next_observation=torch.where(noisy.unsqueeze(-1), pictures[picture], known),
            reward=torch.zeros(6, 16),
            terminated=flags,
            truncated=flags.clone(),
        )
        return rollout, noisy

    return make
