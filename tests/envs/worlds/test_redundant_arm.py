"""The arm's tip is where its joints put it."""

import numpy as np
import pytest

from envs.registry import make_vec
from envs.worlds import redundant_arm


def tip(angles):
    x = y = heading = 0.0
    for angle in angles:
        heading += angle
        x, y = x + 0.05 * np.cos(heading), y + 0.05 * np.sin(heading)
    return x, y


def test_the_tip_follows_the_joints():
    venv = make_vec("RedundantArm-v0", 8)
    observation, infos = venv.reset(seed=0)
    assert observation[0] == pytest.approx([0.0] * 20 + [1.0, 0.0])
    random = np.random.default_rng(0)
    angles = np.zeros((8, 20))
    for _ in range(60):
        actions = random.normal(0.0, 1.0, (8, 20)) + 0.3
        angles = np.clip(angles + 0.1 * np.clip(actions, -1.0, 1.0), -np.pi / 2, np.pi / 2)
        observation, _, _, _, infos = venv.step(actions)
        assert infos["position"] == pytest.approx(np.array([tip(row) for row in angles]))
        assert observation[:, :20] == pytest.approx(angles / (np.pi / 2), abs=1e-6)
        assert observation[:, 20:] == pytest.approx(infos["position"], abs=1e-6)
    assert (np.abs(angles) == np.pi / 2).any()  # some joints reached their stop


def test_extreme_actions_only_reach_the_stops():
    venv = make_vec("RedundantArm-v0", 2)
    venv.reset(seed=0)
    for _ in range(99):
        observation, _, _, _, infos = venv.step(np.full((2, 20), [[1e30], [-1e30]]))
    assert np.abs(observation).max() == 1.0
    assert np.hypot(*infos["position"].T).max() <= 1.0


@pytest.mark.parametrize("area", [0, 1, 2])
def test_every_area_can_be_reached(area):
    """Descend the distance to the centre by the transpose of the arm's Jacobian."""
    goal = np.array(redundant_arm.AREAS[area][:2])
    venv = make_vec("RedundantArm-v0", 1)
    venv.reset(seed=0)
    # A slight bend tells the stretched arm where to begin.
    angles = np.full(20, 0.02 if goal[1] > 0 else -0.02)
    for _ in range(3000):
        heading = np.cumsum(angles)
        steps = 0.05 * np.stack([np.cos(heading), np.sin(heading)])
        after = np.cumsum(steps[:, ::-1], axis=1)[:, ::-1]  # from joint k to the tip
        away = goal - after[:, 0]
        angles += 0.05 * (-after[1] * away[0] + after[0] * away[1])
    for step in range(100):
        venv_angles = venv.simulation.state()["angles"][0]
        action = np.clip((angles - venv_angles) / 0.1, -1.0, 1.0)[None]
        _, reward, terminated, _, infos = venv.step(action)
        assert terminated[0] == (step == 99)
    assert infos["area"][0] == area
    assert reward[0] > 0.9
