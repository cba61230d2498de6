"""A policy over entities, and minibatches of made-up rollouts as loss terms get them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from gymnasium import spaces

from ctrl.objectives.hooks import PolicyOutput, Source
from ctrl.sb3.entity_policy import EntityPolicy
from reward_models.rollout import Rollout

QUERY, ENTITIES, FEATURES = 3, 2, 4


@pytest.fixture
def policy() -> EntityPolicy:
    torch.manual_seed(0)
    space = spaces.Dict(
        {
            "query": spaces.Box(-np.inf, np.inf, (QUERY,), np.float32),
            "entities": spaces.Box(-np.inf, np.inf, (ENTITIES, FEATURES), np.float32),
            "padding": spaces.MultiBinary(ENTITIES),
        }
    )
    return EntityPolicy(
        space, spaces.Discrete(3), lambda progress: 1e-3,
        features_extractor_kwargs={"features_dim": 16, "heads": 2},
    )  # fmt: skip


@pytest.fixture
def batch(policy: EntityPolicy) -> Callable[..., tuple[Rollout, PolicyOutput]]:
    """Return a function that makes a rollout ``[T, B]`` and a minibatch of it."""

    def make(
        observation: dict[str, torch.Tensor],
        total: torch.Tensor,
        done: torch.Tensor,
        rows: list[tuple[int, int]] | None = None,
        **more: torch.Tensor,
    ) -> tuple[Rollout, PolicyOutput]:
        steps, columns = total.shape
        rollout = Rollout(
            observation=observation, action=torch.zeros(steps, columns, dtype=torch.int64),
            next_observation=observation, reward=torch.zeros(steps, columns), terminated=done,
            truncated=torch.zeros_like(done), **more,
        )  # fmt: skip
        rows = rows or [(t, b) for t in range(steps) for b in range(columns)]
        time, column = torch.tensor(rows).T
        source = Source(
            rollout=rollout, observation=observation, total=total, time=time.unsqueeze(0),
            column=column.unsqueeze(0),
        )  # fmt: skip
        output = PolicyOutput(
            log_prob=torch.zeros(1, len(rows)), entropy=None, value=None, policy=policy,
            source=source,
        )  # fmt: skip
        return rollout.take(time, column), output

    return make


@pytest.fixture
def observed() -> Callable[..., dict[str, torch.Tensor]]:
    """Return a function that makes observations ``[T, B, ...]``, random or of one number each."""

    def make(steps: int, columns: int, number: torch.Tensor | None = None) -> dict:
        generator = torch.Generator().manual_seed(2)
        found = {
            "query": torch.randn(steps, columns, QUERY, generator=generator),
            "entities": torch.randn(steps, columns, ENTITIES, FEATURES, generator=generator),
            "padding": torch.zeros(steps, columns, ENTITIES),
        }
        if number is not None:
            found["query"] = number[..., None].expand(-1, -1, QUERY).clone()
            found["entities"] = number[..., None, None].expand(-1, -1, ENTITIES, FEATURES).clone()
        return found

    return make
