"""What all continuous worlds share: independent columns, exact states, pictures."""

import numpy as np
import pytest

import envs
from envs.registry import make_vec
from envs.worlds.continuous_tasks import CONTINUOUS

NAMES = [task.name for task in CONTINUOUS]
OPTIONS = {
    "PointMass-v0": {"context": 3},
    "PointMassGoals-v0": {"distractors": 3},
    "PickAndPlace2D-v0": {"images": True},
    "PointWalker-v0": {"final_image": True},
    "Curling-v0": {"final_image": True, "horizon": 60},
    "HardMaze-v0": {"final_image": True, "horizon": 60},
    "RedundantArm-v0": {"final_image": True},
}


def equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def actions(env, columns):
    """Return 130 steps of actions, the same ones kept for a while."""
    random = np.random.default_rng(0)
    kept = random.uniform(-1.2, 1.2, (13, columns, *env.action_space.shape)).astype(np.float32)
    return np.repeat(kept, 10, axis=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_column_does_not_depend_on_the_batch_around_it(name):
    venv = make_vec(name, 9, **OPTIONS.get(name, {}))
    env = envs.make(name, **OPTIONS.get(name, {}))
    rows = actions(env, 9)
    batch, batch_info = venv.reset(seed=10)
    alone, info = env.reset(seed=17)
    for row in rows:
        assert np.array_equal(batch[7], alone)
        assert all(np.array_equal(batch_info[key][7], info[key]) for key in info)
        batch, reward, terminated, truncated, batch_info = venv.step(row)
        alone, own_reward, own_terminated, own_truncated, info = env.step(row[7])
        assert (reward[7], terminated[7], truncated[7]) == (
            own_reward,
            own_terminated,
            own_truncated,
        )
        if own_terminated or own_truncated:
            assert np.array_equal(batch_info["final_obs"][7], alone)
            assert all(np.array_equal(batch_info[key][7], info[key]) for key in info)
            alone, info = env.reset()
            batch_info = {key: batch_info[key].copy() for key in info}
            for key in info:
                batch_info[key][7] = info[key]


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_state_continues_exactly(name):
    venv = make_vec(name, 5, **OPTIONS.get(name, {}))
    venv.reset(seed=0)
    rows = actions(envs.make(name, **OPTIONS.get(name, {})), 5)
    for row in rows[:25]:
        venv.step(row)
    saved = venv.snapshot()
    first = [venv.step(row) for row in rows[25:]]
    other = make_vec(name, 5, **OPTIONS.get(name, {}))
    other.restore(saved)
    for row, expected in zip(rows[25:], first, strict=True):
        seen = other.step(row)
        assert all(np.array_equal(a, b) for a, b in zip(seen[:4], expected[:4], strict=True))
        assert equal(seen[4], expected[4])


@pytest.mark.parametrize("name", NAMES)
def test_extreme_actions_stay_within_the_spaces(name):
    venv = make_vec(name, 16, **OPTIONS.get(name, {}))
    venv.reset(seed=0)
    random = np.random.default_rng(0)
    for _ in range(100):
        shape = venv.action_space.shape
        observation, reward, _, _, infos = venv.step(random.choice([-1e30, 0.0, 1e30], shape))
        assert venv.observation_space.contains(observation)
        assert np.isfinite(reward).all()
        assert all(np.isfinite(infos[key]).all() for key in venv.info_keys if key in infos)


@pytest.mark.parametrize("name", NAMES)
def test_infos_are_documented_and_the_same_at_every_step(name):
    env = envs.make(name, **OPTIONS.get(name, {}))
    _, at_reset = env.reset(seed=0)
    at_step = env.step(env.action_space.sample())[4]
    assert set(at_reset) == set(at_step) == set(env.unwrapped.info_keys)


@pytest.mark.parametrize("name", NAMES)
def test_pictures_change_with_the_state(name):
    env = envs.make(name, render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    for row in actions(env, 1)[:40]:
        env.step(row[0])
    assert first.dtype == np.uint8
    assert first.shape == env.render().shape
    assert first.shape[2] == 3
    assert not np.array_equal(first, env.render())


@pytest.mark.parametrize("name", ["Curling-v0", "HardMaze-v0", "RedundantArm-v0", "PointWalker-v0"])
def test_the_last_state_is_pictured_once(name):
    venv = make_vec(name, 3, final_image=True, horizon=4)
    _, infos = venv.reset(seed=0)
    lit = [infos["final_image"].any(axis=(1, 2, 3))]
    random = np.random.default_rng(0)
    for _ in range(4):
        infos = venv.step(random.uniform(-1.0, 1.0, venv.action_space.shape))[4]
        lit.append(infos["final_image"].any(axis=(1, 2, 3)))
    assert np.array(lit).tolist() == [[False] * 3] * 4 + [[True] * 3]
    assert not np.array_equal(infos["final_image"][0], infos["final_image"][1])
