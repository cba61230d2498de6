"""The maze studies of progress in small: what they hand over and what they count."""

from pathlib import Path

import numpy as np
import pytest

from reward_models.registry import load_reward

FOLDER = Path(__file__).parents[3] / "experiments" / "dopamine"
WALLS = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 0, 1, 0, 1], [1, 0, 1, 0, 1], [1] * 5]) == 1


def named(file, name):
    return load_reward(f"{FOLDER / file}:{name}")


def test_the_way_goes_round_walls():
    way = named("new_goal.py", "way")
    assert way(WALLS, (3, 1), (3, 3)) == [(3, 1), (2, 1), (1, 1), (1, 2), (1, 3), (2, 3), (3, 3)]
    assert len(named("new_goal.py", "cells")(WALLS)) == 7


def test_demonstrations_end_at_the_goal_that_was_asked_for():
    # Starts are at least five cells of way off, which may be one cell behind a wall.
    record = named("new_goal.py", "Recorder")(3, False)
    frames = record((6, 5), 0.2)
    goal = record.maze.cell_rowcol_to_xy(np.array((6, 5)))
    record.env.close()
    assert frames.shape[1:] == (4,)
    # The goal is moved by at most a quarter of a cell in x and y, and reached at 0.45 m.
    assert np.linalg.norm(frames[-1, :2] - goal) < 0.25 * 2**0.5 + 0.46
    assert np.linalg.norm(frames[0, :2] - goal) > 1.0


@pytest.mark.parametrize("reward", [{}, {"progress": {"use": "progress_potential"}}])
def test_a_short_training_of_a_policy(reward):
    algo = {"name": "ppo", "n_steps": 64, "batch_size": 256, "n_epochs": 1}
    settings = {
        "steps": 2048, "demonstrations": 1, "noise": 0.0, "epochs": 2, "jitter": 0.1,
        "input": "state", "cameras": False, "algo": algo, "reward": reward,
    }  # fmt: skip
    found = named("maze_policy.py", "policy")(settings, 0)
    assert 0 <= found["success"] <= 1
    assert found["steps_to_80"] == 2048
    assert found["curves"]["success_rate"][0] == [1024.0, 2048.0]
