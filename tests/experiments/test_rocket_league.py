"""The Rocket League experiment runs, its rewards are right, and its result holds over seeds."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from reward_models.registry import load_reward

pytest.importorskip("RocketSim")

FOLDER = Path(__file__).parents[2] / "experiments" / "rocket_league"
RESULT = FOLDER.parent / "results" / "rocket_league_touch.json"


def reward(name):
    return load_reward(f"{FOLDER / 'rewards.py'}:{name}")


def test_that_the_rewards_are_what_they_say():
    car, ball = torch.zeros(1, 2, 3), torch.tensor([[[0.0, 500.0, 0.0], [300.0, 0.0, 400.0]]])
    velocity = torch.tensor([[[0.0, 2300.0, 0.0], [0.0, 1000.0, 0.0]]])
    forward = torch.tensor([[[0.0, -1.0, 0.0], [0.6, 0.0, 0.8]]])
    assert torch.allclose(reward("approach")(car, velocity, ball), torch.tensor([[1.0, 0.0]]))
    assert torch.allclose(reward("face_ball")(car, forward, ball), torch.tensor([[-1.0, 1.0]]))
    assert reward("touched")(torch.tensor([[0.0, 3.0]])).tolist() == [[0.0, 1.0]]
    assert torch.isfinite(reward("approach")(car, velocity, car)).all()


def test_that_the_experiment_runs_and_writes_its_results(tmp_path):
    command = [sys.executable, str(FOLDER / "touch.py"), "--out", "out", "--results", "results"]
    small = ["--steps", "2048", "--seeds", "2", "--minutes", "0.2"]
    run = subprocess.run(
        [*command, *small], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    for arm in ("before", "after"):
        assert f"| {arm} training | 2 |" in run.stdout
    record = json.loads((tmp_path / "results" / "rocket_league_touch.json").read_text())
    assert len(record["per_minute"]["after"]["touches"]) == 2
    assert (tmp_path / "results" / "rocket_league_touch.png").is_file()


def test_that_the_recorded_result_shows_more_touches_over_seeds():
    record = json.loads(RESULT.read_text())
    before, after = (record["per_minute"][arm]["touches"] for arm in ("before", "after"))
    assert len(before) == len(after) >= 3
    assert np.mean(after) > np.mean(before)
    assert record["touches_test"]["p_value"] < 0.05
