"""Every rule finds the environment that breaks it, alone, and leaves good ones in peace."""

import json
import os
import random
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

import envs
from envs.check import check_env

FAST = {"steps": 120, "resets": 100, "skip": ["render"]}


class Walk(gymnasium.Env):
    """A walk on a line with noise; it ends beyond 3 and is otherwise without fault."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space = spaces.Box(-100.0, 100.0, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    info_keys = {"distance": "from the origin, m"}  # noqa: RUF012

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.place, self.time = 0.0, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.time = float(self.np_random.uniform(-1, 1)), 0
        return self.observe(), self.info()

    def observe(self):
        return np.array([self.place, self.time], dtype=np.float32)

    def info(self):
        return {"distance": abs(self.place)}

    def reward(self):
        return -abs(self.place)

    def move(self, action):
        self.place += float(action[0]) + 0.3 * float(self.np_random.normal())
        self.time += 1

    def step(self, action):
        self.move(action)
        return self.observe(), self.reward(), self.is_over(), False, self.info()

    def is_over(self):
        return abs(self.place) > 3

    def render(self):
        return np.zeros((4, 5, 3), np.uint8)


class OneThing(Walk):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


class EmptySpace(Walk):
    action_space = spaces.Box(0.0, 0.0, (1,), np.float32)


class WrongDtype(Walk):
    def observe(self):
        return super().observe().astype(np.float64)


class OutOfBounds(Walk):
    observation_space = spaces.Box(-0.5, 100.0, (2,), np.float32)


class NotANumber(Walk):
    def reward(self):
        return float("nan") if self.time == 4 else 0.0


class ArrayReward(Walk):
    def reward(self):
        return np.array([self.place])


class IntegerFlags(Walk):
    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated, int(truncated), info


class SometimesKeys(Walk):
    def info(self):
        return {"distance": abs(self.place), **({"crossed": 1} if self.place > 0 else {})}

    info_keys = {"distance": "m", "crossed": "0 or 1"}  # noqa: RUF012


class TextInfo(Walk):
    def info(self):
        return {"distance": "far"}


class UndocumentedInfo(Walk):
    info_keys = {}  # noqa: RUF012


class ReusedBuffer(Walk):
    def observe(self):
        if not hasattr(self, "buffer"):
            self.buffer = np.zeros(2, np.float32)
        self.buffer[:] = self.place, self.time
        return self.buffer


class ReusedInfo(Walk):
    info_keys = {"where": "[1], m"}  # noqa: RUF012

    def info(self):
        if not hasattr(self, "where"):
            self.where = np.zeros(1)
        self.where[:] = self.place
        return {"where": self.where}


class ExplodesAtFullSpeed(Walk):
    def reward(self):
        return float("inf") if self.fast else 0.0

    def move(self, action):
        self.fast = bool(action[0] == 1.0)
        super().move(action)


class ResetsItself(Walk):
    def step(self, action):
        _, reward, terminated, truncated, info = super().step(action)
        if terminated:
            self.reset()
        return self.observe(), reward, terminated, truncated, info


class TimeLimitIsFailure(Walk):
    max_episode_steps = 15

    def is_over(self):
        return self.time >= 15


class IgnoresItsSeed(Walk):
    def reset(self, *, seed=None, options=None):
        first = not hasattr(self, "made")
        self.made = True
        return super().reset(seed=int.from_bytes(os.urandom(4), "big") if first else None)


class KeepsState(Walk):
    total = 0.0

    def move(self, action):
        self.total += 1.0
        super().move(action)

    def reward(self):
        return self.total


class RepeatsTheEpisode(Walk):
    last = 0

    def reset(self, *, seed=None, options=None):
        self.last = self.last if seed is None else seed
        return super().reset(seed=self.last)


class UsesNumpy(Walk):
    def move(self, action):
        super().move(action)
        np.random.random()  # noqa: NPY002


class UsesPython(Walk):
    def reset(self, *, seed=None, options=None):
        random.random()
        return super().reset(seed=seed)


class ForgetsInSnapshots(Walk):
    def snapshot(self):
        return {"place": self.place}

    def restore(self, tree):
        self.place = tree["place"]


class SavesObjects(Walk):
    def snapshot(self):
        return {"place": self.place, "time": self.time, "engine": object()}

    def restore(self, tree):
        self.place, self.time = tree["place"], tree["time"]


class LeaksMemory(Walk):
    kept: list = []  # noqa: RUF012

    def reset(self, *, seed=None, options=None):
        self.kept.append(np.ones(40_000))
        return super().reset(seed=seed)

    def close(self):
        self.kept.clear()


class LeaksFiles(Walk):
    files: list = []  # noqa: RUF012

    def reset(self, *, seed=None, options=None):
        self.files.append(os.open(os.devnull, os.O_RDONLY))
        return super().reset(seed=seed)

    def close(self):
        while self.files:
            os.close(self.files.pop())


class CannotCloseTwice(Walk):
    closed = False

    def close(self):
        if self.closed:
            raise OSError("already closed")
        self.closed = True


class LeavesProcesses(Walk):
    def __init__(self, render_mode=None):
        super().__init__(render_mode)
        self.started.append(subprocess.Popen(["sleep", "100"]))

    started: list = []  # noqa: RUF012


BROKEN = [
    (OneThing, "works"),
    (EmptySpace, "spaces"),
    (WrongDtype, "observation"),
    (OutOfBounds, "observation"),
    (NotANumber, "reward"),
    (ArrayReward, "reward"),
    (IntegerFlags, "flags"),
    (SometimesKeys, "info"),
    (TextInfo, "info"),
    (UndocumentedInfo, "info"),
    (ReusedBuffer, "arrays"),
    (ReusedInfo, "arrays"),
    (ExplodesAtFullSpeed, "extreme_actions"),
    (ResetsItself, "final_observation"),
    (TimeLimitIsFailure, "time_limit"),
    (IgnoresItsSeed, "seeding"),
    (KeepsState, "seeding"),
    (RepeatsTheEpisode, "stream"),
    (UsesNumpy, "global_random"),
    (UsesPython, "global_random"),
    (ForgetsInSnapshots, "snapshot"),
    (SavesObjects, "snapshot"),
    (LeaksMemory, "leak"),
    (LeaksFiles, "leak"),
    (CannotCloseTwice, "close"),
    (LeavesProcesses, "close"),
]


@pytest.fixture(autouse=True)
def _end_processes():
    yield
    for process in LeavesProcesses.started:
        process.kill()
        process.wait()
    LeavesProcesses.started.clear()


@pytest.mark.parametrize(("kind", "rule"), BROKEN, ids=[kind.__name__ for kind, _ in BROKEN])
def test_that_a_broken_environment_breaks_its_own_rule_alone(kind, rule):
    report = check_env(kind, **FAST)
    assert {violation.rule for violation in report.violations} == {rule}, str(report)
    assert not report.ok
    assert all(violation.cure and violation.came for violation in report.violations)


def test_that_a_good_environment_keeps_every_rule():
    report = check_env(Walk, **FAST)
    assert report.ok, str(report)
    assert set(report.skipped) == {"bad_actions", "render", "workers"}
    report.raise_for_violations()


def test_that_all_violations_are_listed_at_once():
    class Everything(WrongDtype, UndocumentedInfo, UsesNumpy):
        pass

    report = check_env(Everything, **FAST)
    assert {violation.rule for violation in report.violations} == {
        "observation", "info", "global_random",
    }  # fmt: skip
    with pytest.raises(AssertionError, match=r"(?s)observation: .*info: .*global_random: "):
        report.raise_for_violations()
    document = json.loads(json.dumps(report.as_dict()))
    assert document["environment"] == "Everything"
    assert len(document["violations"]) == len(report.violations)


def test_that_the_global_generators_are_left_alone():
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    expected = np.random.random(), random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    check_env(UsesNumpy, **FAST)
    assert (np.random.random(), random.random()) == expected  # noqa: NPY002


# -- by name ------------------------------------------------------------------------------

REGISTERED = """
import subprocess
import gymnasium, numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

