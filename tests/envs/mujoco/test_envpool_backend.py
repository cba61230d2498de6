"""EnvPool and Gymnasium, stepped side by side from the same states with the same actions."""

import sys

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import envs
from envs.errors import ActionError
from envs.mujoco.envpool_backend import make_envpool
from envs.mujoco.envpool_tasks import POOL_TASKS

pytest.importorskip("envpool")

COLUMNS = 4
# How far observations, and rewards and infos, may be apart within 5 steps from equal states.
# EnvPool carries the same MuJoCo, and most tasks agree to the last bit but for the float32 of its
# rewards. Its humanoid model differs in the last digits of a float32, and lying on the floor
# magnifies that: there the forces of contact, some hundred newtons, differ by up to 0.5.
CLOSE = {"rtol": 1e-6, "atol": 1e-6}
OBSERVATIONS = {
    "Humanoid-v5": {"rtol": 1e-4, "atol": 1e-4},
    "HumanoidStandup-v5": {"rtol": 1e-2, "atol": 1.0},
}
REWARDS = {"HumanoidStandup-v5": {"rtol": 1e-3, "atol": 1e-3}}


def start(name, base, observation):
    """Put a Gymnasium environment into the state of which EnvPool shows the first observation."""
    nq, nv = base.model.nq, base.model.nv
    if name == "Reacher-v5":
        angles = np.arctan2(observation[2:4], observation[:2])
        qpos, qvel = np.r_[angles, observation[4:6]], np.r_[observation[6:8], 0, 0]
    elif name == "InvertedDoublePendulum-v5":
        angles = np.arctan2(observation[1:3], observation[3:5])
        qpos, qvel = np.r_[observation[0], angles], observation[5:8]
    elif name == "Pusher-v5":
        qpos = np.r_[observation[:7], np.zeros(4)]
        base.set_state(qpos, np.zeros(nv))
        y_and_x = (observation[17:19] - base.get_body_com("object")[:2])[::-1]
        qpos[7:9] = y_and_x
        qvel = np.r_[observation[7:14], np.zeros(4)]
    else:
        qpos, qvel = observation[:nq], observation[nq : nq + nv]
    mujoco.mj_resetData(base.model, base.data)
    base.set_state(qpos, qvel)


def shows_all(name):
    hidden = POOL_TASKS[name].hidden
    return {"exclude_current_positions_from_observation": False} if hidden else {}


@pytest.mark.parametrize("name", POOL_TASKS)
def test_spaces_and_limits_are_those_of_gymnasium(name):
    dense = gymnasium.make(name)
    for options in ({}, shows_all(name)):
        pool = make_envpool(name, COLUMNS, threads=1, **options)
        single = gymnasium.make(name, **options)
        assert pool.single_observation_space == single.observation_space
        assert pool.single_action_space == single.action_space
        observation, infos = pool.reset(seed=0)
        assert observation in pool.observation_space
        assert infos == {}
        pool.close()
    assert POOL_TASKS[name].max_episode_steps == dense.spec.max_episode_steps


@pytest.mark.parametrize("name", POOL_TASKS)
def test_steps_agree_with_gymnasium(name):
    options = shows_all(name)
    pool = make_envpool(name, COLUMNS, threads=1, **options)
    single = [gymnasium.make(name, **options) for _ in range(COLUMNS)]
    observation, _ = pool.reset(seed=3)
    for env, first in zip(single, observation, strict=True):
        env.reset(seed=0)
        start(name, env.unwrapped, first)
        np.testing.assert_allclose(env.unwrapped._get_obs(), first, rtol=0, atol=1e-9)
    rng = np.random.default_rng(0)
    space = pool.single_action_space
    near, paid = OBSERVATIONS.get(name, CLOSE), REWARDS.get(name, CLOSE)
    alive = np.ones(COLUMNS, dtype=bool)
    compared = 0
    for _ in range(5):
        actions = rng.uniform(space.low, space.high, (COLUMNS, *space.shape)).astype(np.float32)
        following, reward, terminated, truncated, infos = pool.step(actions)
        last = infos.get("final_obs", following)
        for column in np.flatnonzero(alive):
            expected = single[column].step(actions[column])
            np.testing.assert_allclose(last[column], expected[0], **near)
            np.testing.assert_allclose(reward[column], expected[1], **paid)
            assert (terminated[column], truncated[column]) == expected[2:4]
            names = {key for key in infos if "final_obs" not in key}
            assert names == set(expected[4]) - set(pool.missing_info)
            for key in names:
                np.testing.assert_allclose(
                    infos[key][column], expected[4][key], **paid, err_msg=key
                )
            alive[column] = not (expected[2] or expected[3])
            compared += 1
    assert compared >= 3 * COLUMNS
    pool.close()


