"""Workers step what the same process would, and end with whatever goes wrong."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor

import envs
from ctrl.sb3.process_vec_env import ProcessVecEnv, WorkerError, make_process_vec_env
from ctrl.sb3.vec_env import make_vec_env

TASKS = """
import os, signal, sys, time
import gymnasium, numpy as np
from gymnasium import spaces

class Fragile(gymnasium.Env):
    observation_space = spaces.Dict({"a": spaces.Box(-1, 1, (2,), np.float32),
                                     "n": spaces.Discrete(9)})
    action_space = spaces.Discrete(8)
    def __init__(self, kind="Fragile"):
        self.kind = kind
        if kind == "exit at start":
            os._exit(7)
        if kind == "opaque":
            self.engine = object()
        if kind == "text":
            self.observation_space = spaces.Text(10)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observe(), {}
    def observe(self):
        return {"a": self.np_random.uniform(-1, 1, 2).astype(np.float32), "n": self.t % 9}
    def step(self, action):
        self.t += 1
        if action == 1: raise ArithmeticError("the reactor is too hot")
        if action == 2: sys.exit(3)
        if action == 3: os._exit(5)
        if action == 4: os.kill(os.getpid(), signal.SIGSEGV)
        if action == 5: time.sleep(60)
        return self.observe(), 1.0, False, self.t >= 4, {"time": self.t}

