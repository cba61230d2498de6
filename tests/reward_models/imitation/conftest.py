from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.checking.samples import cut, sampled_rollouts
from reward_models.rollout import Rollout

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)


@pytest.fixture
def make_rollout() -> Callable[..., Rollout]:
    """Return a function that draws a rollout ``[steps, columns]`` without ends from spaces."""

    def make(
        observation_space: spaces.Space = VECTOR,
        action_space: spaces.Space = BOX,
        *,
        steps: int = 6,
        columns: int = 3,
        seed: int = 0,
        shift: float = 0.0,
        continued: torch.Tensor | None = None,
        **entries: Any,
    ) -> Rollout:
        drawn = sampled_rollouts(
            observation_space=observation_space,
            action_space=action_space,
            rng=np.random.default_rng(seed),
        )[0]
        rollout = cut(drawn, slice(0, steps), slice(0, columns))
        none = torch.zeros(steps, columns, dtype=torch.bool)
        if shift:
            entries["observation"] = rollout.observation + shift
            entries["next_observation"] = rollout.next_observation + shift
        kept = {**dict(rollout.data.items()), "terminated": none, "truncated": none.clone()}
        given = {key: value for key, value in entries.items() if value is not None}
        return Rollout(continued=continued, **{**kept, **given})

    return make


@pytest.fixture
def dungeon() -> spaces.Dict:
    """Return a space of dictionaries as NetHack shows them."""
    return spaces.Dict(
        {
            "glyphs_crop": spaces.Box(0, 5976, (9, 9), np.int16),
            "blstats": spaces.Box(-(2**31), 2**31 - 1, (27,), np.int64),
            "message": spaces.Box(0, 255, (256,), np.uint8),
        }
    )
