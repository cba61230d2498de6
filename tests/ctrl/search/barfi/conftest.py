"""Small alignments on the corridor with a lure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ctrl.search.barfi.build import build_learner
from ctrl.search.barfi.config import parse_align
from ctrl.search.barfi.learner import AlignmentLearner


def lure(auxiliary_reward_bad: Any) -> Any:
    return auxiliary_reward_bad


def settings(**changed: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "env": {"id": "LureCorridor-v0"},
        "reward": {"hint": {"use": f"{__file__}:lure"}},
        "policy": {"learning_rate": 0.05, "entropy": 0.02},
        "blend": {"fixed_task": True, "learning_rate": 0.02},
        "hypergradient": {"name": "neumann", "alpha": 0.5},
        "schedule": {
            "episodes": 4, "warm_iterations": 1, "first_steps": 0, "inner_steps": 2, "batch": 4,
            "replay": 12, "hessian": 8,
        },
        "iterations": 6,
    }  # fmt: skip
    for key, value in changed.items():
        both = isinstance(value, dict) and isinstance(plain.get(key), dict) and key != "env"
        plain[key] = {**plain[key], **value} if both else value
    return plain


@pytest.fixture
def plain_settings() -> Callable[..., dict[str, Any]]:
    """Return a function that gives the plain data of a small alignment, with changes."""
    return settings


@pytest.fixture
def make_learner() -> Iterator[Callable[..., AlignmentLearner]]:
    """Return a function that builds a small learner, with changes to its settings."""
    made: list[AlignmentLearner] = []

    def make(**changed: Any) -> AlignmentLearner:
        learner = build_learner(parse_align(settings(**changed)))
        made.append(learner)
        return learner

    yield make
    for learner in made:
        learner.collector.recorder.close()
