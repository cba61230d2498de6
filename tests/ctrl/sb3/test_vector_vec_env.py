"""Natively vectorised worlds under SB3's interface mean what the same worlds one by one mean."""

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecMonitor

import envs
from ctrl.sb3.recorder import Recorder
from ctrl.sb3.vec_env import InProcessVecEnv, make_vec_env
from ctrl.sb3.vector_vec_env import VectorVecEnv

COLUMNS = 5


def both(name, **options):
    return (
        make_vec_env(name, n_envs=COLUMNS, seed=3, backend=backend, env_kwargs=options)
        for backend in ("vector", "threads")
    )


def actions(venv, steps, seed=0):
    space = venv.action_space
    space.seed(seed)
    return [np.stack([space.sample() for _ in range(COLUMNS)]) for _ in range(steps)]


@pytest.mark.parametrize(
    ("name", "options", "steps"),
    [
        ("PointMass-v0", {"max_episode_steps": 7}, 20),
        ("PickAndPlace2D-v0", {"max_episode_steps": 9}, 20),
        ("LavaGrid-v0", {"max_episode_steps": 30}, 100),
    ],
)
def test_columns_equal_environments_stepped_one_by_one(name, options, steps):
    vector, single = both(name, **options)
    assert isinstance(vector, VectorVecEnv)
    assert isinstance(single, InProcessVecEnv)
    np.testing.assert_array_equal(vector.reset(), single.reset())
    ended = 0
    for action in actions(vector, steps):
        left, right = vector.step(action), single.step(action)
        for ours, theirs in zip(left[:3], right[:3], strict=True):
            np.testing.assert_array_equal(ours, theirs)
        for name_ in ("terminated", "truncated", "next_observation"):
            np.testing.assert_array_equal(getattr(vector, name_), getattr(single, name_))
        for key, values in single.info_columns().items():
            np.testing.assert_array_equal(vector.info_columns()[key], values)
        for column in np.flatnonzero(left[2]):
            ended += 1
            ours, theirs = left[3][column], right[3][column]
            assert ours["episode"]["l"] == theirs["episode"]["l"]
            assert ours["episode"]["r"] == pytest.approx(theirs["episode"]["r"], abs=2e-6)
            assert ours["TimeLimit.truncated"] == theirs["TimeLimit.truncated"]
            np.testing.assert_array_equal(
                ours["terminal_observation"], theirs["terminal_observation"]
            )
            assert {*theirs} <= {*ours}
    assert ended >= COLUMNS


def test_what_was_returned_is_never_written_again():
    venv = make_vec_env("PointMass-v0", n_envs=2, seed=0)
    venv.reset()
    zero = np.zeros((2, 2), dtype=np.float32)
    first = venv.step(zero + 1)
    kept = [np.array(part) for part in first[:3]]
    columns = {name: np.array(values) for name, values in venv.info_columns().items()}
    held = venv.info_columns()
    venv.step(zero - 1)
    for part, copy in zip(first[:3], kept, strict=True):
        np.testing.assert_array_equal(part, copy)
    for name, values in columns.items():
        np.testing.assert_array_equal(held[name], values)


def test_a_vector_that_resets_one_step_late_is_refused():
    late = gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="vector_entry_point")
    with pytest.raises(envs.VectorizationError, match="resets ended columns with"):
        VectorVecEnv(late)


def test_gymnasiums_own_vectors_that_reset_in_time_are_accepted():
    own = gymnasium.make_vec(
        "CartPole-v1",
        num_envs=2,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP},
        max_episode_steps=5,
    )
    recorder = Recorder(VectorVecEnv(own))
    recorder.seed(0)
    recorder.reset()
    recorder.begin(6)
    for _ in range(6):
        _, _, dones, infos = recorder.step(np.array([0, 1]))
        for column in np.flatnonzero(dones):
            assert infos[column]["terminal_observation"].shape == (4,)
    rollout = recorder.rollout()
    assert rollout.truncated[4].all()
    assert not rollout.terminated.any()
    assert not np.array_equal(rollout.next_observation[4], rollout.observation[5])


def test_a_restored_vector_continues_bit_for_bit_also_across_resets():
    venv = make_vec_env("PointMass-v0", n_envs=COLUMNS, seed=1, env_kwargs={"max_episode_steps": 8})
    other = make_vec_env(
        "PointMass-v0", n_envs=COLUMNS, seed=99, env_kwargs={"max_episode_steps": 8}
    )
    venv.reset()
    plan = actions(venv, 40)
    for action in plan[:13]:
        venv.step(action)
    saved = venv.snapshot()
    other.restore(saved)
    for action in plan[13:]:
        left, right = venv.step(action), other.step(action)
        for ours, theirs in zip(left[:3], right[:3], strict=True):
            np.testing.assert_array_equal(ours, theirs)
        for ours, theirs in zip(left[3], right[3], strict=True):
            assert ours.get("episode", {}).get("r") == theirs.get("episode", {}).get("r")


def test_a_snapshot_of_another_number_of_columns_is_refused():
    saved = make_vec_env("PointMass-v0", n_envs=2, seed=1)
    saved.reset()
    with pytest.raises(envs.SnapshotError, match="2 columns, there are 3"):
        make_vec_env("PointMass-v0", n_envs=3, seed=1).restore(saved.snapshot())


def test_a_bad_action_is_named_with_its_column():
    venv = make_vec_env("PointMass-v0", n_envs=3, seed=0)
    venv.reset()
    action = np.zeros((3, 2), dtype=np.float32)
    action[2, 1] = np.nan
    with pytest.raises(envs.ActionError, match="action of column 2"):
        venv.step(action)


def test_attributes_are_those_of_all_columns():
    venv = make_vec_env("PointMass-v0", n_envs=3, seed=0)
    assert len(venv.get_attr("simulation")) == 3
    with pytest.raises(envs.VectorizationError, match="share their attributes"):
        venv.set_attr("render_mode", None, indices=[0])


def test_sb3s_own_monitor_counts_the_same_episodes():
    venv = make_vec_env("PointMass-v0", n_envs=2, seed=0, env_kwargs={"max_episode_steps": 5})
    other = make_vec_env("PointMass-v0", n_envs=2, seed=0, env_kwargs={"max_episode_steps": 5})
    with pytest.warns(UserWarning, match="already wrapped"):
        monitored = VecMonitor(other)
    venv.reset()
    monitored.reset()
    for _ in range(5):
        ours = venv.step(np.full((2, 2), 0.5, dtype=np.float32))[3]
        theirs = monitored.step(np.full((2, 2), 0.5, dtype=np.float32))[3]
    for left, right in zip(ours, theirs, strict=True):
        assert left["episode"]["l"] == right["episode"]["l"] == 5
        assert left["episode"]["r"] == pytest.approx(right["episode"]["r"], rel=1e-5)
