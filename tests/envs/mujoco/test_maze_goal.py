"""The mazes' rewards, ends and observations are exactly what their docstring says."""

import glob
import tempfile

import numpy as np
import pytest
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv

import envs

MAZES = [
    ("PointMazeGoal_UMaze-v0", 6, 300),
    ("PointMazeGoal_Medium-v0", 6, 600),
    ("PointMazeGoal_Large-v0", 6, 800),
    ("PointMazeLure-v0", 6, 300),
    ("AntMazeGoal_UMaze-v0", 109, 700),
    ("AntMazeGoal_Medium-v0", 109, 1000),
    ("AntMazeGoal_Large-v0", 109, 1000),
]


def place(env, x, y):
    """Put the robot somewhere, at rest."""
    inner = env.unwrapped.robot_env
    robot = inner.point_env if hasattr(inner, "point_env") else inner.ant_env
    qpos, qvel = robot.init_qpos.copy(), np.zeros_like(robot.init_qvel)
    qpos[:2] = x, y
    robot.set_state(qpos, qvel)


def idle(env):
    return np.zeros(env.action_space.shape, dtype=np.float32)


@pytest.mark.parametrize(("name", "size", "limit"), MAZES)
def test_start_goal_and_reward(name, size, limit):
    files = len(glob.glob(tempfile.gettempdir() + "/ant_maze*.xml"))
    env = envs.make(name)
    assert len(glob.glob(tempfile.gettempdir() + "/ant_maze*.xml")) == files
    assert env.observation_space.shape == (size,)
    assert env.spec.max_episode_steps == limit
    width = env.unwrapped.robot_env.maze.maze_size_scaling
    starts, goals = [], []
    for seed in range(6):
        observation, info = env.reset(seed=seed)
        starts.append(observation[:2])
        goals.append(observation[-2:])
        assert (info["x_position"], info["y_position"]) == tuple(observation[:2])
        np.testing.assert_allclose(
            info["goal_distance"], np.linalg.norm(observation[:2] - observation[-2:])
        )
        assert info["is_success"] is False
    for ends in (starts, goals):  # one cell each, with noise of a quarter of a cell to each side
        assert (np.ptp(ends, axis=0) <= 0.5 * width).all()
        assert (np.ptp(ends, axis=0) > 0).all()
    goal = goals[-1]
    keys = set(info)
    for distance, success in ((0.6, False), (0.3, True)):
        place(env, goal[0] - distance, goal[1])
        observation, reward, terminated, truncated, info = env.step(idle(env))
        assert set(info) == keys <= set(env.unwrapped.info_keys)
        assert info["is_success"] is success
        assert (reward, terminated, truncated) == (float(success), success, False)
        np.testing.assert_array_equal(observation[-2:], goal)


def test_the_lure_pays_little_and_ends_the_episode():
    env = envs.make("PointMazeLure-v0")
    observation, _ = env.reset(seed=0)
    lure = env.unwrapped.robot_env.maze.cell_rowcol_to_xy(np.array([1, 1]))
    goal = observation[-2:]
    # The lure is near the start and lies towards the goal, the way to which leads off.
    assert np.linalg.norm(observation[:2] - lure) < 2.5
    assert np.linalg.norm(lure - goal) < np.linalg.norm(observation[:2] - goal)
    place(env, *lure)
    _, reward, terminated, _, info = env.step(idle(env))
    assert (reward, terminated) == (0.1, True)
    assert (info["is_lured"], info["is_success"]) == (True, False)
    env.reset()
    place(env, *env.unwrapped.robot_env.goal)
    _, reward, terminated, _, info = env.step(idle(env))
    assert (reward, terminated) == (1.0, True)
    assert (info["is_lured"], info["is_success"]) == (False, True)


def test_the_goal_can_be_reached_through_the_fork():
    """Following the corridor by hand solves the task within its limit."""
    env = envs.make("PointMazeLure-v0")
    observation, _ = env.reset(seed=1)
    maze = env.unwrapped.robot_env.maze
    way = [maze.cell_rowcol_to_xy(np.array(cell)) for cell in ((1, 5), (3, 5))]
    way.append(observation[-2:])
    for _ in range(300):
        position, velocity = observation[:2], observation[2:4]
        if len(way) > 1 and np.linalg.norm(way[0] - position) < 0.3:
            way.pop(0)
        force = np.clip(3 * (way[0] - position) - velocity, -1, 1).astype(np.float32)
        observation, reward, terminated, truncated, _ = env.step(force)
        if terminated or truncated:
            break
    assert (reward, terminated) == (1.0, True)


def test_random_cells_are_spread_over_the_maze():
    env = envs.make("PointMazeGoal_Medium-v0", random_cells=True)
    first = [env.reset(seed=seed)[0] for seed in range(12)]
    assert (np.ptp([observation[-2:] for observation in first], axis=0) > 2).all()
    assert (np.ptp([observation[:2] for observation in first], axis=0) > 2).all()


def test_goal_keys_serve_hindsight_replay():
    env = envs.make("PointMazeGoal_UMaze-v0", goal_keys=True, max_episode_steps=20)
    base = env.unwrapped
    observation, _ = env.reset(seed=0)
    assert set(observation) == {"observation", "achieved_goal", "desired_goal"}
    goals = np.array([[0.0, 0.0], [0.3, 0.0], [3.0, 4.0]])
    rewards = base.compute_reward(goals, np.zeros((3, 2)), [{}] * 3)
    np.testing.assert_array_equal(rewards, [1.0, 1.0, 0.0])
    observation, reward, *_ = env.step(idle(env))
    assert reward == base.compute_reward(
        observation["achieved_goal"], observation["desired_goal"], {}
    )
    # Filled by hand: only the buffer of SB3 is in question here.
    venv = DummyVecEnv([lambda: env])
    buffer = HerReplayBuffer(
        100, venv.observation_space, venv.action_space, env=venv, n_sampled_goal=4
    )
    last = venv.reset()
    for _ in range(40):
        action = np.array([env.action_space.sample()])
        following, rewards, dones, infos = venv.step(action)
        buffer.add(last, following, action, rewards, dones, infos)
        last = following
    sample = buffer.sample(200)
    reached = np.linalg.norm(
        sample.next_observations["achieved_goal"] - sample.observations["desired_goal"], axis=1
    )
    np.testing.assert_array_equal(sample.rewards.numpy()[:, 0], reached <= 0.45)
    assert 0 < sample.rewards.mean() < 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius": 0.0}, "radius must be a positive finite"),
        ({"radius": float("nan")}, "radius must be a positive finite"),
        ({"lure": 0.1}, "in the maze 'fork'"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        envs.make("PointMazeGoal_UMaze-v0", **options)


def test_an_unknown_maze_is_refused_with_the_known_ones():
    from envs.mujoco.maze_goal import MazeGoalEnv

    with pytest.raises(ValueError, match="maze must be one of umaze, medium, large, fork"):
        MazeGoalEnv(maze="huge")
    with pytest.raises(ValueError, match="robot must be one of point, ant"):
        MazeGoalEnv(robot="car")
    with pytest.raises(ValueError, match="lure must be between 0 and 1"):
        MazeGoalEnv(maze="fork", lure=1.0)
