"""The fast vector environments return what SB3's DummyVecEnv returns, bit for bit."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env as sb3_make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import envs
from ctrl.sb3.batched_vec_env import BatchedVecEnv
from ctrl.sb3.vec_env import InProcessVecEnv, make_vec_env

SHORT = {"max_episode_steps": 12}
FAST = ["threads", "batched"]
CASES = [
    ("HalfCheetah-v5", SHORT),
    ("HalfCheetahGoal-v0", {**SHORT, "goal": 0.2}),
    ("HalfCheetahSparse-v0", SHORT),
    ("HopperGoal-v0", {"goal": 0.05}),
    ("Ant-v5", SHORT),
    ("Hopper-v5", {}),
    ("Humanoid-v5", SHORT),
    ("InvertedPendulum-v5", {}),
    ("Swimmer-v5", SHORT),
    ("Walker2d-v5", {}),
    ("CartPole-v1", {}),
    ("Pendulum-v1", SHORT),
]
# Gymnasium hands out a live view of these, so at an episode's end DummyVecEnv reports them from
# after the reset. Ours are those of the episode's last step.
LIVE_VIEWS = ("tendon_length", "tendon_velocity")


def build(name, backend, *, n_envs=3, seed=3, kwargs=None, **options):
    if backend == "sb3":
        return sb3_make_vec_env(name, n_envs, seed=seed, env_kwargs=kwargs)
    return make_vec_env(
        name, n_envs=n_envs, seed=seed, env_kwargs=kwargs, backend=backend, **options
    )


def actions_for(venv, steps, seed=0):
    rng = np.random.default_rng(seed)
    space, count = venv.action_space, venv.num_envs
    if isinstance(space, spaces.Discrete):
        return rng.integers(space.n, size=(steps, count))
    return rng.uniform(space.low, space.high, (steps, count, *space.shape)).astype(np.float32)


def assert_same(ours, theirs):
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs)
        for key in theirs:
            assert_same(ours[key], theirs[key])
        return
    if isinstance(theirs, list):
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
        return
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(ours, theirs)


def assert_same_step(ours, theirs):
    for one, other in zip(ours[:3], theirs[:3], strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    for one, other, done in zip(ours[3], theirs[3], theirs[2], strict=True):
        one, other = dict(one), dict(other)  # noqa: PLW2901
        assert set(one) == set(other)
        if done:
            for key in LIVE_VIEWS:
                one.pop(key, None), other.pop(key, None)
        if "episode" in other:
            assert set(one["episode"]) == set(other["episode"])
            one["episode"] = {**one["episode"], "t": 0}
            other["episode"] = {**other["episode"], "t": 0}
        assert_same(one, other)


@pytest.mark.parametrize(("name", "kwargs"), CASES)
@pytest.mark.parametrize("backend", ["auto", "threads"])
@pytest.mark.parametrize("count", [1, 5])
def test_steps_are_bit_equal_with_dummy_vec_env(name, kwargs, backend, count):
    ours = build(name, backend, n_envs=count, kwargs=kwargs, threads=min(count, 2))
    theirs = build(name, "sb3", n_envs=count, kwargs=kwargs)
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    ends = 0
    for actions in actions_for(theirs, 60):
        expected = theirs.step(actions)
        assert_same_step(ours.step(actions), expected)
        assert_same(ours.reset_infos, theirs.reset_infos)
        ends += expected[2].sum()
    assert ends >= count
    for attribute in ("get_episode_rewards", "get_episode_lengths", "get_total_steps"):
        assert ours.env_method(attribute) == theirs.env_method(attribute)
    ours.close()
    theirs.close()


@pytest.mark.parametrize("backend", FAST)
def test_a_second_reset_and_new_seeds_are_bit_equal(backend):
    ours, theirs = build("Ant-v5", backend), build("Ant-v5", "sb3")
    for seed in (None, 17):
        if seed is not None:
            assert ours.seed(seed) == theirs.seed(seed)
        np.testing.assert_array_equal(ours.reset(), theirs.reset())
        for actions in actions_for(theirs, 15):
            assert_same_step(ours.step(actions), theirs.step(actions))
    ours.close()


@pytest.mark.parametrize("backend", FAST)
def test_equal_seeds_repeat_and_other_seeds_differ(backend):
    first, second, third = (build("HalfCheetah-v5", backend, seed=seed) for seed in (1, 1, 2))
    one, other = first.reset(), third.reset()
    np.testing.assert_array_equal(one, second.reset())
    assert (one != other).any(axis=1).all()
    # Copy i has seed + i.
    np.testing.assert_array_equal(one[1:], other[:-1])
    assert (first.action_space.sample() == second.action_space.sample()).all()
    for venv in (first, second, third):
        venv.close()


@pytest.mark.parametrize("backend", FAST)
def test_a_task_that_only_truncates_never_says_terminated(backend):
    """Without the flag, SB3 takes every time limit for a failure."""
    venv = build("HalfCheetah-v5", backend, kwargs={"max_episode_steps": 4})
    venv.reset()
    for index, actions in enumerate(actions_for(venv, 12), start=1):
        _, _, dones, infos = venv.step(actions)
        at_limit = index % 4 == 0
        assert dones.tolist() == venv.truncated.tolist() == [at_limit] * 3
        assert venv.terminated.tolist() == [False] * 3
        assert [info["TimeLimit.truncated"] for info in infos] == [at_limit] * 3
    venv.close()


@pytest.mark.parametrize("backend", FAST)
def test_termination_at_the_time_limit_is_no_truncation(backend):
    venv = build("HopperGoal-v0", backend, kwargs={"max_episode_steps": 1, "goal": 1e-9})
    both = np.zeros(2, dtype=int)
    venv.reset()
    for actions in actions_for(venv, 30):
        _, rewards, dones, infos = venv.step(actions)
        assert dones.all()
        np.testing.assert_array_equal(venv.terminated, rewards == 1)
        np.testing.assert_array_equal(venv.truncated, rewards == 0)
        assert [info["TimeLimit.truncated"] for info in infos] == venv.truncated.tolist()
        both += [venv.terminated.sum(), venv.truncated.sum()]
    assert (both > 0).all()
    venv.close()


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("name", ["Hopper-v5", "Ant-v5"])
def test_the_final_observation_is_the_true_successor(name, backend):
    venv = build(name, backend, n_envs=2, kwargs=SHORT)
    alone = [envs.make(name, **SHORT) for _ in range(2)]
    venv.reset()
    for column, env in enumerate(alone):
        env.reset(seed=3 + column)
    ends = 0
    for actions in actions_for(venv, 40):
        observation, _, dones, infos = venv.step(actions)
        for column, env in enumerate(alone):
            successor, _, terminated, truncated, _ = env.step(actions[column])
            np.testing.assert_array_equal(venv.next_observation[column], successor)
            if terminated or truncated:
                ends += 1
                assert dones[column]
                np.testing.assert_array_equal(infos[column]["terminal_observation"], successor)
                np.testing.assert_array_equal(observation[column], env.reset()[0])
    assert ends > 2
    venv.close()


@pytest.mark.parametrize("backend", FAST)
def test_what_was_returned_is_never_overwritten(backend):
    venv = build("Hopper-v5", backend)
    kept = [(venv.reset(),)]
    copies = [(kept[0][0].copy(),)]
    for actions in actions_for(venv, 30):
        step = (*venv.step(actions), venv.terminated, venv.truncated, venv.next_observation)
        kept.append(step)
        infos = [{k: np.array(v) for k, v in info.items() if k != "episode"} for info in step[3]]
        copies.append((*(part.copy() for part in step[:3]), infos,
                       *(part.copy() for part in step[4:])))  # fmt: skip
    for step, copy in zip(kept, copies, strict=True):
        for one, other in zip(step, copy, strict=True):
            if isinstance(one, list):
                for info, was in zip(one, other, strict=True):
                    info.pop("episode", None)
                    assert_same(info, was)
            else:
                np.testing.assert_array_equal(one, other)
    venv.close()


def test_writing_into_results_does_not_reach_the_environments():
    ours, theirs = build("HalfCheetah-v5", "batched"), build("HalfCheetah-v5", "sb3")
    ours.reset()[:] = np.nan
    theirs.reset()
    for actions in actions_for(theirs, 5):
        step = ours.step(actions)
        assert_same_step(step, theirs.step(actions))
        step[0][:] = np.nan
        step[1][:] = np.nan
    ours.close()


@pytest.mark.parametrize(
    ("name", "backend"),
    [("HalfCheetahGoal-v0", "batched"), ("Ant-v5", "threads"), ("CartPole-v1", "threads")],
)
def test_info_columns_hold_the_numbers_of_infos(name, backend):
    venv = build(name, backend)
    assert venv.info_columns() == {}
    venv.reset()
    for actions in actions_for(venv, 5):
        infos = venv.step(actions)[3]
        columns = venv.info_columns()
        bookkeeping = {"TimeLimit.truncated", "terminal_observation", "episode"}
        assert set(columns) == set(infos[0]) - bookkeeping
        for key, values in columns.items():
            assert values.shape[0] == 3
            np.testing.assert_array_equal(values, [info[key] for info in infos])
    venv.close()


@pytest.mark.parametrize(
    ("name", "saver", "loader"),
    [
        ("HalfCheetah-v5", "batched", "batched"),
        ("Hopper-v5", "batched", "batched"),
        ("Ant-v5", "batched", "threads"),
        ("HopperGoal-v0", "threads", "batched"),
        ("CartPole-v1", "threads", "threads"),
    ],
)
def test_a_restored_vector_environment_continues_bit_for_bit(name, saver, loader):
    venv = build(name, saver, kwargs=SHORT)
    venv.reset()
    actions = actions_for(venv, 50)
    for row in actions[:17]:
        venv.step(row)
    saved = venv.snapshot()
    other = build(name, loader, seed=50, kwargs=SHORT)
    other.reset()
    other.step(actions[0])
    other.restore(saved)
    assert other.info_columns() == {}
    for row in actions[17:]:
        assert_same_step(other.step(row), venv.step(row))
    assert other.env_method("get_total_steps") == venv.env_method("get_total_steps")
    with pytest.raises(envs.SnapshotError, match="of 3 environments, there are 2"):
        build(name, saver, n_envs=2).restore(saved)
    venv.close()
    other.close()


def test_seeds_set_for_the_next_reset_are_part_of_the_snapshot():
    venv, other = build("HalfCheetah-v5", "batched", seed=8), build("HalfCheetah-v5", "batched")
    other.restore(venv.snapshot())
    np.testing.assert_array_equal(other.reset(), venv.reset())
    venv.close()
    other.close()


@pytest.mark.parametrize("backend", FAST)
def test_the_environments_can_be_reached(backend):
    venv = build("HalfCheetah-v5", backend, kwargs=SHORT)
    venv.reset()
    for actions in actions_for(venv, 5):
        venv.step(actions)
    assert venv.env_is_wrapped(Monitor) == [True] * 3
    assert venv.get_attr("_elapsed_steps") == [5] * 3
    assert [len(rewards) for rewards in venv.get_attr("rewards")] == [5] * 3
    assert venv.get_attr("render_mode") == [None] * 3
    # A reset from outside starts a new episode in that column only.
    venv.env_method("reset", indices=[1], seed=0)
    dones = [venv.step(actions)[2].tolist() for actions in actions_for(venv, 12)]
    assert dones[6] == [True, False, True]
    assert dones[11] == [False, True, False]
    venv.close()


def test_one_environment_needs_no_thread():
    assert build("HalfCheetah-v5", "auto", n_envs=1).threads == 1
    assert build("CartPole-v1", "auto", n_envs=8).threads == 1


@pytest.mark.parametrize("backend", FAST)
def test_ppo_trains_to_the_same_weights_as_with_sb3(backend):
    weights = []
    for kind in (backend, "sb3"):
        venv = build("Hopper-v5", kind, n_envs=4, seed=0, kwargs={"max_episode_steps": 30})
        model = PPO("MlpPolicy", venv, n_steps=64, batch_size=64, n_epochs=2, seed=0, device="cpu")
        model.learn(512)
        weights.append(model.policy.state_dict())
        assert len(model.ep_info_buffer) > 0
        venv.close()
    for key, value in weights[1].items():
        assert torch.equal(weights[0][key], value), key


def test_vec_normalize_sees_the_same():
    stacks = [VecNormalize(build("Hopper-v5", kind)) for kind in ("batched", "sb3")]
    observations = [stack.reset() for stack in stacks]
    np.testing.assert_array_equal(*observations)
    for actions in actions_for(stacks[1], 40):
        assert_same_step(*(stack.step(actions) for stack in stacks))
    stacks[0].close()


class Stubborn(gymnasium.Env):
    """Reuses its info, the arrays in it and its observation, and observes a dict."""

    observation_space = spaces.Dict(
        {"a": spaces.Box(-9, 9, (2,)), "b": spaces.Box(0, 99, (), np.int64)}
    )
    action_space = spaces.Discrete(2)
    render_mode = None

    def __init__(self):
        self.observation = {"a": np.zeros(2, np.float32), "b": np.int64(0)}
        self.info = {"view": np.zeros(2), "deep": {"list": [0]}, "text": "x"}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation["a"][:] = self.np_random.uniform(size=2)
        self.observation["b"] = np.int64(0)
        return self.observation, {"options": options}

    def step(self, action):
        self.observation["a"] += action
        self.observation["b"] += 1
        self.info["view"] += 1
        self.info["deep"]["list"][0] += 1
        over = self.observation["b"] >= 3
        return self.observation, 0.5, bool(over), False, self.info


def test_environments_that_reuse_their_objects_are_copied():
    ours, theirs = (kind([Stubborn] * 2) for kind in (InProcessVecEnv, DummyVecEnv))
    for venv in (ours, theirs):
        venv.seed(0)
        venv.set_options({"level": 2})
    assert_same(ours.reset(), theirs.reset())
    assert ours.reset_infos == theirs.reset_infos == [{"options": {"level": 2}}] * 2
    kept = []
    for _ in range(7):
        actions = np.array([0, 1])
        kept.append((ours.step(actions), theirs.step(actions)))
    for index, (one, other) in enumerate(kept, start=1):
        assert_same(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
        np.testing.assert_array_equal(one[2], other[2])
        for info, done in zip(one[3], one[2], strict=True):
            assert info["view"].tolist() == [index] * 2
            assert info["deep"] == {"list": [index]}
            # DummyVecEnv writes the final observation into the environment's own dict, where it
            # stays and changes with the environment.
            assert ("terminal_observation" in info) == done == (index % 3 == 0)
            if done:
                assert info["terminal_observation"]["b"] == 3
    assert set(ours.info_columns()) == {"view"}
    assert isinstance(ours.next_observation, dict)


def test_an_error_in_an_environment_reaches_the_caller():
    class Broken(Stubborn):
        def step(self, action):
            raise ZeroDivisionError("physics")

    venv = InProcessVecEnv([Broken] * 4, threads=2)
    venv.reset()
    with pytest.raises(ZeroDivisionError, match="physics"):
        venv.step(np.zeros(4, dtype=int))
    venv.close()


def test_mistakes_are_answered_with_the_valid_choices():
    with pytest.raises(ValueError, match=r"one of auto, batched, vector, .*, dummy, got 'fast'"):
        make_vec_env("CartPole-v1", n_envs=1, backend="fast")
    with pytest.raises(ValueError, match="n_envs must be at least 1, got 0"):
        make_vec_env("CartPole-v1", n_envs=0)
    for backend in FAST:
        with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
            make_vec_env("HalfCheetah-v5", n_envs=1, threads=0, backend=backend)
    with pytest.raises(envs.BatchingError, match="no batched form of CartPoleEnv"):
        make_vec_env("CartPole-v1", n_envs=1, backend="batched")
    with pytest.raises(envs.EnvironmentNameError, match="HalfCheetah-v5"):
        make_vec_env("halfcheetah-v5", n_envs=1)
    with pytest.raises(envs.BatchingError, match="all environments into a Monitor, or none"):
        BatchedVecEnv([lambda: Monitor(envs.make("Ant-v5")), lambda: envs.make("Ant-v5")])


def test_the_factory_picks_what_suits_the_environment():
    assert type(make_vec_env("Ant-v5", n_envs=4)) is BatchedVecEnv
    assert type(make_vec_env("Ant-v5", n_envs=1)) is InProcessVecEnv
    assert type(make_vec_env("Reacher-v5", n_envs=4)) is InProcessVecEnv
    assert type(make_vec_env("CartPole-v1", n_envs=4)) is InProcessVecEnv
    assert type(make_vec_env("Ant-v5", n_envs=4, backend="dummy")) is DummyVecEnv


def test_without_a_monitor_no_episodes_are_reported():
    venv = BatchedVecEnv([lambda: envs.make("HalfCheetah-v5", max_episode_steps=2)] * 2)
    venv.reset()
    for actions in actions_for(venv, 4):
        infos = venv.step(actions)[3]
        assert all("episode" not in info for info in infos)
    assert "terminal_observation" in infos[0]
    venv.close()