@pytest.mark.parametrize("name", ["HalfCheetah-v5", "Hopper-v5", "Ant-v5"])
def test_the_shown_observation_is_the_tail_of_the_whole_one(name):
    shown, whole = make_envpool(name, 2), make_envpool(name, 2, **shows_all(name))
    hidden = POOL_TASKS[name].hidden
    first, second = shown.reset(seed=1)[0], whole.reset(seed=1)[0]
    np.testing.assert_array_equal(first, second[:, hidden:])
    actions = np.full(shown.action_space.shape, 0.3, dtype=np.float32)
    one, other = shown.step(actions), whole.step(actions)
    np.testing.assert_array_equal(one[0], other[0][:, hidden:])
    np.testing.assert_array_equal(one[4]["x_position"], other[0][:, 0])


def test_a_task_that_only_truncates_never_terminates():
    """Its last observations are true, and no step is lost to a late reset."""
    limit, columns = 7, 3
    pool = make_envpool("HalfCheetah-v5", columns, threads=2, max_episode_steps=limit)
    long = make_envpool("HalfCheetah-v5", columns, threads=2)
    assert pool.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    first, other = pool.reset(seed=2)[0], long.reset(seed=2)[0]
    np.testing.assert_array_equal(first, other)
    rng = np.random.default_rng(0)
    for step in range(1, 3 * limit + 1):
        actions = rng.uniform(-1, 1, (columns, 6)).astype(np.float32)
        observation, reward, terminated, truncated, infos = pool.step(actions)
        assert not terminated.any()
        ends = step % limit == 0
        assert truncated.all() == truncated.any() == ends == ("final_obs" in infos)
        assert (reward != 0).all()  # a step that only resets would pay nothing
        if step <= limit:  # the run without a limit shows what the last observation should be
            expected = long.step(actions)[0]
            np.testing.assert_array_equal(infos["final_obs"] if ends else observation, expected)
        if ends:
            assert infos["_final_obs"].all()
            assert (np.abs(observation - infos["final_obs"]).max(axis=1) > 1e-3).all()
            # A starting state: positions within the 0.1 of Gymnasium's reset noise.
            assert (np.abs(observation[:, :8]) <= 0.1).all()


def test_a_fall_terminates_only_its_own_column():
    pool = make_envpool("Hopper-v5", 4, threads=1)
    pool.reset(seed=0)
    rng = np.random.default_rng(0)
    falls = 0
    elapsed = np.zeros(4, dtype=int)
    for _ in range(120):
        actions = rng.uniform(-1, 1, (4, 3)).astype(np.float32)
        observation, _, terminated, truncated, infos = pool.step(actions)
        assert not truncated.any()
        elapsed += 1
        if terminated.any():
            np.testing.assert_array_equal(infos["_final_obs"], terminated)
            lean = infos["final_obs"][terminated, 1]
            height = infos["final_obs"][terminated, 0]
            assert ((np.abs(lean) >= 0.2) | (height <= 0.7)).all()
            # The others go on; the fallen one stands again.
            np.testing.assert_array_equal(observation[~terminated], infos["final_obs"][~terminated])
            assert (np.abs(observation[terminated, 1]) <= 0.005).all()
            assert (infos["reward_survive"][terminated] == 0).all()
            falls += terminated.sum()
            elapsed[terminated] = 0
        assert (infos["reward_survive"][~terminated] == 1).all()
    assert falls >= 8