class Pair(gymnasium.Env):
    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Tuple((spaces.Discrete(2), spaces.Discrete(2)))
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 1).astype(np.float32), {}
    def step(self, action):
        return self.np_random.uniform(-1, 1, 1).astype(np.float32), 0.0, False, False, {}

class Dark(Pair):
    metadata = {"render_modes": ["rgb_array"]}
    action_space = spaces.Discrete(2)
    def __init__(self, render_mode=None):
        self.render_mode = render_mode
    def render(self):
        return np.zeros((4, 4), np.uint8)

class Outliving(Pair):
    action_space = spaces.Discrete(2)
    def __init__(self):
        self.process = subprocess.Popen(["sleep", "100"], start_new_session=True)
    def close(self):
        self.process.kill()
        self.process.wait()

gymnasium.register("Pair-v0", entry_point=Pair, max_episode_steps=20)
gymnasium.register("Dark-v0", entry_point=Dark, max_episode_steps=20)
gymnasium.register("Outliving-v0", entry_point=Outliving, max_episode_steps=20)
"""


@pytest.fixture
def registered(tmp_path, monkeypatch):
    (tmp_path / "checked_tasks.py").write_text(REGISTERED)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(gymnasium.registry)
    yield
    for name in set(gymnasium.registry) - before:
        del gymnasium.registry[name]
    sys.modules.pop("checked_tasks", None)


@pytest.mark.parametrize(
    ("name", "rule"),
    [("Pair-v0", "bad_actions"), ("Dark-v0", "render"), ("Outliving-v0", "workers")],
)
def test_that_rules_for_names_find_what_breaks_them(registered, name, rule):
    skip = [other for other in ("render", "workers") if other != rule]
    report = check_env(f"checked_tasks:{name}", steps=60, resets=50, skip=skip)
    assert {violation.rule for violation in report.violations} == {rule}, str(report)


def test_that_a_wrapper_that_calls_the_limit_a_failure_is_found():
    class Terminates(gymnasium.Wrapper):
        def step(self, action):
            observation, reward, terminated, truncated, info = self.env.step(action)
            return observation, reward, terminated or truncated, truncated, info

    def make():
        return Terminates(gymnasium.make("Pendulum-v1", max_episode_steps=20))

    report = check_env(make, **FAST)
    assert {violation.rule for violation in report.violations} == {"time_limit"}, str(report)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"env": "Hoper-v5"}, envs.EnvironmentNameError, "Did you mean 'Hopper-v5'"),
        ({"env": Walk()}, TypeError, "Pass its class"),
        ({"env": Walk, "steps": 5}, ValueError, "steps must be at least 20"),
        ({"env": Walk, "resets": 5}, ValueError, "resets must be at least 50"),
        ({"env": Walk, "skip": ["leek"]}, ValueError, "no rule 'leek'"),
        ({"env": Walk, "goal": 3}, TypeError, "for an environment given by name"),
    ],
)
def test_that_mistakes_of_the_caller_are_no_violations(arguments, error, says):
    with pytest.raises(error, match=says):
        check_env(**arguments)


# -- vectorised twins ---------------------------------------------------------------------


class Columns(VectorEnv):
    """The walk for many columns; every fault below changes one line of it."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012
    info_keys = Walk.info_keys
    fault = None

    def __init__(self, num_envs):
        self.num_envs = num_envs
        self.walks = [Walk() for _ in range(num_envs)]
        self.single_observation_space = Walk.observation_space
        self.single_action_space = Walk.action_space
        self.observation_space = gymnasium.vector.utils.batch_space(
            Walk.observation_space, num_envs
        )
        self.action_space = gymnasium.vector.utils.batch_space(Walk.action_space, num_envs)
        self.buffer = np.zeros((num_envs, 2), np.float32)

    def reset(self, *, seed=None, options=None):
        seeds = [None] * self.num_envs if seed is None else seed
        if isinstance(seed, int):
            seeds = [seed + (0 if self.fault == "same seeds" else i) for i in range(self.num_envs)]
        found = [walk.reset(seed=own) for walk, own in zip(self.walks, seeds, strict=True)]
        return np.stack([one for one, _ in found]), self.gather([info for _, info in found])

    def gather(self, infos):
        return {"distance": np.array([info["distance"] for info in infos])}

    def step(self, actions):
        if self.fault != "unchecked":
            envs.actions.check_actions(actions, self.single_action_space, self.num_envs)
        if self.fault == "mixed":
            actions = np.repeat(actions.mean(0, keepdims=True), self.num_envs, axis=0)
        found = [walk.step(own) for walk, own in zip(self.walks, actions, strict=True)]
        observation, reward, terminated, _, infos = zip(*found, strict=True)
        infos = self.gather(infos)
        observation, terminated = np.stack(observation), np.array(terminated)
        if terminated.any():
            final = observation.copy()
            for column in np.flatnonzero(terminated):
                observation[column] = self.walks[column].reset()[0]
            infos["final_obs"] = observation.copy() if self.fault == "lost end" else final
            infos["_final_obs"] = terminated.copy()
        elif self.fault == "always there":
            infos["final_obs"], infos["_final_obs"] = observation.copy(), terminated.copy()
        if self.fault == "float32 info missing" and terminated.any():
            del infos["distance"]
        if self.fault == "buffer":
            self.buffer[:] = observation
            observation = self.buffer
        return observation, np.array(reward), terminated, np.zeros(self.num_envs, bool), infos

    def snapshot(self):
        return {"walks": [envs.snapshot(walk) for walk in self.walks]}

    def restore(self, tree):
        for walk, own in zip(self.walks, tree["walks"], strict=True):
            envs.restore(walk, own)
            if self.fault == "forgets":
                walk.place = 0.0


