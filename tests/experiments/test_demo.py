"""The demo runs, and its claim holds over seeds."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ctrl.checkpoint import newest_checkpoint
from ctrl.config import parse_config, read_config
from ctrl.evaluation import evaluate_run
from ctrl.run_folder import RunFolder
from ctrl.seeds import train_all
from ctrl.statistics import welch_test

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def test_that_the_demo_prints_its_table_and_names_its_pictures(tmp_path):
    command = [sys.executable, str(EXPERIMENTS / "mujoco" / "demo.py"), "--out", "out"]
    small = ["--steps", "4096", "--seeds", "2", "--episodes", "2", "--processes", "2"]
    run = subprocess.run(
        [*command, *small], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    for arm in ("with", "without"):
        assert f"| {arm} | 2 |" in run.stdout
        assert newest_checkpoint(tmp_path / "out" / arm / "seed_1" / "checkpoints")
    assert "out/learning_curves.png" in run.stdout
    assert "tensorboard --logdir out" in run.stdout
    assert (tmp_path / "out" / "learning_curves.png").is_file()


@pytest.mark.bar
def test_that_the_shaping_term_wins_over_seeds(tmp_path):
    plain = parse_config(read_config(EXPERIMENTS / "mujoco" / "sparse_hopper.yaml"))
    reward = {"use": f"{EXPERIMENTS / 'mujoco' / 'rewards.py'}:velocity", "weight": 0.01}
    data = plain.as_dict()
    shaped = parse_config({**data, "reward": {**data["reward"], "velocity": reward}})
    arms = {"with": shaped, "without": plain}
    jobs = [
        (parse_config({**config.as_dict(), "seed": seed}), tmp_path / arm / f"seed_{seed}")
        for arm, config in arms.items()
        for seed in range(4)
    ]
    train_all(jobs, processes=2, quiet=True)
    success = {
        arm: [
            evaluate_run(RunFolder.open(tmp_path / arm / f"seed_{seed}"), episodes=50)[
                "success_rate"
            ]
            for seed in range(4)
        ]
        for arm in arms
    }
    assert welch_test(success["with"], success["without"]).p_value < 0.05
    assert np.mean(success["with"]) > np.mean(success["without"])
