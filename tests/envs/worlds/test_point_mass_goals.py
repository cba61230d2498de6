"""Sparse goals, distractors that are only noise, and events for constraints."""

import numpy as np
import pytest

import envs
from envs.registry import make_vec
from envs.worlds.point_mass_goals import GOALS


def drive(points, **options):
    """Drive through points; return the rewards and the infos of all steps."""
    env = envs.make("PointMassGoals-v0", **options)
    observation, _ = env.reset(seed=0)
    points, rewards, infos = [np.array(point) for point in points], [], []
    while True:
        if len(points) > 1 and np.hypot(*(points[0] - observation[:2])) < 0.1:
            points.pop(0)
        action = 3.0 * (points[0] - observation[:2]) - 3.0 * observation[2:4]
        observation, reward, terminated, truncated, info = env.step(
            np.clip(action, -1.0, 1.0).astype(np.float32)
        )
        rewards.append(reward)
        infos.append(info)
        if terminated or truncated:
            return rewards, infos, terminated


@pytest.mark.parametrize("goal", [0, 1])
def test_reaching_a_goal_pays_once_and_terminates(goal):
    rewards, infos, terminated = drive([GOALS[goal][:2]])
    assert terminated
    assert rewards == [0.0] * (len(rewards) - 1) + [1.0]
    assert [info["goal"] for info in infos] == [-1] * (len(infos) - 1) + [goal]
    assert [info["is_success"] for info in infos] == [False] * (len(infos) - 1) + [True]


def test_the_hazard_lies_on_the_straight_way_and_can_be_avoided():
    _, straight, _ = drive([GOALS[0][:2]])
    assert any(info["in_hazard"] for info in straight)
    _, around, terminated = drive([(0.2, 0.5), (0.6, 0.6), GOALS[0][:2]])
    assert terminated
    assert not any(info["in_hazard"] for info in around)


def test_speeding_is_an_event():
    _, infos, _ = drive([GOALS[0][:2]], speed_limit=0.3)
    assert {info["is_speeding"] for info in infos} == {False, True}
    assert all(info["is_speeding"] == (info["speed"] > 0.3) for info in infos)


def test_doing_nothing_is_never_paid():
    env = envs.make("PointMassGoals-v0")
    env.reset(seed=0)
    steps = [env.step(np.zeros(2, np.float32)) for _ in range(100)]
    assert not any(step[1] or step[2] for step in steps)
    assert [step[3] for step in steps] == [False] * 99 + [True]


def test_walls_stop_the_motion_across_them():
    venv = make_vec("PointMassGoals-v0", 1, goals=[], hazards=[])
    venv.reset(seed=0)
    for _ in range(90):
        observation, _, terminated, _, infos = venv.step(np.array([[1e30, 0.0]]))
        assert not terminated[0]
    assert observation[0, 0] == 1.0
    assert infos["speed"][0] < 1e-12


def test_distractors_do_not_know_the_actions():
    seen = []
    for action in (0.0, 1.0):
        venv = make_vec("PointMassGoals-v0", 4, distractors=12, goals=[])
        first, _ = venv.reset(seed=0)
        rows = [venv.step(np.full((4, 2), action))[0] for _ in range(50)]
        seen.append(np.stack([first, *rows]))
    assert np.array_equal(seen[0][..., 4:], seen[1][..., 4:])
    assert not np.array_equal(seen[0][..., :4], seen[1][..., :4])


def test_distractors_are_stationary_with_the_memory_of_their_definition():
    venv = make_vec("PointMassGoals-v0", 2000, distractors=2, goals=[])
    first, _ = venv.reset(seed=0)
    rows = [first[:, 4:]] + [venv.step(np.zeros((2000, 2)))[0][:, 4:] for _ in range(30)]
    # 4000 independent chains: standard errors of std and correlation are 0.011 and 0.003 to 0.016.
    for lag in (0, 1, 10):
        now, later = rows[30 - lag].ravel(), rows[30].ravel()
        assert np.std(now) == pytest.approx(1.0, abs=0.05)
        assert np.mean(now * later) == pytest.approx(0.9**lag, abs=0.07)
    assert abs(np.corrcoef(rows[30].T)[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"goals": [(0.0, 0.0, -1.0)]}, "radius"),
        ({"speed_limit": 0.0}, "speed_limit"),
        ({"distractors": -1}, "distractors"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        envs.make("PointMassGoals-v0", **options)
