from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from reward_models.rollout import Rollout


def _play(steps: int, columns: int, seed: int, mates: int) -> dict[str, torch.Tensor]:
    """Return quantities of matches of two teams, uniform over a Rocket League field."""
    random = torch.Generator().manual_seed(seed)
    size = torch.tensor([4096.0, 5120.0, 1000.0])

    def uniform(*shape: int) -> torch.Tensor:
        drawn = (2 * torch.rand(*shape, 3, generator=random) - 1) * size
        drawn[..., 2] = drawn[..., 2].abs()
        return drawn

    return {
        "ball_position": uniform(steps, columns),
        "ball_velocity": 2000 * torch.randn(steps, columns, 3, generator=random),
        "car_position": uniform(steps, columns),
        "car_velocity": 500 * torch.randn(steps, columns, 3, generator=random),
        "boost": 100 * torch.rand(steps, columns, generator=random),
        "team": (torch.arange(columns) % 2).expand(steps, columns),
        "teammate_positions": uniform(steps, columns, mates),
        "opponent_positions": uniform(steps, columns, mates + 1),
        "match": (torch.arange(columns) // 2).expand(steps, columns),
        "cars_in_match": torch.full((steps, columns), 2),
        **{
            name: (torch.rand(steps, columns, generator=random) < 0.3).float()
            for name in (
                "touch", "goal", "team_goal", "conceded", "shot", "save", "demolition",
                "demolished",
            )
        },
    }  # fmt: skip


@pytest.fixture
def make_play() -> Callable[..., Rollout]:
    """Return a function that draws a rollout of a ball game; `state` can be replaced in parts."""

    def make(
        steps: int = 6,
        columns: int = 4,
        *,
        seed: int = 0,
        mates: int = 0,
        state: dict[str, Any] | None = None,
        **entries: Any,
    ) -> Rollout:
        flags = torch.zeros(steps, columns, dtype=torch.bool)
        given = {
            "observation": torch.zeros(steps, columns, 1),
            "action": torch.zeros(steps, columns, 1),
            "next_observation": torch.zeros(steps, columns, 1),
            "reward": torch.zeros(steps, columns),
            "terminated": flags,
            "truncated": flags,
            "state": {**_play(steps, columns, seed, mates), **(state or {})},
        }
        return Rollout(**{**given, **entries})

    return make


@pytest.fixture
def cut_rollout() -> Callable[[Rollout, list[int]], list[Rollout]]:
    """Return a function that cuts a rollout of running episodes into several."""

    def cut(rollout: Rollout, at: list[int]) -> list[Rollout]:
        found = []
        for start, stop in itertools.pairwise([0, *at, rollout.T]):
            piece = {key: value[start:stop] for key, value in rollout.data.items()}
            before = rollout.done[start - 1] if start else torch.ones(rollout.B, dtype=torch.bool)
            found.append(Rollout(continued=~before, **piece))
        return found

    return cut
