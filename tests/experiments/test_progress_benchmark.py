"""The benchmark of what pictures cost a reward of progress: its parts, and its record."""

import json
import statistics
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from reward_models.registry import load_reward

SCRIPT = Path(__file__).parents[2] / "experiments" / "benchmarks" / "progress.py"


class Corridor:
    """Counts its steps, spends time in each, and ends at the third."""

    action_space = spaces.Box(-1, 1, (2,))
    observation_space = spaces.Dict(
        state=spaces.Box(-1, 1, (6,), np.float32),
        views=spaces.Box(0, 255, (3, 8, 8, 3), np.uint8),
    )

    def __init__(self):
        self.steps, self.resets = 0, 0

    def reset(self, seed=None):
        self.resets += 1

    def step(self, action):
        self.steps += 1
        sum(range(20_000))
        return None, 0.0, self.steps % 3 == 0, False, {}


def test_actions_are_timed_and_an_ended_episode_begins_anew():
    maze = Corridor()
    milliseconds = load_reward(f"{SCRIPT}:acting")(maze, 7)()
    assert (maze.steps, maze.resets) == (7, 3)
    assert milliseconds > 0


@pytest.mark.parametrize("key", ["state", "views"])
def test_both_kinds_of_observations_are_read(key):
    assert load_reward(f"{SCRIPT}:reading")(Corridor(), key, 4)() > 0


def test_the_record_is_the_medians_of_its_turns():
    record = json.loads(SCRIPT.with_suffix(".json").read_text())
    turns = record["turns"]
    assert len(turns) == record["settings"]["repeats"] >= 11
    for name, found in record["milliseconds"].items():
        times = [turn[name] for turn in turns]
        assert found["median"] == statistics.median(times)
        assert 0 < found["best"] == min(times)
    pairs = load_reward(f"{SCRIPT}:RATIOS")
    for name, (dear, cheap) in pairs.items():
        ratios = [turn[dear] / turn[cheap] for turn in turns]
        assert record["ratios"][name]["median"] == statistics.median(ratios)
        # What docs/aligning.md advises rests on this: pictures cost more than ten times as much.
        assert record["ratios"][name]["min"] > 10
