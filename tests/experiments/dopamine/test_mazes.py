"""The maze studies of progress in small: what they hand over and what they count."""

from pathlib import Path

import numpy as np
import pytest
import torch

from reward_models.errors import UserError
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


class Noted:
    """Stands for cameras, whose renderer needs OpenGL."""

    def __init__(self):
        self.closed = 0

    def close(self):
        self.closed += 1


def test_renderers_are_closed():
    # One that is left open complains when the interpreter ends.
    maze, record = named("maze_policy.py", "MazeViews")(False), named("new_goal.py", "Recorder")
    recorder = record(3, False)
    for each in (maze, recorder):
        each.cameras = Noted()
        each.close()
        assert each.cameras.closed == 1
    cameras = named("point_maze.py", "Cameras").__new__(named("point_maze.py", "Cameras"))
    cameras.renderer = Noted()
    cameras.close()
    assert cameras.renderer.closed == 1


def test_the_way_left_to_the_goal():
    nearness = named("trained_expert.py", "nearness")
    places = [(-1, 1), (0, 1), (1, 1), (1, 0.01), (1, -0.01), (1, -1), (0, -1), (-1, -1)]
    seen = torch.tensor([[*place, 0.0, 0.0, -1.0, -1.0] for place in places])
    left = torch.tensor([6, 5, 4, 3.01, 2.99, 2, 1, 0])
    assert torch.allclose(nearness(seen), -left / 6)


def test_frames_end_at_the_goal():
    frames = named("trained_expert.py", "every_fifth")(np.arange(13.0)[:, None])
    assert frames[:, 0].tolist() == [2, 7, 12]
    assert frames.dtype == np.float32


def test_the_trained_expert_is_measured_on_episodes_it_was_not_learned_from(monkeypatch):
    # A straight way: the expert's first episode is learned from, the other runs a bit beside it.
    order = named("trained_expert.py", "order")
    way = np.linspace(0, 1, 12, dtype=np.float32)[:, None] * np.ones(6, np.float32)
    expert = order.__globals__["Recorded"]([way, way + 0.01, way[::-1].copy()], 0.75)
    monkeypatch.setitem(order.__globals__, "trained", lambda *_: expert)
    monkeypatch.setitem(order.__globals__, "noisy", lambda *_: [way[::-1].copy()])
    settings = {
        "steps": 1, "algo": {}, "attempts": 4, "episodes": 2, "demonstrations": 1, "held_out": 1,
        "noise": 0.0, "epochs": 60, "pairs": 100, "jitter": 0.1,
    }  # fmt: skip
    found = order(settings, 0)
    assert found["expert_success"] == 0.75
    assert found["voc"] > 0.9
    assert found["progress_at_end"] > 0.8
    # Backwards on the same way: progress falls with time.
    assert found["voc_scripted"] < 0
    with pytest.raises(UserError, match="expected more than 1"):
        order({**settings, "episodes": 1}, 0)