gymnasium.register("Fragile-v0", entry_point=Fragile)
"""
NAME = "fragile_tasks:Fragile-v0"


@pytest.fixture
def fragile(tmp_path, monkeypatch):
    (tmp_path / "fragile_tasks.py").write_text(TASKS)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def all_gone(pids, within=5.0):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline and any(map(is_running, pids)):
        time.sleep(0.02)
    return not any(map(is_running, pids))


def random_actions(space, steps, columns, seed=0):
    rng = np.random.default_rng(seed)
    if isinstance(space, spaces.Discrete):
        return rng.integers(space.n, size=(steps, columns))
    return rng.uniform(space.low, space.high, (steps, columns, *space.shape)).astype(space.dtype)


def assert_same(ours, theirs):
    assert isinstance(theirs, dict) or type(ours) is type(theirs)
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs)
        for key in theirs:
            if key != "t":  # wall time of an episode
                assert_same(ours[key], theirs[key])
    elif isinstance(theirs, list | tuple):
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    else:
        if isinstance(theirs, np.ndarray):
            assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def assert_same_books(ours, theirs, *, resets=True):
    for name in ("terminated", "truncated", "next_observation"):
        assert_same(getattr(ours, name), getattr(theirs, name))
    assert_same(ours.info_columns(), theirs.info_columns())
    if not resets:
        return
    # Gymnasium's Humanoid goes on writing into these.
    live = ("tendon_length", "tendon_velocity")
    one, other = (
        [{key: value for key, value in info.items() if key not in live} for info in infos]
        for infos in (ours.reset_infos, theirs.reset_infos)
    )
    assert_same(one, other)


@pytest.mark.parametrize(
    ("name", "kwargs", "dtype"),
    [
        ("Pendulum-v1", {"max_episode_steps": 9}, np.float32),
        ("HalfCheetah-v5", {"max_episode_steps": 9}, np.float32),
        ("HalfCheetah-v5", {"max_episode_steps": 9}, np.float64),
        ("Humanoid-v5", {"max_episode_steps": 9}, np.float32),
        ("CartPole-v1", {}, np.int64),
        ("MiniHack-Room-Random-5x5-v0", {"max_episode_steps": 9}, np.int64),
    ],
)
def test_that_workers_give_what_this_process_gives_bit_for_bit(name, kwargs, dtype):
    options = {"n_envs": 5, "seed": 3, "env_kwargs": kwargs}
    try:
        theirs = make_vec_env(name, backend="threads", threads=1, **options)
    except envs.MissingSimulatorError as error:
        pytest.skip(str(error))
    ours = make_process_vec_env(name, processes=2, **options)
    try:
        assert ours.observation_space == theirs.observation_space
        np.testing.assert_array_equal(ours.action_space.sample(), theirs.action_space.sample())
        assert_same(ours.reset(), theirs.reset())
        ends = 0
        for actions in random_actions(ours.action_space, 40, 5):
            actions = actions.astype(dtype)  # noqa: PLW2901
            expected = theirs.step(actions)
            assert_same(ours.step(actions), expected)
            assert_same_books(ours, theirs)
            ends += expected[2].sum()
        assert ends >= 5
        assert ours.seed(11) == theirs.seed(11)
        assert_same(ours.reset(), theirs.reset())
    finally:
        ours.close()
        theirs.close()


def test_that_dict_observations_and_their_true_ends_arrive(fragile):
    options = {"n_envs": 3, "seed": 0}
    theirs = make_vec_env(NAME, backend="threads", **options)
    ours = make_process_vec_env(NAME, processes=2, **options)
    assert_same(ours.reset(), theirs.reset())
    for _ in range(10):
        expected = theirs.step(np.zeros(3, dtype=np.int64))
        step = ours.step(np.zeros(3, dtype=np.int64))
        assert_same(step, expected)
        assert_same_books(ours, theirs)
        if step[2].any():
            final = step[3][1]["terminal_observation"]["a"]
            np.testing.assert_array_equal(ours.next_observation["a"][1], final)
            assert (step[0]["a"][1] != final).any()
    ours.close()


def test_that_what_was_returned_is_never_written_again():
    venv = make_process_vec_env("Pendulum-v1", 2, seed=0, processes=1)
    kept = [venv.reset()]
    copies = [kept[0].copy()]
    for actions in random_actions(venv.action_space, 3, 2):
        observation, reward, done, _ = venv.step(actions)
        for array in (observation, reward, done, venv.next_observation, venv.truncated):
            kept.append(array)
            copies.append(array.copy())
    venv.close()
    for array, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_that_a_snapshot_continues_bit_for_bit_on_another_number_of_workers():
    kwargs = {"max_episode_steps": 7}
    first = make_process_vec_env("HalfCheetah-v5", 3, seed=0, processes=2, env_kwargs=kwargs)
    second = make_process_vec_env("HalfCheetah-v5", 3, seed=9, processes=3, env_kwargs=kwargs)
    first.reset()
    second.reset()
    actions = random_actions(first.action_space, 24, 3)
    for row in actions[:10]:
        first.step(row)
    second.restore(first.snapshot())
    for row in actions[10:]:
        assert_same(second.step(row), first.step(row))
        assert_same_books(second, first, resets=False)
    tree = first.snapshot()
    tree["columns"] = tree["columns"][:2]
    with pytest.raises(envs.SnapshotError, match="2 environments, there are 3"):
        second.restore(tree)
    first.close()
    second.close()


def test_that_environments_without_snapshots_say_so_and_go_on(fragile):
    venv = make_process_vec_env(NAME, 2, seed=0, processes=2, env_kwargs={"kind": "opaque"})
    venv.reset()
    with pytest.raises(envs.SnapshotError, match="attribute 'engine' is a object"):
        venv.snapshot()
    assert venv.step(np.zeros(2, dtype=np.int64))[1].tolist() == [1.0, 1.0]
    venv.close()


def test_that_attributes_and_methods_of_single_columns_are_reached():
    venv = make_process_vec_env("Pendulum-v1", 3, seed=0, processes=2)
    venv.reset()
    assert venv.get_attr("g") == [10.0, 10.0, 10.0]
    venv.set_attr("g", 3.0, indices=[2])
    assert venv.get_attr("g", indices=[2, 0]) == [3.0, 10.0]
    shapes = [part.shape for part in venv.env_method("_get_obs", indices=[1])]
    assert shapes == [(3,)]
    assert venv.env_is_wrapped(Monitor) == [True] * 3
    assert venv.env_is_wrapped(envs.actions.CheckAction) == [True] * 3
    assert venv.env_is_wrapped(PPO) == [False] * 3
    venv.close()


def test_that_a_policy_trains_equally_in_workers():
    weights = []
    for backend in ("processes", "threads"):
        venv = make_vec_env("Pendulum-v1", n_envs=4, seed=0, threads=2, backend=backend)
        model = PPO("MlpPolicy", venv, n_steps=32, batch_size=64, seed=0, device="cpu")
        model.learn(256)
        weights.append([value.detach().clone() for value in model.policy.parameters()])
        venv.close()
    assert all(bool((one == other).all()) for one, other in zip(*weights, strict=True))


@pytest.mark.parametrize(
    ("action", "says", "code"),
    [
        (1, ["raised ArithmeticError", "the reactor is too hot", "fragile_tasks.py"], None),
        (2, ["raised SystemExit", ": 3"], None),
        (3, ["ended with exit code 5"], 5),
        (4, ["signal 11 (SIGSEGV)"], -11),
    ],
)
def test_that_a_failing_worker_is_named_with_environment_columns_and_seeds(
    fragile, action, says, code
):
    venv = make_process_vec_env(NAME, 4, seed=20, processes=2)
    pids = venv.pids
    venv.reset()
    for _ in range(5):
        venv.step(np.zeros(4, dtype=np.int64))
    with pytest.raises(WorkerError) as caught:
        venv.step(np.array([0, 0, 0, action]))
    said = str(caught.value)
    for part in [*says, NAME, "columns 2, 3", "seeds 22, 23", "in a step", "episodes 1, 1"]:
        assert part in said
    assert caught.value.columns == (2, 3)
    assert caught.value.exit_code == code
    assert all_gone(pids)
    with pytest.raises(WorkerError, match="ended after this failure"):
        venv.reset()
    venv.close()


def test_that_a_stuck_worker_is_an_error_and_is_ended(fragile):
    venv = make_process_vec_env(NAME, 2, seed=0, processes=2, timeout=30.0)
    venv.reset()
    venv.timeout = 0.5
    began = time.monotonic()
    with pytest.raises(WorkerError, match=r"did not answer within 0\.5 s in a step"):
        venv.step(np.array([0, 5]))
    assert time.monotonic() - began < 20
    assert all_gone(venv.pids)


def test_that_a_worker_killed_in_training_ends_it_with_its_name():
    venv = make_vec_env("Pendulum-v1", n_envs=2, seed=0, threads=2, backend="processes")
    model = PPO("MlpPolicy", venv, n_steps=64, batch_size=64, seed=0, device="cpu")

    def kill(local, _):
        if local["self"].num_timesteps == 100:
            os.kill(venv.pids[1], signal.SIGKILL)
        return True

    with pytest.raises(WorkerError, match=r"Pendulum-v1 \(columns 1, seeds 1\).*SIGKILL"):
        model.learn(10_000, callback=kill)
    assert model.num_timesteps < 110
    assert all_gone(venv.pids)


PARENT = """
import sys, threading, time
from ctrl.sb3.process_vec_env import make_process_vec_env
import numpy as np

