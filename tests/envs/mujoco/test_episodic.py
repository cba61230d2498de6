"""Episodic tasks pay, at the end and only there, exactly what the dense task would have paid."""

import gymnasium
import numpy as np
import pytest

import envs
from envs.mujoco import tasks
from envs.mujoco.batch import batch

EPISODIC = [task.name for task in tasks.FAMILY.tasks if task.wrappers]


def dense_name(name):
    return name.replace("Episodic-v0", "-v5")


@pytest.mark.parametrize("name", EPISODIC)
def test_the_whole_return_arrives_at_the_last_step(name):
    limit = 12
    env = envs.make(name, max_episode_steps=limit)
    dense = envs.make(dense_name(name), max_episode_steps=limit)
    first, second = env.reset(seed=3)[0], dense.reset(seed=3)[0]
    np.testing.assert_array_equal(first, second)
    env.action_space.seed(0)
    earned, ended = 0.0, 0
    for _ in range(2 * limit):
        action = env.action_space.sample()
        observation, reward, terminated, truncated, info = env.step(action)
        expected, paid, *ends, dense_info = dense.step(action)
        np.testing.assert_array_equal(observation, expected)
        assert [terminated, truncated] == ends
        assert info["dense_reward"] == float(paid)
        assert set(info) == {*dense_info, "dense_reward"}
        earned += float(paid)
        assert reward == (earned if terminated or truncated else 0.0)
        if terminated or truncated:
            ended += 1
            earned = 0.0
            env.reset()
            dense.reset()
    assert ended == 2
    assert env.spec.max_episode_steps == limit


def falling(count=1):
    """Hoppers that are about to fall, so that the episode terminates before its limit."""
    made = [envs.make("HopperEpisodic-v0") for _ in range(count)]
    for column, env in enumerate(made):
        env.reset(seed=column)
    return made


def test_termination_pays_too():
    (env,) = falling()
    earned = 0.0
    for _ in range(300):
        _, reward, terminated, truncated, info = env.step(np.ones(3, dtype=np.float32))
        earned += info["dense_reward"]
        if terminated:
            break
        assert reward == 0.0
    assert terminated
    assert not truncated
    assert reward == earned != 0.0


def test_an_unfinished_episode_is_forgotten_at_a_reset():
    env = envs.make("HalfCheetahEpisodic-v0", max_episode_steps=3)
    action = np.ones(6, dtype=np.float32)
    env.reset(seed=0)
    env.step(action)
    env.reset(seed=0)
    rewards = [env.step(action) for _ in range(3)]
    assert rewards[-1][1] == sum(step[4]["dense_reward"] for step in rewards)


@pytest.mark.parametrize("limit", [7, 1000])
def test_the_batch_withholds_the_same_bits(limit):
    name = "HopperEpisodic-v0"
    alone = [envs.make(name, max_episode_steps=limit) for _ in range(3)]
    together = [envs.make(name, max_episode_steps=limit) for _ in range(3)]
    for column, (one, other) in enumerate(zip(alone, together, strict=True)):
        one.reset(seed=column)
        other.reset(seed=column)
    task = batch(together)
    task.load()
    rng = np.random.default_rng(0)
    paid = 0
    for _ in range(60):
        actions = rng.uniform(-1, 1, (3, 3)).astype(np.float32)
        step = task.step(actions)
        for column, env in enumerate(alone):
            _, reward, terminated, truncated, info = env.step(actions[column])
            assert step.reward[column] == reward
            assert step.info["dense_reward"][column] == info["dense_reward"]
            if terminated or truncated:
                paid += 1
                assert (step.terminated[column], step.truncated[column]) == (terminated, truncated)
                env.reset()
                together[column].reset()
                task.load([column])
    assert paid >= 3
    # What the batch withheld so far goes back to the environments.
    task.store()
    for one, other in zip(alone, together, strict=True):
        # The first is gymnasium's checker, which does not see the steps of a batch.
        assert envs.snapshot(one)["wrappers"][1:] == envs.snapshot(other)["wrappers"][1:]


def test_a_time_limit_around_the_wrapper_is_refused_by_the_batch():
    env = gymnasium.wrappers.TimeLimit(
        envs.make("HopperEpisodic-v0", max_episode_steps=-1), max_episode_steps=5
    )
    with pytest.raises(envs.BatchingError, match="time limit is outside of EpisodicReturn"):
        batch([env])
    with pytest.raises(envs.BatchingError, match="Only some environments"):
        batch([envs.make("HopperEpisodic-v0"), envs.make("Hopper-v5")])
