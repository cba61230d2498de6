"""The state of N arenas with C cars each, in arrays.

Cars are numbered blue first, then orange; the order never changes. Everything is in world
coordinates (see `envs.rocket_league.constants`) unless a name says otherwise. The engine hands out
each arena and car as rows of numbers, both as blue sees them and turned by half a turn as orange
sees them; the properties here are views into those rows, so reading one copies nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from envs.rocket_league.constants import DODGE_SECONDS

# Columns of the engine's rows (``Arena.get_gym_state``).
POSITION, VELOCITY, ANGULAR_VELOCITY = slice(0, 3), slice(7, 10), slice(10, 13)
AXES = slice(13, 22)
CAR_BODY = 11
"""Where the columns above begin in the row of a car."""
CAR_ID, CAR_DEMOLISHED, CAR_ON_GROUND, CAR_TOUCHED, CAR_BOOST = 0, 7, 8, 9, 10

# Columns of `ArenaState.flight`.
(
    HAS_JUMPED,
    IS_JUMPING,
    HAS_FLIPPED,
    IS_FLIPPING,
    HAS_DOUBLE_JUMPED,
    AIR_TIME_SINCE_JUMP,
    IS_SUPERSONIC,
    RESPAWN_TIMER,
) = range(8)
FLIGHT = 8
CONTROLS = 8


@final
@dataclass(frozen=True)
class ArenaState:
    """One moment of N arenas; the arrays are never written to again.

    Attributes:
        car_rows: float32 ``[N, C, 2, 36]``: the engine's row of every car, as blue sees it (0) and
            as orange does (1).
        ball_rows: float32 ``[N, 2, 25]``: the same for the ball.
        pads: float32 ``[N, 2, 34]``: 1 where a boost pad can be picked up, in the order of
            `constants.BOOST_PADS` (0) and in the opposite order (1).
        pad_timers: float32 ``[N, 34]``: seconds until a pad is there again; 0 where it is.
        flight: float32 ``[N, C, 8]``: what a car is doing in the air, see the properties.
        controls: float32 ``[N, C, 8]``: what the drivers last asked for: throttle, steer, pitch,
            yaw, roll (each -1 to 1), jump, boost, handbrake (0 or 1).
        team: int64 ``[C]``: 0 blue, 1 orange.
        score: int64 ``[N, 2]``: goals of blue and orange since the arena was made.
        last_touch: int64 ``[N]``: the car that touched the ball last in this episode, or -1.
        ticks: int64 ``[N]``: physics ticks (1/120 s) since the episode began.
    """

    car_rows: np.ndarray
    ball_rows: np.ndarray
    pads: np.ndarray
    pad_timers: np.ndarray
    flight: np.ndarray
    controls: np.ndarray
    team: np.ndarray
    score: np.ndarray
    last_touch: np.ndarray
    ticks: np.ndarray

    @property
    def ball_position(self) -> np.ndarray:
        """``[N, 3]`` in uu."""
        return self.ball_rows[:, 0, POSITION]

    @property
    def ball_velocity(self) -> np.ndarray:
        """``[N, 3]`` in uu/s."""
        return self.ball_rows[:, 0, VELOCITY]

    @property
    def ball_angular_velocity(self) -> np.ndarray:
        """``[N, 3]`` in rad/s."""
        return self.ball_rows[:, 0, ANGULAR_VELOCITY]

    @property
    def car_position(self) -> np.ndarray:
        """``[N, C, 3]`` in uu; of a demolished car where it was hit."""
        return self._car(POSITION)

    @property
    def car_velocity(self) -> np.ndarray:
        """``[N, C, 3]`` in uu/s."""
        return self._car(VELOCITY)

    @property
    def car_angular_velocity(self) -> np.ndarray:
        """``[N, C, 3]`` in rad/s."""
        return self._car(ANGULAR_VELOCITY)

    @property
    def car_axes(self) -> np.ndarray:
        """``[N, C, 3, 3]``: unit vectors to the front, to the right and upwards, one per row."""
        return self._car(AXES).reshape(*self.car_rows.shape[:2], 3, 3)

    @property
    def car_forward(self) -> np.ndarray:
        """``[N, C, 3]``: unit vector of the nose."""
        return self._car(slice(13, 16))

    @property
    def car_up(self) -> np.ndarray:
        """``[N, C, 3]``: unit vector of the roof."""
        return self._car(slice(19, 22))

    @property
    def boost(self) -> np.ndarray:
        """``[N, C]``, 0 to 100."""
        return self.car_rows[:, :, 0, CAR_BOOST]

    @cached_property
    def on_ground(self) -> np.ndarray:
        """Bool ``[N, C]``: three or four wheels are on a surface (floor, wall, ceiling)."""
        return self.car_rows[:, :, 0, CAR_ON_GROUND] > 0

    @cached_property
    def is_demolished(self) -> np.ndarray:
        """Bool ``[N, C]``: waiting to be put back on the field."""
        return self.car_rows[:, :, 0, CAR_DEMOLISHED] > 0

    @cached_property
    def touched(self) -> np.ndarray:
        """Bool ``[N, C]``: touched the ball since the state before this one."""
        return self.car_rows[:, :, 0, CAR_TOUCHED] > 0

    @property
    def is_supersonic(self) -> np.ndarray:
        """Bool ``[N, C]``: fast enough to demolish."""
        return self.flight[:, :, IS_SUPERSONIC] > 0

    @cached_property
    def has_flip(self) -> np.ndarray:
        """Bool ``[N, C]``: the car can still flip or jump.

        It is on the ground; or it is in the air, has not flipped nor jumped a second time, and no
        jump ended more than 1.25 s ago.
        """
        flight = self.flight
        used = flight[:, :, HAS_FLIPPED] + flight[:, :, HAS_DOUBLE_JUMPED] > 0
        fresh = flight[:, :, AIR_TIME_SINCE_JUMP] < DODGE_SECONDS
        return self.on_ground | (~used & fresh)

    @property
    def respawn_timer(self) -> np.ndarray:
        """``[N, C]``: seconds until a demolished car is back, else 0."""
        return self.flight[:, :, RESPAWN_TIMER]

    def _car(self, columns: slice) -> np.ndarray:
        return self.car_rows[:, :, 0, CAR_BODY + columns.start : CAR_BODY + columns.stop]