def test_the_same_seeds_give_the_same_run_in_any_number_of_columns():
    def run(columns, **seed):
        pool = make_envpool("Hopper-v5", columns, threads=2)
        seen = [pool.reset(**seed)[0][-1]]
        for step in range(60):
            actions = np.full((columns, 3), np.sin(step), dtype=np.float32)
            seen.append(pool.step(actions)[0][-1])
        return np.array(seen)

    np.testing.assert_array_equal(run(3, seed=5), run(3, seed=5))
    np.testing.assert_array_equal(run(3, seed=5), run(1, seed=7))
    np.testing.assert_array_equal(run(2, seed=[1, 7]), run(1, seed=7))
    assert not np.array_equal(run(1, seed=7), run(1, seed=8))


def test_a_reset_without_a_seed_goes_on():
    pool = make_envpool("HalfCheetah-v5", 2, seed=4)
    again = make_envpool("HalfCheetah-v5", 2)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = pool.reset()[0], pool.reset()[0]
    np.testing.assert_array_equal(first, again.reset(seed=4)[0])
    np.testing.assert_array_equal(second, again.reset()[0])
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(pool.reset(seed=4)[0], first)
    fresh = [make_envpool("HalfCheetah-v5", 2).reset()[0] for _ in range(2)]
    assert not np.array_equal(*fresh)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    with pytest.raises(ValueError, match="Expected 2 seeds"):
        pool.reset(seed=[1, 2, 3])


def test_results_are_not_overwritten():
    pool = make_envpool("HalfCheetah-v5", 2)
    kept = [pool.reset(seed=0)[0]]
    copies = [kept[0].copy()]
    for _ in range(20):
        kept.append(pool.step(np.ones((2, 6), dtype=np.float32))[0])
        copies.append(kept[-1].copy())
    np.testing.assert_array_equal(kept, copies)


def test_options_mean_what_they_mean_in_gymnasium():
    options = {"healthy_z_range": (1.2, float("inf")), "ctrl_cost_weight": 0.5,
               "healthy_reward": 3.0, "frame_skip": 2}  # fmt: skip
    pool = make_envpool("Hopper-v5", 1, **options, **shows_all("Hopper-v5"))
    env = gymnasium.make("Hopper-v5", **options, **shows_all("Hopper-v5"))
    env.reset(seed=0)
    start("Hopper-v5", env.unwrapped, pool.reset(seed=0)[0][0])
    for _ in range(100):
        action = np.full((1, 3), 0.5, dtype=np.float32)
        _, reward, terminated, _, infos = pool.step(action)
        _, expected, ends, _, info = env.step(action[0])
        np.testing.assert_allclose(reward[0], expected, atol=1e-6)
        assert terminated[0] == ends
        assert infos["reward_survive"][0] == info["reward_survive"]
        if ends:
            break
    assert ends


def test_mistakes_are_named(monkeypatch):
    with pytest.raises(envs.errors.VectorizationError, match="EnvPool does not have 'FetchReach"):
        make_envpool("FetchReach-v4", 2)
    with pytest.raises(ValueError, match="does not know the option 'main_body'; it knows: contact"):
        make_envpool("Ant-v5", 2, main_body=2)
    with pytest.raises(ValueError, match=r"no bound healthy_z_range\[max\], got 3.0"):
        make_envpool("Hopper-v5", 2, healthy_z_range=(0.5, 3.0))
    for bad in ({"num_envs": 0}, {"threads": 0}, {"max_episode_steps": 0}):
        with pytest.raises(ValueError, match="must be at least 1, got 0"):
            make_envpool("Ant-v5", **{"num_envs": 2, **bad})
    pool = make_envpool("HalfCheetah-v5", 2)
    with pytest.raises(gymnasium.error.ResetNeeded):
        pool.step(np.zeros((2, 6), dtype=np.float32))
    pool.reset(seed=0)
    # Both would otherwise end the process, or go into the physics.
    with pytest.raises(ActionError, match=r"shape \(2, 6\).*got \(3, 6\)"):
        pool.step(np.zeros((3, 6), dtype=np.float32))
    with pytest.raises(ActionError, match=r"column 1 .*finite"):
        pool.step(np.array([[0.0] * 6, [np.nan] * 6], dtype=np.float32))
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(envs.MissingSimulatorError, match=r'pip install "ctrl\[envpool\]"'):
        make_envpool("HalfCheetah-v5", 2)
