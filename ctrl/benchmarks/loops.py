"""The loops that are timed: one environment, a vector environment, resets alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv
from stable_baselines3.common.vec_env import VecEnv

import envs
from ctrl.benchmarks.timing import Measurement, Stepper

_STEPS = 64
"""Steps between two looks at the clock."""


def single(name: str, make: Callable[[], gymnasium.Env]) -> Measurement:
    """Return a row that steps one environment with random actions, resets included."""

    def build() -> Stepper:
        env = make()
        actions = drawn(env.action_space, _STEPS)
        env.reset(seed=0)

        def run() -> int:
            for action in actions:
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()
            return _STEPS

        return Stepper(run, env.close)

    return Measurement(name, build)


def resets(name: str, make: Callable[[], gymnasium.Env]) -> Measurement:
    """Return a row that resets one environment, each time with a new seed."""

    def build() -> Stepper:
        env, seeds = make(), iter(range(10**9))
        env.reset(seed=0)

        def run() -> int:
            for _ in range(4):
                env.reset(seed=next(seeds))
            return 4

        return Stepper(run, env.close)

    return Measurement(name, build)


def sb3(name: str, make: Callable[[], VecEnv], *, per_step: int) -> Measurement:
    """Return a row that steps a vector environment of SB3's interface.

    Args:
        name: of the row.
        make: makes it.
        per_step: what one step counts for.
    """

    def build() -> Stepper:
        venv = make()
        actions = batched(venv.action_space, _rounds(per_step), venv.num_envs)
        venv.reset()

        def run() -> int:
            for row in actions:
                venv.step(row)
            return len(actions) * per_step

        return Stepper(run, venv.close)

    return Measurement(name, build)


def vector(name: str, make: Callable[[], VectorEnv], *, per_step: int) -> Measurement:
    """Return a row that steps a vector environment of gymnasium's interface."""

    def build() -> Stepper:
        env = make()
        actions = batched(env.single_action_space, _rounds(per_step), env.num_envs)
        env.reset(seed=0)

        def run() -> int:
            for row in actions:
                env.step(row)
            return len(actions) * per_step

        return Stepper(run, env.close)

    return Measurement(name, build)


def ours(name: str, **options: Any) -> Callable[[], gymnasium.Env]:
    """Return a function that makes one of our environments."""
    return lambda: envs.make(name, **options)


def drawn(space: gymnasium.Space, count: int) -> list[Any]:
    """Return random actions, the same ones every time."""
    own = copy.deepcopy(space)
    own.seed(0)
    return [own.sample() for _ in range(count)]


def batched(space: gymnasium.Space, rounds: int, columns: int) -> list[np.ndarray]:
    """Return random actions ``[B, ...]`` for some rounds."""
    found = drawn(space, rounds * columns)
    return [np.array(found[i * columns : (i + 1) * columns]) for i in range(rounds)]


def _rounds(per_step: int) -> int:
    return max(8, _STEPS // per_step)
