"""Every small world, through both fronts: one meaning, seeds, true final observations, saving."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import envs
from envs.registry import FAMILIES

WORLDS = next(family for family in FAMILIES if family.name == "worlds").tasks
VECTORISED = [task.name for task in WORLDS if task.vector_entry_point]
COLUMNS = 3
LIMIT = 13


def equal(first, second) -> bool:
    """Return whether two results are the same to the last bit, arrays within them too."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return bool(np.shape(first) == np.shape(second) and np.all(np.equal(first, second)))


def actions_for(space: gymnasium.Space, steps: int, seed: int) -> list[np.ndarray]:
    space.seed(seed)
    return [space.sample() for _ in range(steps)]


def column(tree, index):
    if isinstance(tree, dict):
        return {name: column(values, index) for name, values in tree.items()}
    return tree[index]


def make_pair(name: str) -> tuple[gymnasium.vector.VectorEnv, list[gymnasium.Env]]:
    vector = envs.make_vec(name, COLUMNS, max_episode_steps=LIMIT)
    return vector, [envs.make(name, max_episode_steps=LIMIT) for _ in range(COLUMNS)]


@pytest.mark.parametrize("name", VECTORISED)
def test_that_a_column_is_the_single_environment_bit_for_bit(name):
    vector, singles = make_pair(name)
    observation, infos = vector.reset(seed=7)
    for i, env in enumerate(singles):
        own, info = env.reset(seed=7 + i)
        names = set(info)
        assert equal(column(observation, i), own)
        assert equal(column(infos, i), info)
        assert vector.single_observation_space.contains(own)
        assert vector.single_observation_space == env.observation_space
    ends = 0
    for actions in actions_for(vector.action_space, 3 * LIMIT + 2, seed=1):
        observation, reward, terminated, truncated, infos = vector.step(actions)
        done = terminated | truncated
        assert ("final_obs" in infos) == ("_final_obs" in infos) == bool(done.any())
        for i, env in enumerate(singles):
            own, paid, ended, cut, info = env.step(actions[i])
            assert (paid, ended, cut) == (reward[i], terminated[i], truncated[i])
            events = {key: values for key, values in infos.items() if "final_obs" not in key}
            assert equal(column(events, i), info)
            assert set(info) == names <= set(env.get_wrapper_attr("info_keys"))
            if ended or cut:
                assert infos["_final_obs"][i]
                assert equal(column(infos["final_obs"], i), own)
                own, _ = env.reset()
                ends += 1
            assert equal(column(observation, i), own)
    assert ends > 0
    assert observation is not None
    vector.close()


@pytest.mark.parametrize("name", VECTORISED)
def test_that_the_same_seed_is_the_same_run_and_another_one_is_not_needed(name):
    vector = envs.make_vec(name, COLUMNS, max_episode_steps=LIMIT)
    taken = actions_for(vector.action_space, LIMIT + 5, seed=2)
    first, second = (walk(vector, taken, seed=[5, 11, 5]) for _ in range(2))
    assert equal(first, second)
    # Columns with the same seed are the same as long as their actions are.
    same = [np.concatenate([a[:1], a[1:2], a[:1]]) for a in taken]
    for observation, *_ in walk(vector, same, seed=[5, 11, 5]):
        assert equal(column(observation, 0), column(observation, 2))


def walk(vector, taken, **reset):
    if reset:
        vector.reset(**reset)
    return [vector.step(actions) for actions in taken]


@pytest.mark.parametrize("name", VECTORISED)
def test_that_a_vector_goes_on_from_a_snapshot_in_the_middle_of_an_episode(name):
    vector = envs.make_vec(name, COLUMNS, max_episode_steps=LIMIT)
    vector.reset(seed=3)
    taken = actions_for(vector.action_space, 2 * LIMIT, seed=4)
    walk(vector, taken[:9])
    saved = vector.snapshot()
    expected = walk(vector, taken[9:])
    vector.restore(saved)
    assert equal(walk(vector, taken[9:]), expected)
    other = envs.make_vec(name, COLUMNS, max_episode_steps=LIMIT)
    other.restore(saved)
    assert equal(walk(other, taken[9:]), expected)


@pytest.mark.parametrize("name", VECTORISED)
def test_that_a_single_environment_goes_on_from_a_snapshot(name):
    env = envs.make(name, max_episode_steps=LIMIT)
    env.reset(seed=3)
    taken = actions_for(env.action_space, 30, seed=4)
    run(env, taken[:5])
    saved = envs.snapshot(env)
    expected = run(env, taken[5:])
    envs.restore(env, saved)
    assert equal(run(env, taken[5:]), expected)
    other = envs.make(name, max_episode_steps=LIMIT)
    other.reset(seed=99)
    envs.restore(other, saved)
    assert equal(run(other, taken[5:]), expected)


def run(env, taken) -> list:
    steps = []
    for action in taken:
        steps.append(env.step(action))
        if steps[-1][2] or steps[-1][3]:
            steps.append(env.reset())
    return steps


@pytest.mark.parametrize("name", VECTORISED)
def test_that_a_time_limit_truncates_and_never_terminates(name):
    vector = envs.make_vec(name, COLUMNS, max_episode_steps=1)
    vector.reset(seed=0)
    unlimited = envs.make_vec(name, COLUMNS, max_episode_steps=None)
    unlimited.reset(seed=0)
    (actions,) = actions_for(vector.action_space, 1, seed=0)
    _, _, terminated, truncated, infos = vector.step(actions)
    assert truncated.all()
    assert infos["_final_obs"].all()
    assert np.array_equal(terminated, unlimited.step(actions)[2])


@pytest.mark.parametrize("name", VECTORISED)
def test_that_what_is_returned_belongs_to_the_caller(name):
    vector = envs.make_vec(name, COLUMNS, max_episode_steps=LIMIT)
    twin = envs.make_vec(name, COLUMNS, max_episode_steps=LIMIT)
    taken = actions_for(vector.action_space, LIMIT + 3, seed=5)
    expected = walk(twin, taken, seed=8)
    spoil(vector.reset(seed=8))
    for actions, step in zip(taken, expected, strict=True):
        found = vector.step(actions)
        assert equal(found, step)
        spoil(found)


def spoil(tree) -> None:
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    if isinstance(tree, tuple):
        for part in tree:
            spoil(part)
    elif tree.dtype != np.bool_:
        tree += 1
    else:
        np.logical_not(tree, out=tree)


@pytest.mark.parametrize("name", VECTORISED)
def test_that_no_world_draws_from_the_global_generator(name):
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    env = envs.make(name, max_episode_steps=5)
    env.reset()
    run(env, actions_for(env.action_space, 12, seed=0))
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
