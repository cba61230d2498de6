"""A restored environment continues bit for bit as the saved one would have."""

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.monitor import Monitor

import envs

MUJOCO = [
    "HalfCheetah-v5",
    "Ant-v5",
    "Hopper-v5",
    "Walker2d-v5",
    "Humanoid-v5",
    "Swimmer-v5",
    "InvertedPendulum-v5",
    "Reacher-v5",
    "Pusher-v5",
    "HalfCheetahGoal-v0",
    "HalfCheetahSparse-v0",
    "HopperGoal-v0",
]
CLASSIC = [
    "CartPole-v1",
    "Pendulum-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Acrobot-v1",
]


def trace(env, actions):
    """Step through the actions, resetting where needed; return all that was seen, as bytes."""
    seen = []
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        numbers = {key: np.asarray(value).tobytes() for key, value in info.items()
                   if key != "episode"}  # fmt: skip
        episode = info.get("episode")
        ends = (terminated, truncated, episode and (episode["r"], episode["l"]))
        seen.append((observation.tobytes(), float(reward), ends, numbers))
        if terminated or truncated:
            observation, info = env.reset()
            seen.append(observation.tobytes())
    return seen


def plain(tree):
    if isinstance(tree, dict):
        return all(isinstance(key, str) and plain(value) for key, value in tree.items())
    if isinstance(tree, list):
        return all(map(plain, tree))
    if isinstance(tree, np.ndarray):
        return tree.dtype.kind in "biufU"
    return tree is None or type(tree) in (bool, int, float, str)


@pytest.mark.parametrize("name", MUJOCO + CLASSIC)
@pytest.mark.parametrize("steps", [0, 13])
def test_the_continuation_is_bit_equal(name, steps):
    env = Monitor(envs.make(name, max_episode_steps=30))
    env.action_space.seed(1)
    actions = [env.action_space.sample() for _ in range(80)]
    env.reset(seed=5)
    trace(env, actions[:steps])
    saved = envs.snapshot(env)
    assert plain(saved)
    expected = trace(env, actions[steps:])

    other = Monitor(envs.make(name, max_episode_steps=30))
    other.reset(seed=99)
    trace(other, actions[:7])
    envs.restore(other, saved)
    assert trace(other, actions[steps:]) == expected
    # The saved state was not changed by its use, and also fits an environment never reset.
    fresh = Monitor(envs.make(name, max_episode_steps=30))
    envs.restore(fresh, saved)
    assert trace(fresh, actions[steps:]) == expected
    assert fresh.get_total_steps() == env.get_total_steps() == 80
    assert fresh.get_episode_rewards() == env.get_episode_rewards()


def test_the_action_space_continues_its_random_numbers():
    env, other = envs.make("HalfCheetah-v5"), envs.make("HalfCheetah-v5")
    env.action_space.seed(3)
    env.action_space.sample()
    saved = envs.snapshot(env)
    envs.restore(other, saved)
    np.testing.assert_array_equal(other.action_space.sample(), env.action_space.sample())


def test_recomputing_the_derived_arrays_would_not_do():
    """Ant takes its velocity from positions that are one physics step old."""
    import mujoco

    env = envs.make("Ant-v5")
    env.reset(seed=0)
    action = np.full(8, 0.7, dtype=np.float32)
    for _ in range(5):
        env.step(action)
    saved = envs.snapshot(env)
    expected = env.step(action)[4]["x_velocity"]
    envs.restore(env, saved)
    assert env.step(action)[4]["x_velocity"] == expected
    envs.restore(env, saved)
    mujoco.mj_forward(env.unwrapped.model, env.unwrapped.data)
    assert env.step(action)[4]["x_velocity"] != expected


def test_an_unknown_wrapper_is_refused_by_name():
    env = gymnasium.wrappers.NormalizeObservation(envs.make("CartPole-v1"))
    assert not envs.can_snapshot(env)
    with pytest.raises(envs.SnapshotError, match="NormalizeObservation is not known"):
        envs.snapshot(env)


def test_an_unknown_attribute_is_refused_by_name():
    env = envs.make("CartPole-v1")
    assert envs.can_snapshot(env)
    env.unwrapped.history = object()
    with pytest.raises(envs.SnapshotError, match="'history' is a object"):
        envs.snapshot(env)


def test_another_environment_or_wrapper_is_refused():
    saved = envs.snapshot(envs.make("HalfCheetah-v5"))
    with pytest.raises(envs.SnapshotError, match=r"HalfCheetahEnv.*HopperEnv"):
        envs.restore(envs.make("Hopper-v5"), saved)
    with pytest.raises(envs.SnapshotError, match="Monitor"):
        envs.restore(Monitor(envs.make("HalfCheetah-v5")), saved)


def test_another_model_is_refused():
    env = envs.make("HalfCheetah-v5")
    saved = envs.snapshot(env)
    saved["simulation"]["derived"]["xpos"] = np.zeros((3, 3))
    with pytest.raises(envs.SnapshotError, match="'xpos' has shape"):
        envs.restore(env, saved)
    saved["simulation"]["integration"] = np.zeros(4)
    with pytest.raises(envs.SnapshotError, match="4 state numbers"):
        envs.restore(env, saved)