class LateReset(Columns):
    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012


def columns_with(fault):
    return type("Faulty", (Columns,), {"fault": fault})


VECTOR_RULES = [
    (Columns, set()),
    (LateReset, {"vector_interface"}),
    (columns_with("float32 info missing"), {"vector_interface"}),
    (columns_with("always there"), {"vector_final"}),
    (columns_with("lost end"), {"vector_equals_single"}),
    (columns_with("same seeds"), {"vector_equals_single", "vector_seeding"}),
    (columns_with("mixed"), {"vector_equals_single", "vector_columns"}),
    (columns_with("buffer"), {"vector_arrays"}),
    (columns_with("unchecked"), {"vector_bad_actions"}),
    (columns_with("forgets"), {"vector_snapshot"}),
]


@pytest.mark.parametrize(("twin", "rules"), VECTOR_RULES)
def test_that_faults_of_a_vectorised_twin_are_found(twin, rules):
    report = check_env(Walk, vector_env=twin, **FAST)
    assert {violation.rule for violation in report.violations} == rules, str(report)


# -- real simulators ----------------------------------------------------------------------


def installed(name):
    try:
        envs.make(name).close()
    except envs.MissingSimulatorError:
        return False
    return True


@pytest.mark.parametrize(
    "name",
    [
        "CartPole-v1",
        "HalfCheetahGoal-v0",
        "HopperEpisodic-v0",
        "PointMaze_UMaze-v3",
        "NetHackScore-v0",
        "MiniHack-Room-5x5-v0",
        "RocketLeagueSolo-v0",
        "RocketLeague1v1-v0",
        "OpenGrid-v0",
        "SerpentineMazeNoisy-v0",
        "PointMass-v0",
    ],
)
def test_that_our_environments_keep_the_contract(name):
    if not installed(name):
        pytest.skip("the simulator is not installed")
    report = check_env(name, steps=60, resets=50, skip=["render", "close"])
    assert report.ok, str(report)
    assert "bad_actions" in report.passed
    assert ("vector_interface" in report.passed) == envs.has_vector(name)


def test_that_a_live_view_of_a_real_simulator_is_found():
    """Gymnasium's Humanoid hands out a view into the simulation."""
    report = check_env("Humanoid-v5", steps=60, resets=50, skip=["render", "close"])
    assert {violation.rule for violation in report.violations} == {"arrays"}, str(report)
    assert "tendon_length" in str(report)
