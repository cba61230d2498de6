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
    "HalfCheetahLure-v0",
    "HopperGoal-v0",
    "HopperSparse-v0",
    "HopperEpisodic-v0",
]
# Environments inside environments, targets in the model, motion capture, sensors, lists of names.
ROBOTICS = [
    "PointMaze_UMaze-v3",
    "AntMaze_UMaze-v5",
    "PointMazeLure-v0",
    "AntMazeGoal_UMaze-v0",
    "FetchPush-v4",
    "AdroitHandHammer-v1",
    "AdroitHandPen-v1",
    "AdroitHandRelocate-v1",
    "AdroitHandDoor-v1",
    "HandManipulateBlock_ContinuousTouchSensors-v1",
    "FrankaKitchen-v1",
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
        # The kitchen lists the names of tasks in the order of a set.
        numbers = {key: sorted(value) if isinstance(value, list) else np.asarray(value).tobytes()
                   for key, value in info.items() if key != "episode"}  # fmt: skip
        episode = info.get("episode")
        ends = (terminated, truncated, episode and (episode["r"], episode["l"]))
        seen.append((bits(observation), float(reward), ends, numbers))
        if terminated or truncated:
            observation, info = env.reset()
            seen.append(bits(observation))
    return seen


def bits(observation):
    if isinstance(observation, dict):
        return {key: bits(value) for key, value in observation.items()}
    return observation.tobytes()


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


@pytest.mark.parametrize("name", ROBOTICS)
def test_tasks_of_gymnasium_robotics_continue_bit_equal(name):
    env, other = (envs.make(name, max_episode_steps=20) for _ in range(2))
    env.action_space.seed(1)
    actions = [env.action_space.sample() for _ in range(45)]
    env.reset(seed=5)
    trace(env, actions[:13])
    saved = envs.snapshot(env)
    assert plain(saved)
    expected = trace(env, actions[13:])
    envs.restore(other, saved)  # never reset
    assert trace(other, actions[13:]) == expected
    other.reset(seed=99)
    trace(other, actions[:7])
    envs.restore(other, saved)  # from another episode, with another target
    assert trace(other, actions[13:]) == expected


def test_a_view_into_the_simulation_stays_one():
    """The kitchen's ``init_qvel`` is the live velocity: a copy would change its next reset."""
    env = envs.make("FrankaKitchen-v1")
    env.reset(seed=0)
    robot = env.unwrapped.robot_env
    saved = envs.snapshot(env)
    assert "init_qvel" not in saved["state"]["parts"]["robot_env"]["attributes"]
    envs.restore(env, saved)
    assert np.shares_memory(robot.init_qvel, robot.data.qvel)


def test_an_environment_that_saves_itself_is_asked():
    class Counter(gymnasium.Env):
        observation_space = action_space = gymnasium.spaces.Discrete(9)

        def __init__(self):
            self.history = iter(range(9))  # of a kind that nobody else could save
            self.count = 0

        def snapshot(self):
            return {"count": self.count}

        def restore(self, tree):
            self.count = tree["count"]

    env = Counter()
    env.count = 3
    saved = envs.snapshot(env)
    env.count = 7
    envs.restore(env, saved)
    assert env.count == 3
    with pytest.raises(envs.SnapshotError, match="Counter"):
        envs.restore(envs.make("CartPole-v1"), saved)


def test_an_unknown_attribute_of_an_inner_environment_is_refused_by_name():
    env = envs.make("PointMaze_UMaze-v3")
    env.unwrapped.point_env.history = object()
    with pytest.raises(envs.SnapshotError, match="in its 'point_env', its attribute 'history'"):
        envs.snapshot(env)


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
    saved["state"]["simulation"]["derived"]["xpos"] = np.zeros((3, 3))
    with pytest.raises(envs.SnapshotError, match="'xpos' has shape"):
        envs.restore(env, saved)
    saved["state"]["simulation"]["integration"] = np.zeros(4)
    with pytest.raises(envs.SnapshotError, match="4 state numbers"):
        envs.restore(env, saved)
