"""States in which an episode can begin."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from envs.rocket_league.constants import (
    BALL_REST_Z,
    BIG_PADS,
    BOOST_MAX,
    CAR_MAX_SPEED,
    CAR_REST_Z,
    SPAWN_BOOST,
)

# x, y and heading of blue's five kick-off places; orange's are turned by half a turn.
_KICKOFFS = np.array(
    [
        (-2048.0, -2560.0, 0.25 * np.pi),
        (2048.0, -2560.0, 0.75 * np.pi),
        (-256.0, -3840.0, 0.5 * np.pi),
        (256.0, -3840.0, 0.5 * np.pi),
        (0.0, -4608.0, 0.5 * np.pi),
    ]
)


@final
@dataclass
class Start:
    """The state of one arena at the start of an episode; a mutator may change any of it.

    Attributes:
        ball_position: ``[3]`` in uu.
        ball_velocity: ``[3]`` in uu/s.
        ball_angular_velocity: ``[3]`` in rad/s.
        car_position: ``[C, 3]`` in uu, blue cars first.
        car_velocity: ``[C, 3]`` in uu/s.
        car_angular_velocity: ``[C, 3]`` in rad/s.
        car_rotation: ``[C, 3]``: yaw, pitch and roll in rad; yaw 0 looks along x, pi/2 along y.
        boost: ``[C]``, 0 to 100.
        on_ground: bool ``[C]``: whether the wheels are on a surface.
        pad_timers: ``[34]``: seconds until each boost pad is there, 0 where it is.
    """

    ball_position: np.ndarray
    ball_velocity: np.ndarray
    ball_angular_velocity: np.ndarray
    car_position: np.ndarray
    car_velocity: np.ndarray
    car_angular_velocity: np.ndarray
    car_rotation: np.ndarray
    boost: np.ndarray
    on_ground: np.ndarray
    pad_timers: np.ndarray


Mutator = Callable[[Start, np.random.Generator], None]
"""Changes a kick-off in place; it must draw from the generator only."""


def kickoff(random: np.random.Generator, blue: int, orange: int) -> Start:
    """Return a kick-off: the ball in the middle, every team at the same drawn places.

    Args:
        random: draws which of the five places are used, in which order.
        blue: cars of blue.
        orange: cars of orange.
    """
    places = _KICKOFFS[random.permutation(len(_KICKOFFS))]
    cars = np.array([*places[:blue], *(places[:orange] * (-1, -1, 1) + (0, 0, np.pi))])
    count = blue + orange
    position = np.full((count, 3), CAR_REST_Z)
    position[:, :2] = cars[:, :2]
    rotation = np.zeros((count, 3))
    rotation[:, 0] = cars[:, 2]
    return Start(
        ball_position=np.array([0.0, 0.0, BALL_REST_Z]),
        ball_velocity=np.zeros(3),
        ball_angular_velocity=np.zeros(3),
        car_position=position,
        car_velocity=np.zeros((count, 3)),
        car_angular_velocity=np.zeros((count, 3)),
        car_rotation=rotation,
        boost=np.full(count, SPAWN_BOOST),
        on_ground=np.ones(count, dtype=bool),
        pad_timers=np.zeros(len(BIG_PADS)),
    )


def anywhere(random: np.random.Generator, blue: int, orange: int) -> Start:
    """Return a random moment of play.

    The ball is on the floor (half of the time) or up to 1500 uu high, within 3500 uu of the middle
    along x and 4500 along y, rolling or flying at up to 2000 uu/s in any direction. Cars stand or
    drive (up to 1500 uu/s forwards) anywhere on the floor, one in four is in the air at any tilt;
    bodies are at least 500 uu apart. Boost is uniform in 0 to 100; all pads are there.
    """
    count = blue + orange
    start = kickoff(random, blue, orange)
    places = _apart(random, count + 1)
    high = random.random() < 0.5
    start.ball_position[:2] = places[0]
    start.ball_position[2] = BALL_REST_Z + (random.uniform(100, 1400) if high else 0)
    start.ball_velocity[:] = _direction(random) * random.uniform(0, 2000)
    start.ball_velocity[2] *= high
    start.car_position[:, :2] = places[1:]
    start.car_rotation[:, 0] = random.uniform(-np.pi, np.pi, count)
    start.boost[:] = random.uniform(0, BOOST_MAX, count)
    speed = random.uniform(0, 1500, count) * (random.random(count) < 0.5)
    start.car_velocity[:, 0] = np.cos(start.car_rotation[:, 0]) * speed
    start.car_velocity[:, 1] = np.sin(start.car_rotation[:, 0]) * speed
    flying = random.random(count) < 0.25
    for car in np.flatnonzero(flying).tolist():
        start.car_position[car, 2] = random.uniform(200, 1200)
        start.car_rotation[car, 1:] = random.uniform(-0.5, 0.5, 2) * (np.pi, 2 * np.pi)
        start.car_velocity[car] = _direction(random) * random.uniform(0, 0.8 * CAR_MAX_SPEED)
        start.car_angular_velocity[car] = _direction(random) * random.uniform(0, 3)
    start.on_ground[:] = ~flying
    return start


def _apart(random: np.random.Generator, count: int) -> np.ndarray:
    """Return points on the floor at least 500 uu from each other, ``[count, 2]``."""
    points: list[np.ndarray] = []
    while len(points) < count:
        point = random.uniform(-1, 1, 2) * (3500, 4500)
        if all(math.dist(point, other) >= 500 for other in points):
            points.append(point)
    return np.array(points)


def _direction(random: np.random.Generator) -> np.ndarray:
    vector = random.standard_normal(3)
    return vector / np.linalg.norm(vector)


NAMED: Mapping[str, Callable[[np.random.Generator, int, int], Start]] = {
    "kickoff": kickoff,
    "random": anywhere,
}


@final
class StartSampler:
    """Draws the states in which episodes begin.

    Args:
        start: ``"kickoff"``; ``"random"`` (see `anywhere`); a file of moments of play, whose name
            ends in ``.safetensors`` (see `envs.rocket_league.recorded_starts`); a mapping of these
            names to weights; or a function ``(start, random) -> None`` that changes a kick-off in
            place.
        blue: cars of blue.
        orange: cars of orange.

    Raises:
        ValueError: an unknown name, a file that cannot be used, or weights that are negative or all
            zero.
    """

    def __init__(self, start: str | Mapping[str, float] | Mutator, blue: int, orange: int) -> None:
        self._cars = blue, orange
        self._mutate: Any = None
        if callable(start):
            self._mutate, start = start, "kickoff"
        weights = {start: 1.0} if isinstance(start, str) else dict(start)
        files = [name for name in weights if str(name).endswith(".safetensors")]
        unknown = sorted(set(weights) - set(NAMED) - set(files))
        if unknown:
            raise ValueError(
                f"Unknown start {unknown[0]!r}. Expected 'kickoff', 'random', a file "
                "*.safetensors of moments of play, a mapping of these to weights such as "
                "{'kickoff': 0.3, 'random': 0.7}, or a function (start, random)."
            )
        values = np.array(list(weights.values()), dtype=float)
        if not (values >= 0).all() or not 0 < values.sum() < np.inf:
            raise ValueError(f"The weights of start must be at least 0 and not all 0: {weights}.")
        from envs.rocket_league.recorded_starts import RecordedStarts

        recorded = {name: RecordedStarts(name, blue, orange) for name in files}
        self._kinds = [recorded[name] if name in recorded else NAMED[name] for name in weights]
        self._chances = values / values.sum()

    def __call__(self, random: np.random.Generator) -> Start:
        """Return one start."""
        kind = random.choice(len(self._kinds), p=self._chances) if len(self._kinds) > 1 else 0
        start = self._kinds[int(kind)](random, *self._cars)
        if self._mutate is not None:
            self._mutate(start, random)
        return start
