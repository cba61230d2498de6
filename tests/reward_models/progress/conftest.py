from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.progress import HopModel
from reward_models.rollout import Rollout

PLACE = spaces.Box(0.0, 1.0, (1,), np.float32)


def place_hop(start: Any, goal: Any, before: Any, after: Any) -> torch.Tensor:
    """Return the exact hop on the line from start to goal, where the observation is the place."""
    way = (goal - start)[:, 0]
    p, q = (before - start)[:, 0] / way, (after - start)[:, 0] / way
    room = torch.where(q > p, 1.0 - p, p)
    return torch.where(room > 0, (q - p) / room.clamp_min(1e-9), 0.0).clamp(-1.0, 1.0)


@pytest.fixture
def exact() -> dict[str, Any]:
    """Return the options of a reward with exact hops on the line from 0 to 1."""
    return {
        "hop_model": place_hop,
        "observation_space": PLACE,
        "reference_start": torch.zeros(1),
        "reference_goal": torch.ones(1),
    }


@pytest.fixture
def walk() -> Callable[..., Rollout]:
    """Return a function from places of episodes one after the other to a rollout with B = 1.

    ``ends`` names how each episode ends: ``terminated``, ``truncated`` or ``open``.
    """

    def make(*episodes: Sequence[float], ends: str | Sequence[str] = "open") -> Rollout:
        ends = [ends] * len(episodes) if isinstance(ends, str) else ends
        before, after, terminated, truncated = [], [], [], []
        for places, end in zip(episodes, ends, strict=True):
            steps = len(places) - 1
            before += places[:-1]
            after += places[1:]
            terminated += [False] * (steps - 1) + [end == "terminated"]
            truncated += [False] * (steps - 1) + [end == "truncated"]
        return Rollout(
            observation=torch.tensor(before)[:, None, None],
            action=torch.zeros(len(before), 1),
            next_observation=torch.tensor(after)[:, None, None],
            reward=torch.zeros(len(before), 1),
            terminated=torch.tensor(terminated)[:, None],
            truncated=torch.tensor(truncated)[:, None],
        )

    return make


@pytest.fixture
def vector_model() -> HopModel:
    """Return an untrained model of vectors of three numbers."""
    model = HopModel(observation_space=spaces.Box(-2, 2, (3,), np.float32), latent_size=8)
    model.reference_goal.fill_(1.0)
    return model
