"""Scenes on the real field: a start that is placed by hand, and drivers that hold controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from envs.rocket_league.vector import RocketLeagueVectorEnv


@pytest.fixture
def scene() -> Callable[..., RocketLeagueVectorEnv]:
    """Return a function that makes one reset match; its keywords place the ball and the cars.

    ``ball=(position, velocity)``; ``cars={place: (position, velocity, yaw)}``; ``boost``; cars
    that are not named stand in far corners. Other keywords are options of the environment.
    """
    made = []

    def make(
        ball: Any = None,
        cars: dict[int, Any] | None = None,
        boost: float = 33.0,
        change: Any = None,
        **options: Any,
    ) -> RocketLeagueVectorEnv:
        def place(start: Any, random: np.random.Generator) -> None:
            count = len(start.boost)
            # Beside the boost pads of the side walls, far from the middle.
            start.car_position[:, :2] = [(3300.0, -3000.0 + 800.0 * car) for car in range(count)]
            start.boost[:] = boost
            if ball is not None:
                start.ball_position[:], start.ball_velocity[:] = ball
            for car, (position, velocity, yaw) in (cars or {}).items():
                start.car_position[car] = position
                start.car_velocity[car] = velocity
                start.car_rotation[car] = (yaw, 0.0, 0.0)
            if change is not None:
                change(start)

        blue, orange = options.pop("blue", 1), options.pop("orange", 1)
        env = RocketLeagueVectorEnv(
            blue + orange, blue=blue, orange=orange, start=place,
            actions="continuous", threads=1, **options,
        )  # fmt: skip
        made.append(env)
        env.reset(seed=0)
        return env

    yield make
    for env in made:
        env.close()


@pytest.fixture
def drive() -> Callable[..., dict[str, np.ndarray]]:
    """Return a function that steps while cars hold controls, and adds up what happened."""

    def run(env: RocketLeagueVectorEnv, steps: int, **held: dict[int, float]) -> dict[str, Any]:
        """``held``: per control a number for some of the cars, such as ``throttle={0: 1.0}``."""
        names = ["throttle", "steer", "pitch", "yaw", "roll", "jump", "boost", "handbrake"]
        actions = np.zeros((env.num_envs, 8), dtype=np.float32)
        for name, cars in held.items():
            for car, value in cars.items():
                actions[car, names.index(name)] = value
        total: dict[str, Any] = {}
        for _ in range(steps):
            _, reward, terminated, truncated, infos = env.step(actions)
            for name, values in {**infos, "reward": reward}.items():
                if values.ndim == 1 and name not in ("team", "boost"):
                    total[name] = total.get(name, 0) + values.astype(float)
            total["last"] = infos
            total["terminated"], total["truncated"] = terminated, truncated
            if (terminated | truncated).any():
                break
        return total

    return run
