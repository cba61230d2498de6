"""Rocket League: RocketSim's own loop, RLGym, and ours, in steps of whole matches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

import envs
from ctrl.benchmarks.loops import vector
from ctrl.benchmarks.timing import Group, Measurement, Stepper

_SIZES, _MATCHES, _TICKS, _KICKOFF_EVERY = (1, 2, 3), 32, 8, 300
_FEW = 8


def groups() -> Iterator[Group]:
    """Yield what is measured for Rocket League."""
    for size in _SIZES:
        yield Group(
            "rocket_league",
            f"{size}v{size}, {_MATCHES} matches, {_TICKS} ticks a step, 1 thread",
            "match steps",
            [
                Measurement("RocketSim, stepping", partial(_engine, size, False)),
                Measurement("RocketSim, stepping and get_gym_state", partial(_engine, size, True)),
                Measurement("RLGym", partial(_rlgym, size)),
                vector("ours", partial(_ours, size), per_step=_MATCHES),
            ],
        )
    # Apart from the others: many arenas in memory slow down all of them.
    for size in _SIZES:
        yield Group(
            "rocket_league",
            f"{size}v{size} with RLGym's components",
            "match steps",
            [
                Measurement("RLGym", partial(_rlgym, size)),
                vector("ours around RLGym", partial(_around, size), per_step=_FEW),
                vector(
                    "ours with RLGym's observations and reward",
                    partial(_with, size, True),
                    per_step=_MATCHES,
                ),
                vector("ours with RLGym's reward", partial(_with, size, False), per_step=_MATCHES),
            ],
        )


def _ours(size: int) -> Any:
    return envs.make_vec(
        f"RocketLeague{size}v{size}-v0", 2 * size * _MATCHES, threads=1, max_episode_steps=4500
    )


def _around(size: int) -> Any:
    """RLGym's own matches as columns, with its default components."""
    from envs.rocket_league.rlgym_environment import make_vector

    return make_vector(2 * size * _FEW, team_size=size)


def _with(size: int, observations: bool) -> Any:
    """Our matches, seen and rewarded by RLGym's components."""
    from rlgym.rocket_league.obs_builders import DefaultObs
    from rlgym.rocket_league.reward_functions import CombinedReward, GoalReward, TouchReward

    from envs.rocket_league.rlgym_fast import with_rlgym

    options: dict[str, Any] = {"obs_builder": partial(DefaultObs, size)} if observations else {}
    return with_rlgym(
        2 * size * _MATCHES,
        blue=size,
        orange=size,
        threads=1,
        reward_fn=lambda: CombinedReward((GoalReward(), 10.0), (TouchReward(), 0.1)),
        **options,
    )


def _engine(size: int, reading: bool) -> Stepper:
    """Controls in, physics, with or without reading the state of the arena as arrays."""
    from envs.rocket_league.meshes import load_engine

    engine = load_engine()
    arenas, cars = [], []
    for index in range(_MATCHES):
        arena = engine.Arena(engine.GameMode.SOCCAR)
        cars.append([arena.add_car(team) for team in [0] * size + [1] * size])
        arena.reset_kickoff(seed=index)
        arenas.append(arena)
    draw = np.random.default_rng(0)
    controls = [
        engine.CarControls(*map(float, draw.integers(-1, 2, 5)), *map(bool, draw.integers(0, 2, 3)))
        for _ in range(90)
    ]
    choices = draw.integers(90, size=(8, _MATCHES, 2 * size)).tolist()
    count = 0

    def run() -> int:
        nonlocal count
        for chosen in choices:
            for arena, own, row in zip(arenas, cars, chosen, strict=True):
                for car, choice in zip(own, row, strict=True):
                    car.set_controls(controls[choice])
                arena.step(_TICKS)
                if reading:
                    arena.get_gym_state()
            count += 1
            if count % _KICKOFF_EVERY == 0:
                for index, arena in enumerate(arenas):
                    arena.reset_kickoff(seed=count + index)
        return len(choices) * _MATCHES

    return Stepper(run)


def _rlgym(size: int) -> Stepper:
    """RLGym as its users run it: one match, default observations, a reward for goals, touches."""
    from envs.rocket_league.rlgym_components import build_match

    match = build_match(team_size=size)
    match.reset()
    agents = list(match.agents)
    choices = np.random.default_rng(0).integers(90, size=(32, len(agents)))

    def run() -> int:
        for row in choices:
            actions = {agent: row[i : i + 1] for i, agent in enumerate(agents)}
            _, _, terminated, truncated = match.step(actions)
            if any(terminated.values()) or any(truncated.values()):
                match.reset()
        return len(choices)

    return Stepper(run, match.close)
