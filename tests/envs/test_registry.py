"""Environments by name, and errors that name the nearest valid one."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest

import envs
from envs import registry

# These make a level from a des-file, which the user has to give.
CUSTOM = {"MiniHack-Navigation-Custom-v0", "MiniHack-Skill-Custom-v0"}


@pytest.mark.parametrize("name", sorted({*envs.names()} - CUSTOM))
def test_every_listed_name_can_be_made_and_stepped(name):
    env = envs.make(name)
    first, _ = env.reset(seed=0)
    env.action_space.seed(0)
    observation, reward, *_ = env.step(env.action_space.sample())
    env.close()
    assert env.observation_space.contains(first)
    assert env.observation_space.contains(observation)
    assert np.isfinite(reward)


def test_names_are_sorted_and_hold_the_three_families():
    names = envs.names()
    assert names == sorted(set(names))
    assert {"HalfCheetah-v5", "CartPole-v1", "HalfCheetahGoal-v0"} <= set(names)


def test_arguments_reach_the_environment():
    assert envs.make("HalfCheetahGoal-v0", goal=2.5).unwrapped.goal == 2.5
    assert envs.make("CartPole-v1", max_episode_steps=7).spec.max_episode_steps == 7


def test_our_tasks_are_registered_with_gymnasium_once():
    registry.register()  # a second registration would warn, and warnings are errors here
    assert gymnasium.spec("HalfCheetahGoal-v0").max_episode_steps == 200


@pytest.mark.parametrize(
    ("written", "nearest"),
    [
        ("halfcheetah-v5", "HalfCheetah-v5"),
        ("HalfCheetahGoal", "HalfCheetahGoal-v0"),
        ("Cartpole-v1", "CartPole-v1"),
        ("Hoper-v5", "Hopper-v5"),
        ("CartPole-v9", "CartPole-v1"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(written, nearest):
    with pytest.raises(envs.EnvironmentNameError, match=f"Did you mean '{nearest}'") as caught:
        envs.make(written)
    assert caught.value.nearest == nearest
    assert isinstance(caught.value, ValueError)


def test_a_name_like_no_other_gets_the_list_and_no_guess():
    with pytest.raises(envs.EnvironmentNameError, match=r"prints the [0-9]+ listed") as caught:
        envs.make("qqq")
    assert caught.value.nearest is None
    assert "Did you mean" not in str(caught.value)


def test_a_missing_package_is_answered_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium_robotics", None)
    monkeypatch.setattr(gymnasium, "registry", dict(gymnasium.registry))
    gymnasium.registry.pop("FetchReach-v4", None)
    with pytest.raises(envs.MissingSimulatorError, match=r'pip install "ctrl\[mujoco\]"'):
        envs.make("FetchReach-v4")


def test_a_missing_simulator_is_answered_with_the_command(monkeypatch):
    def make(name, **kwargs):
        raise gymnasium.error.DependencyNotInstalled("MuJoCo is not installed")

    monkeypatch.setattr(gymnasium, "make", make)
    with pytest.raises(envs.MissingSimulatorError, match=r'pip install "ctrl\[mujoco\]"'):
        envs.make("HalfCheetah-v5")


def test_importing_envs_imports_no_simulator_and_no_learner():
    code = (
        "import sys, envs; envs.names(); envs.make('CartPole-v1');"
        "print([m for m in ('mujoco', 'torch', 'stable_baselines3', 'gymnasium_robotics')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_whole_worlds_are_taken_where_a_world_has_several_columns():
    assert envs.whole_columns("HalfCheetah-v5", 5) == 5
    assert envs.whole_columns("RocketLeague2v2-v0", 8) == 8
    assert envs.whole_columns("RocketLeague3v3-v0", 16) == 18
