"""Every listed MuJoCo task can be made, stepped and reproduced, and says what is in its info."""

import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest

import envs
from envs.mujoco import tasks

# Loading the kitchen takes seconds; its snapshot test makes it.
NAMES = [task.name for task in tasks.FAMILY.tasks if task.name != "FrankaKitchen-v1"]
OWN = [task.name for task in tasks.FAMILY.tasks if task.entry_point]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_trajectory(name):
    def run(env, seed):
        env.action_space.seed(0)
        seen = [gymnasium.spaces.flatten(env.observation_space, env.reset(seed=seed)[0])]
        for _ in range(5):
            observation, reward, *_ = env.step(env.action_space.sample())
            assert observation in env.observation_space
            assert np.isfinite(reward)
            seen.append(gymnasium.spaces.flatten(env.observation_space, observation))
        return np.array(seen)

    with warnings.catch_warnings():
        # Reacher and Pusher report a reward of the type of the action.
        warnings.filterwarnings("ignore", message=".*reward returned by")
        env = envs.make(name)
        first, second, other = run(env, 1), run(env, 1), run(env, 2)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", OWN)
def test_our_own_tasks_document_their_info(name):
    env = envs.make(name)
    documented = {}
    layer = env
    while isinstance(layer, gymnasium.Wrapper):
        documented |= getattr(type(layer), "info_keys", {})
        layer = layer.env
    documented |= getattr(layer, "info_keys", {})
    _, first = env.reset(seed=0)
    infos = [env.step(env.action_space.sample())[4] for _ in range(3)]
    assert all(info.keys() == infos[0].keys() for info in infos)
    gymnasiums_own = "Episodic" in name
    for key, value in {**first, **infos[0]}.items():
        assert gymnasiums_own or key in documented, key
        assert np.asarray(value).dtype.kind in "biuf", key
    assert not gymnasiums_own or "dense_reward" in documented


def test_nothing_is_printed_when_a_task_is_made():
    code = "import envs; envs.make('AdroitHandPen-v1').reset(seed=0)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_the_family_lists_no_name_twice():
    names = [task.name for task in tasks.FAMILY.tasks]
    assert len(set(names)) == len(names)
    assert set(names) <= set(envs.names())
