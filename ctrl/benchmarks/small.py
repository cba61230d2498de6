"""Small worlds and classic control, where Python's fixed cost per step is nearly everything."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import gymnasium

import envs
from ctrl.benchmarks.loops import ours, sb3, single, vector
from ctrl.benchmarks.timing import Group
from ctrl.sb3.vec_env import make_vec_env
from envs.threads import available_cpus

_WORLD, _COLUMNS = "OpenGrid-v0", 64


def worlds() -> Iterator[Group]:
    """Yield what is measured for the small worlds."""
    yield Group(
        "worlds",
        f"{_WORLD}, one and {_COLUMNS} columns",
        "steps",
        [
            single("single", ours(_WORLD)),
            vector("vectorised", partial(envs.make_vec, _WORLD, _COLUMNS), per_step=_COLUMNS),
            sb3(
                "vectorised, under SB3's interface",
                partial(make_vec_env, _WORLD, n_envs=_COLUMNS, seed=0, backend="vector"),
                per_step=_COLUMNS,
            ),
        ],
    )


def classic() -> Iterator[Group]:
    """Yield what is measured for classic control."""
    make = partial(make_vec_env, "CartPole-v1", n_envs=16, seed=0, threads=1)
    rows = [
        single("Gymnasium loop", partial(gymnasium.make, "CartPole-v1")),
        sb3("SB3's DummyVecEnv", partial(make, backend="dummy"), per_step=16),
        sb3("ours, in process", partial(make, backend="threads"), per_step=16),
    ]
    cpus = available_cpus()
    processes = partial(
        make_vec_env, "CartPole-v1", n_envs=16, seed=0, threads=cpus, backend="processes"
    )
    rows.append(sb3(f"ours, {cpus} processes", processes, per_step=16))
    yield Group("classic", "CartPole-v1, 16 columns", "steps", rows)
