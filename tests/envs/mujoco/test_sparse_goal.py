"""The sparse tasks' rewards, ends and infos are exactly what their docstrings say."""

import math

import numpy as np
import pytest

import envs


def at(env, x, velocity=0.0):
    """Put the body at a position and a forward velocity."""
    base = env.unwrapped
    qpos, qvel = base.init_qpos.copy(), base.init_qvel.copy()
    qpos[0], qvel[0] = x, velocity
    base.set_state(qpos, qvel)


def idle(env):
    return np.zeros(env.action_space.shape, dtype=np.float32)


@pytest.mark.parametrize("name", ["HalfCheetahGoal-v0", "HopperGoal-v0"])
def test_crossing_the_line_pays_one_and_terminates(name):
    env = envs.make(name, goal=1.0)
    observation, _ = env.reset(seed=0)
    assert observation[0] == env.unwrapped.data.qpos[0]  # the x position is observed
    at(env, 0.99, velocity=2.0)
    before = env.unwrapped.data.qpos[0]
    observation, reward, terminated, truncated, info = env.step(idle(env))
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert set(info) == {"x_position", "x_velocity", "is_success"}
    assert info["is_success"] is True
    assert info["x_position"] == observation[0] >= 1.0
    assert info["x_velocity"] == (observation[0] - before) / env.unwrapped.dt


@pytest.mark.parametrize("name", ["HalfCheetahGoal-v0", "HopperGoal-v0"])
def test_any_other_step_pays_nothing(name):
    env = envs.make(name, goal=1.0)
    env.reset(seed=0)
    for x, velocity in [(0.0, 0.0), (0.9, 0.0), (-3.0, 1.0)]:
        at(env, x, velocity)
        _, reward, terminated, truncated, info = env.step(idle(env))
        assert (reward, terminated, truncated) == (0.0, False, False)
        assert info["is_success"] is False


@pytest.mark.parametrize(
    ("name", "limit"), [("HalfCheetahGoal-v0", 200), ("HalfCheetahSparse-v0", 1000)]
)
def test_the_time_limit_truncates_without_success(name, limit):
    env = envs.make(name)
    env.reset(seed=0)
    flags = [env.step(idle(env))[1:] for _ in range(limit)]
    assert all(not terminated for _, terminated, _, _ in flags)
    assert [truncated for _, _, truncated, _ in flags] == [False] * (limit - 1) + [True]
    assert flags[-1][3].get("is_success", False) is False


def test_a_fallen_hopper_terminates_without_reward():
    env = envs.make("HopperGoal-v0")
    env.reset(seed=0)
    qpos = env.unwrapped.init_qpos.copy()
    qpos[2] = 0.5  # leaning by half a radian
    env.unwrapped.set_state(qpos, env.unwrapped.init_qvel)
    _, reward, terminated, _, info = env.step(idle(env))
    assert (reward, terminated, info["is_success"]) == (0.0, True, False)


def test_speed_above_the_threshold_pays_one_per_step():
    env = envs.make("HalfCheetahSparse-v0", threshold=0.5)
    env.reset(seed=0)
    rewards = []
    for velocity in (0.0, 3.0, 0.2, -3.0):
        at(env, 0.0, velocity)
        _, reward, terminated, _, info = env.step(idle(env))
        assert set(info) == {"x_position", "x_velocity"}
        assert reward == float(info["x_velocity"] > 0.5)
        assert not terminated
        rewards.append(reward)
    assert rewards == [0.0, 1.0, 0.0, 0.0]


def test_a_fast_hopper_is_paid_while_it_stands():
    env = envs.make("HopperSparse-v0", threshold=0.5)
    dense = envs.make("Hopper-v5")
    observation, _ = env.reset(seed=0)
    np.testing.assert_array_equal(observation, dense.reset(seed=0)[0])
    for velocity, lean, paid, falls in (
        (0.0, 0.0, 0.0, False),
        (2.0, 0.0, 1.0, False),
        (-2.0, 0.0, 0.0, False),
        (2.0, 0.5, 0.0, True),
    ):
        base = env.unwrapped
        qpos, qvel = base.init_qpos.copy(), base.init_qvel.copy()
        qpos[2], qvel[0] = lean, velocity
        base.set_state(qpos, qvel)
        _, reward, terminated, _, info = env.step(idle(env))
        assert set(info) == {"x_position", "x_velocity"}
        assert (info["x_velocity"] > 0.5) == (velocity > 0.5)
        assert (reward, terminated) == (paid, falls)


@pytest.mark.parametrize(
    ("x", "reward", "success", "lured"),
    [(0.0, 0.0, False, False), (5.2, 1.0, True, False), (-1.2, 0.1, False, True)],
)
def test_the_lure_behind_ends_the_episode_for_little(x, reward, success, lured):
    env = envs.make("HalfCheetahLure-v0")
    observation, _ = env.reset(seed=0)
    assert observation[0] == env.unwrapped.data.qpos[0]
    at(env, x)
    _, paid, terminated, truncated, info = env.step(idle(env))
    assert paid == reward
    assert (terminated, truncated) == (success or lured, False)
    assert (info["is_success"], info["is_lured"]) == (success, lured)
    assert set(info) <= set(env.unwrapped.info_keys)


def test_lures_that_are_none_are_refused():
    with pytest.raises(ValueError, match="lure_reward must be between 0 and 1"):
        envs.make("HalfCheetahLure-v0", lure_reward=1.0)
    with pytest.raises(ValueError, match="lure must be a positive"):
        envs.make("HalfCheetahLure-v0", lure=0.0)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_a_threshold_that_is_not_positive_and_finite_is_refused(bad):
    with pytest.raises(ValueError, match="goal must be a positive finite number"):
        envs.make("HalfCheetahGoal-v0", goal=bad)
    with pytest.raises(ValueError, match="threshold must be a positive finite number"):
        envs.make("HalfCheetahSparse-v0", threshold=bad)


def test_the_dynamics_are_those_of_gymnasium():
    ours, theirs = envs.make("HalfCheetahGoal-v0"), envs.make("HalfCheetah-v5", frame_skip=10)
    first, _ = ours.reset(seed=4)
    second, _ = theirs.reset(seed=4)
    rng = np.random.default_rng(0)
    for _ in range(50):
        np.testing.assert_array_equal(first[1:], second)
        action = rng.uniform(-1, 1, 6).astype(np.float32)
        first, second = ours.step(action)[0], theirs.step(action)[0]