def run():
    venv = make_process_vec_env({name!r}, 2, seed=0, processes=2)
    venv.reset()
    print(*venv.pids, flush=True)
    venv.step(np.array([0, {action}]))
    time.sleep(60)

if {threaded}:
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
else:
    run()
"""


@pytest.mark.parametrize(
    ("action", "threaded"), [(5, False), (0, True)], ids=["busy", "started by a thread"]
)
def test_that_no_worker_outlives_a_killed_parent(fragile, action, threaded):
    script = textwrap.dedent(PARENT).format(name=NAME, action=action, threaded=threaded)
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(fragile), *sys.path])},
    )  # fmt: skip
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert all(map(is_running, pids))
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert all_gone(pids)


def test_that_closing_and_forgetting_end_all_workers():
    closed = make_process_vec_env("Pendulum-v1", 2, processes=2)
    forgotten = make_process_vec_env("Pendulum-v1", 1, processes=1)
    pids = closed.pids + forgotten.pids
    closed.close()
    closed.close()
    del forgotten
    assert all_gone(pids)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids), "a zombie is left"
    with pytest.raises(WorkerError, match="was closed"):
        closed.reset()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"name": "Pendulumm-v1"}, envs.EnvironmentNameError, "Did you mean 'Pendulum-v1'"),
        ({"env_kwargs": {"gg": 1}}, TypeError, "unexpected keyword argument 'gg'"),
        ({"n_envs": 0}, ValueError, "n_envs must be at least 1"),
        ({"processes": 0}, ValueError, "processes must be at least 1"),
        ({"timeout": 0.0}, ValueError, "timeout must be positive"),
        (
            {"name": NAME, "env_kwargs": {"kind": "exit at start"}},
            WorkerError,
            "exit code 7 while it made",
        ),
    ],
)
def test_that_mistakes_are_named_at_the_start(fragile, arguments, error, says):
    with pytest.raises(error, match=says):
        make_process_vec_env(**{"name": "Pendulum-v1", "n_envs": 1, **arguments})


def test_that_a_bad_action_is_refused_before_any_worker_steps():
    venv = make_process_vec_env("Pendulum-v1", 2, seed=0, processes=2)
    twin = make_process_vec_env("Pendulum-v1", 2, seed=0, processes=2)
    venv.reset()
    twin.reset()
    with pytest.raises(envs.ActionError, match="column 1"):
        venv.step(np.array([[0.0], [np.nan]], dtype=np.float32))
    good = np.zeros((2, 1), dtype=np.float32)
    assert_same(venv.step(good), twin.step(good))
    venv.close()
    twin.close()


def test_that_spaces_without_a_fixed_shape_are_refused(fragile):
    with pytest.raises(TypeError, match="Expected a space of arrays with one shape"):
        ProcessVecEnv(NAME, 1, env_kwargs={"kind": "text"})
