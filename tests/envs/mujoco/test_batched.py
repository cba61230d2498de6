"""Batched tasks give the bits of Gymnasium's own environments."""

import itertools

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv

import envs
from envs.errors import ActionError
from envs.mujoco.batch import batch

TASKS = [
    ("Ant-v5", {}),
    ("Ant-v5", {"include_cfrc_ext_in_observation": False, "main_body": "torso",
                "exclude_current_positions_from_observation": False,
                "terminate_when_unhealthy": False, "contact_cost_weight": 0.1}),
    ("HalfCheetah-v5", {}),
    ("HalfCheetah-v5", {"frame_skip": 3, "ctrl_cost_weight": 0.3, "forward_reward_weight": 2.5,
                        "exclude_current_positions_from_observation": False}),
    ("HalfCheetahGoal-v0", {"goal": 0.5}),
    ("HalfCheetahLure-v0", {"goal": 0.5, "lure": 0.2}),
    ("HalfCheetahSparse-v0", {"threshold": 0.3}),
    ("Hopper-v5", {}),
    ("Hopper-v5", {"healthy_state_range": (-2.0, 2.0), "healthy_reward": 0.3}),
    ("HopperGoal-v0", {"goal": 0.05}),
    ("HopperSparse-v0", {"threshold": 0.2}),
    ("Humanoid-v5", {}),
    ("Humanoid-v5", {"include_cvel_in_observation": False, "contact_cost_range": (0.0, 1e-6)}),
    ("InvertedPendulum-v5", {}),
    ("Swimmer-v5", {}),
    ("Swimmer-v5", {"exclude_current_positions_from_observation": False}),
    ("Walker2d-v5", {}),
    ("Walker2d-v5", {"reset_noise_scale": 0.05, "healthy_z_range": (1.0, 1.5)}),
]  # fmt: skip


def bits(value):
    return np.asarray(value, dtype=np.float64).tobytes()


@pytest.mark.parametrize(("name", "kwargs"), TASKS)
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_and_resets_are_bit_equal(name, kwargs, count, dtype):
    alone = [envs.make(name, max_episode_steps=25, **kwargs) for _ in range(count)]
    together = [envs.make(name, max_episode_steps=25, **kwargs) for _ in range(count)]
    task = batch(together, threads=min(2, count))
    for column, (one, other) in enumerate(zip(alone, together, strict=True)):
        one.reset(seed=column)
        other.reset(seed=column)
    task.load()
    rng = np.random.default_rng(0)
    ends = 0
    for _ in range(60):
        actions = rng.uniform(-1, 1, (count, *alone[0].action_space.shape)).astype(dtype)
        step = task.step(actions)
        for column, env in enumerate(alone):
            observation, reward, terminated, truncated, info = env.step(actions[column])
            assert bits(step.observation[column]) == bits(observation)
            assert bits(step.reward[column]) == bits(reward)
            assert (step.terminated[column], step.truncated[column]) == (terminated, truncated)
            assert list(step.info) == list(info)
            for key, value in info.items():
                assert bits(step.info[key][column]) == bits(value), key
            if terminated or truncated:
                ends += 1
                expected = env.reset()[0]
                assert bits(together[column].reset()[0]) == bits(expected)
                task.load([column])
    task.close()
    assert ends >= 2 * count


def test_skipping_nothing_the_simulations_stay_equal_as_a_whole():
    """Also what the task does not read, such as contact forces, is as in Gymnasium."""
    alone, together = envs.make("HalfCheetah-v5"), envs.make("HalfCheetah-v5")
    task = batch([together])
    alone.reset(seed=0)
    together.reset(seed=0)
    task.load()
    rng = np.random.default_rng(0)
    for _ in range(200):
        actions = rng.uniform(-1, 1, (1, 6)).astype(np.float32)
        task.step(actions)
        alone.step(actions[0])
    task.store()
    first, second = envs.snapshot(alone), envs.snapshot(together)
    for name, value in first["state"]["simulation"]["derived"].items():
        np.testing.assert_array_equal(second["state"]["simulation"]["derived"][name], value)
    limit = {"wrapper": "TimeLimit", "_elapsed_steps": 200}
    assert limit in first["wrappers"]
    assert first["wrappers"][1:] == second["wrappers"][1:]  # but for gymnasium's checker


def test_results_are_not_overwritten():
    made = [envs.make("Ant-v5") for _ in range(3)]
    task = batch(made, threads=2)
    for env in made:
        env.reset(seed=0)
    task.load()
    actions = np.ones((3, 8), dtype=np.float32)
    kept = [task.step(actions) for _ in range(4)]
    task.close()
    copies = [step.observation.copy() for step in kept]
    assert all((a != b).any() for a, b in itertools.pairwise(copies))
    for step in kept:
        arrays = [step.observation, step.reward, step.terminated, step.truncated]
        arrays += step.info.values()
        for other in kept:
            if other is not step:
                assert not any(np.shares_memory(a, other.observation) for a in arrays)


def test_a_state_set_from_outside_counts():
    env = envs.make("HalfCheetah-v5")
    task = batch([env])
    env.reset(seed=0)
    task.load()
    base = env.unwrapped
    qpos = base.init_qpos.copy()
    qpos[0] = 3.0
    base.set_state(qpos, base.init_qvel)
    step = task.step(np.zeros((1, 6)))
    assert abs(step.info["x_velocity"][0]) < 2.0  # three metres in one step would be 60 m/s
    assert step.info["x_position"][0] > 2.5


def test_stepping_before_a_reset_is_refused():
    with pytest.raises(gymnasium.error.ResetNeeded):
        batch([envs.make("HalfCheetah-v5")]).step(np.zeros((1, 6)))


def test_actions_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(1, 6\).*got \(2, 6\)"):
        batch([envs.make("HalfCheetah-v5")]).step(np.zeros((2, 6)))


def test_actions_that_are_not_finite_are_refused_by_column():
    made = [envs.make("HalfCheetah-v5") for _ in range(2)]
    task = batch(made)
    for env in made:
        env.reset(seed=0)
    task.load()
    actions = np.zeros((2, 6))
    actions[1, 3] = np.nan
    with pytest.raises(ActionError, match=r"column 1 .*finite"):
        task.step(actions)


class MyCheetah(HalfCheetahEnv):
    """A subclass may change anything, so it must not be taken for the original."""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: envs.make("CartPole-v1"), "no batched form of CartPoleEnv"),
        (MyCheetah, "no batched form of MyCheetah"),
        (
            lambda: gymnasium.wrappers.ClipAction(envs.make("HalfCheetah-v5")),
            "wrapper ClipAction has to see every step",
        ),
        (
            lambda: gymnasium.wrappers.TimeLimit(envs.make("HalfCheetah-v5"), 5),
            "more than one TimeLimit",
        ),
    ],
)
def test_what_is_not_exactly_known_is_refused(make, message):
    with pytest.raises(envs.BatchingError, match=message):
        batch([make()])


def test_different_arguments_are_refused():
    made = [envs.make("HalfCheetah-v5"), envs.make("HalfCheetah-v5", ctrl_cost_weight=0.5)]
    with pytest.raises(envs.BatchingError, match="same ctrl_cost_weight"):
        batch(made)
    with pytest.raises(envs.BatchingError, match="same frame_skip"):
        batch([envs.make("HalfCheetah-v5"), envs.make("HalfCheetah-v5", frame_skip=2)])
    with pytest.raises(ValueError, match="at least one"):
        batch([])
