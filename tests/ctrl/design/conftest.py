"""Inputs, attempts and scripts that the tests of reward design share."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from ctrl.design.analyzer import analyse
from ctrl.design.attempts import Attempt, Request, Trial, Try
from ctrl.design.episode_log import EpisodeLog
from ctrl.design.ranges import Range
from reward_models.coded.quantities import ProgramInputs, Quantity

ROOT = Path(__file__).parents[3]


@pytest.fixture
def script():
    """Load a script of experiments/design by name."""

    def load(name):
        path = ROOT / "experiments" / "design" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"design_{name}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def inputs():
    return ProgramInputs(
        "Walk to the goal without falling into the lava.",
        (
            Quantity("state.position", "int64", (2,), "", "row and column of the cell"),
            Quantity("state.goal_distance", "int64", (), "", "Manhattan distance to the goal"),
            Quantity("state.lava", "int64", (), "", "1 on falling into the lava, else 0"),
            Quantity("state.height", "float64", (), "m", "height"),
            Quantity("success", "bool", (), "", "whether the task is solved"),
        ),
        max_steps=60,
    )


@pytest.fixture
def ranges():
    return {
        "position": Range(0, 9, 1.0, 0.7, False),
        "goal_distance": Range(0, 16, 1.0, 0.7, False),
        "lava": Range(0, 1, 1.0, 0.1, True),
        "height": Range(-1.0, 1.0, 0.1, 1.0, False),
        "success": Range(0, 0, 0.0, 0.0, True),
    }


def episode(lava, *, steps=4, success=False, dense=1.0):
    flags = np.zeros(steps, dtype=int)
    flags[-1] = lava
    return EpisodeLog(
        quantities={"lava": flags, "goal_distance": np.arange(steps)[::-1].copy()},
        reward=np.r_[np.zeros(steps - 1), float(success)],
        paid={"dense": np.full(steps, dense), "total": np.full(steps, 0.1 * dense)},
        terminated=bool(lava) or success,
        success=success,
    )


@pytest.fixture
def request_for(inputs, ranges):
    def make(history=(), number=1, samples=1, convention="signed", target=""):
        metric = "share of successful episodes"
        return Request(
            inputs, ranges, convention, metric, target, number, samples, 0, tuple(history)
        )

    return make


@pytest.fixture
def attempt_of():
    def make(reply, source, score, episodes, number=1, sample=1):  # noqa: PLR0917
        facts = analyse(episodes, window=3)
        return Attempt(number, sample, (Try(reply, source),), "ab" * 32, Trial(score, facts), "")

    return make
