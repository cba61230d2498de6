"""HalfCheetah: the engine's own loop, Gymnasium, and every backend of ours."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import gymnasium
import numpy as np

import envs
from ctrl.benchmarks.loops import batched, drawn, sb3, single
from ctrl.benchmarks.timing import Group, Measurement, Stepper
from ctrl.sb3.vec_env import make_vec_env
from envs.threads import available_cpus

_TASK, _COLUMNS = "HalfCheetah-v5", 16


def groups() -> Iterator[Group]:
    """Yield what is measured for MuJoCo."""
    rows = [
        Measurement("mj_step loop", _engine),
        single("Gymnasium loop", partial(gymnasium.make, _TASK)),
        _backend("SB3's DummyVecEnv", "dummy", 1),
        _backend("ours, in process, 1 thread", "threads", 1),
        _backend("ours, batched, 1 thread", "batched", 1),
        Measurement("EnvPool itself, 1 thread", _envpool_itself),
        _backend("ours, EnvPool, 1 thread", "envpool", 1),
    ]
    if (cpus := available_cpus()) > 1:
        rows += [
            _backend(f"ours, batched, {cpus} threads", "batched", cpus),
            _backend(f"ours, EnvPool, {cpus} threads", "envpool", cpus),
            _backend(f"ours, {cpus} processes", "processes", cpus),
        ]
    yield Group("mujoco", f"{_TASK}, {_COLUMNS} columns", "steps", rows)


def _backend(name: str, backend: str, threads: int) -> Measurement:
    make = partial(make_vec_env, _TASK, n_envs=_COLUMNS, seed=0, threads=threads, backend=backend)
    return sb3(name, make, per_step=_COLUMNS)


def _envpool_itself() -> Stepper:
    """EnvPool without our adapter; it resets an ended column one step late."""
    pool: Any = importlib.import_module("envpool")
    env = pool.make_gymnasium(_TASK, num_envs=_COLUMNS, num_threads=1, seed=0)
    rows = batched(env.action_space, 32, _COLUMNS)
    env.reset()

    def run() -> int:
        for row in rows:
            env.step(row)
        return len(rows) * _COLUMNS

    return Stepper(run, env.close)


def _engine() -> Stepper:
    """Physics alone: controls in, five steps of the simulation, nothing computed from it."""
    env: Any = envs.make(_TASK)
    mujoco: Any = importlib.import_module("mujoco")
    env.reset(seed=0)
    model, data, skip = env.unwrapped.model, env.unwrapped.data, env.unwrapped.frame_skip
    actions = np.array(drawn(env.action_space, 64))

    def run() -> int:
        for action in actions:
            data.ctrl[:] = action
            mujoco.mj_step(model, data, nstep=skip)
        return len(actions)

    return Stepper(run, env.close)
