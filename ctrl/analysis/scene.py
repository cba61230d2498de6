"""Made-up moments of a match as records, so that any reward can be asked about them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch

from envs.rocket_league.arena_state import (
    AXES,
    CAR_BODY,
    CAR_BOOST,
    CAR_ON_GROUND,
    CONTROLS,
    FLIGHT,
    POSITION,
    VELOCITY,
    ArenaState,
)
from envs.rocket_league.constants import BALL_REST_Z, BOOST_PADS, CAR_REST_Z, MIRROR
from envs.rocket_league.events import EVENTS, TOUCH
from envs.rocket_league.info import InfoBuilder
from envs.rocket_league.observation import ObservationBuilder
from reward_models.errors import UserError
from reward_models.rollout import Rollout

_CAR_ROW, _BALL_ROW = 36, 25
# x, y and speed along y of up to three cars of blue; orange's are turned by half a turn.
_PLACES = ((-600.0, -2200.0, 1000.0), (1500.0, -3200.0, 600.0), (-2200.0, -4300.0, 0.0))


@final
@dataclass(frozen=True, eq=False)
class Scene:
    """N moments of a match with C cars, blue first; everything else is as at a kick-off.

    Attributes:
        ball_position: uu, ``[N, 3]``.
        ball_velocity: uu/s, ``[N, 3]``.
        car_position: uu, ``[N, C, 3]``.
        car_velocity: uu/s, ``[N, C, 3]``; the nose points that way.
        boost: 0 to 100, ``[N, C]``.
        touch: whether each car has just touched the ball, bool ``[N, C]``.
        team: 0 or 1, ``[C]``.
    """

    ball_position: np.ndarray
    ball_velocity: np.ndarray
    car_position: np.ndarray
    car_velocity: np.ndarray
    boost: np.ndarray
    touch: np.ndarray
    team: np.ndarray

    def repeated(self, count: int) -> Scene:
        """Return the first moment ``count`` times."""
        return Scene(
            team=self.team,
            **{
                name: np.repeat(value[:1], count, axis=0)
                for name, value in vars(self).items()
                if name != "team"
            },
        )

    def at(self, body: int | None, positions: np.ndarray) -> Scene:
        """Return the first moment with the ball (None) or one car in N places, ``[N, 3]``."""
        many = self.repeated(len(positions))
        if body is None:
            return replace(many, ball_position=positions)
        moved = many.car_position.copy()
        moved[:, body] = positions
        return replace(many, car_position=moved)

    def moving(self, body: int | None, velocities: np.ndarray) -> Scene:
        """Return the moments with the ball (None) or one car at other velocities, ``[N, 3]``."""
        if body is None:
            return replace(self, ball_velocity=velocities)
        moved = self.car_velocity.copy()
        moved[:, body] = velocities
        return replace(self, car_velocity=moved)

    def rollout(self) -> Rollout:
        """Return the moments as the successors of single steps: a rollout ``[1, N C]``.

        Column ``n C + c`` is car c of moment n. ``observation`` and ``next_observation`` are both
        those of the moment, actions and the task reward are 0, and each step is the first of its
        episode.
        """
        cars = np.arange(len(self.team))
        state = self._arena_state()
        counts = np.zeros((*self.touch.shape, len(EVENTS)), dtype=np.float32)
        counts[..., TOUCH] = self.touch
        info = InfoBuilder(self.team, cars)(state, counts)
        seen = torch.as_tensor(ObservationBuilder(self.team, cars)(state))
        seen = seen.reshape(1, self.touch.size, -1)
        flags = torch.zeros(1, self.touch.size, dtype=torch.bool)
        return Rollout(
            observation=seen, next_observation=seen, action=torch.zeros(flags.shape),
            reward=torch.zeros(flags.shape), terminated=flags, truncated=flags,
            state={name: torch.as_tensor(np.array(value))[None] for name, value in info.items()},
        )  # fmt: skip

    def _arena_state(self) -> ArenaState:
        count, cars = self.touch.shape
        rows = np.zeros((count, cars, 2, _CAR_ROW), dtype=np.float32)
        balls = np.zeros((count, 2, _BALL_ROW), dtype=np.float32)
        axes = _axes(self.car_velocity, self.team)
        for view, turn in ((0, np.ones(3, dtype=np.float32)), (1, MIRROR)):
            balls[:, view, POSITION] = self.ball_position * turn
            balls[:, view, VELOCITY] = self.ball_velocity * turn
            body = rows[:, :, view, CAR_BODY:]
            body[..., POSITION] = self.car_position * turn
            body[..., VELOCITY] = self.car_velocity * turn
            body[..., AXES] = (axes * turn).reshape(count, cars, 9)
        rows[..., CAR_BOOST] = self.boost[..., None]
        rows[..., CAR_ON_GROUND] = self.car_position[..., 2:] < 1.5 * CAR_REST_Z
        return ArenaState(
            car_rows=rows,
            ball_rows=balls,
            pads=np.ones((count, 2, len(BOOST_PADS)), dtype=np.float32),
            pad_timers=np.zeros((count, len(BOOST_PADS)), dtype=np.float32),
            flight=np.zeros((count, cars, FLIGHT), dtype=np.float32),
            controls=np.zeros((count, cars, CONTROLS), dtype=np.float32),
            team=self.team,
            score=np.zeros((count, 2), dtype=np.int64),
            last_touch=np.where(self.touch.any(1), self.touch.argmax(1), -1),
            ticks=np.zeros(count, dtype=np.int64),
        )


def opening(blue: int = 1, orange: int = 1) -> Scene:
    """Return one moment in which the ball lies in the middle and cars drive up to it.

    Args:
        blue: cars, 1 to 3.
        orange: cars, 0 to 3.

    Raises:
        UserError: a number out of its range.
    """
    if not 1 <= blue <= 3 or not 0 <= orange <= 3:
        raise UserError(f"Expected 1 to 3 blue and 0 to 3 orange cars, got {blue} and {orange}.")
    rows = [(*place, 1.0) for place in _PLACES[:blue]]
    rows += [(-x, -y, -speed, -1.0) for x, y, speed in _PLACES[:orange]]
    places = np.array(rows)
    count = len(places)
    position = np.full((1, count, 3), CAR_REST_Z)
    position[0, :, :2] = places[:, :2]
    velocity = np.zeros((1, count, 3))
    velocity[0, :, 1] = places[:, 2]
    return Scene(
        ball_position=np.array([[0.0, 0.0, BALL_REST_Z]]),
        ball_velocity=np.zeros((1, 3)),
        car_position=position,
        car_velocity=velocity,
        boost=np.full((1, count), 50.0),
        touch=np.zeros((1, count), dtype=bool),
        team=np.repeat(np.array([0, 1]), [blue, orange]),
    )


def fibonacci_sphere(count: int) -> np.ndarray:
    """Return directions spread evenly over the sphere, unit vectors ``[count, 3]``."""
    number = np.arange(count) + 0.5
    height = 1.0 - 2.0 * number / count
    angle = np.pi * (1.0 + np.sqrt(5.0)) * number
    around = np.sqrt(1.0 - height**2)
    return np.stack([around * np.cos(angle), around * np.sin(angle), height], axis=-1)


def _axes(velocity: np.ndarray, team: np.ndarray) -> np.ndarray:
    """Return nose, right and roof ``[N, C, 3, 3]`` of cars that look where they drive."""
    ahead = np.zeros_like(velocity)
    ahead[..., 1] = 1.0 - 2.0 * team
    speed = np.linalg.norm(velocity, axis=-1, keepdims=True)
    nose = np.where(speed > 1.0, velocity / np.maximum(speed, 1.0), ahead)
    right = np.cross(np.array([0.0, 0.0, 1.0]), nose)
    length = np.linalg.norm(right, axis=-1, keepdims=True)
    right = np.where(length > 1e-6, right / np.maximum(length, 1e-6), np.array([1.0, 0.0, 0.0]))
    return np.stack([nose, right, np.cross(nose, right)], axis=-2)
