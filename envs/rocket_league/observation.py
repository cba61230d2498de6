"""What a car sees: everything from its own side of the field, in numbers around 1.

For an orange car the whole arena is turned by half a turn, so that every car defends the goal at
negative y and one policy can play both teams. With C cars in the arena an observation is
``43 + 21 C + 20`` numbers, laid out as in `layout`.
"""

from __future__ import annotations

from typing import final

import numpy as np
from gymnasium import spaces

from envs.rocket_league.arena_state import (
    CAR_BODY,
    CAR_BOOST,
    CAR_DEMOLISHED,
    CAR_ON_GROUND,
    IS_SUPERSONIC,
    RESPAWN_TIMER,
    ArenaState,
)
from envs.rocket_league.constants import (
    BIG_PAD_SECONDS,
    BOOST_MAX,
    CAR_MAX_ANGULAR_SPEED,
    CAR_MAX_SPEED,
    DODGE_SECONDS,
    ORANGE,
    RESPAWN_SECONDS,
    SIDE_WALL_X,
)

POSITION_SCALE = 1 / SIDE_WALL_X
VELOCITY_SCALE = 1 / CAR_MAX_SPEED
ANGULAR_SCALE = 1 / CAR_MAX_ANGULAR_SPEED

BODY = np.array([0, 1, 2, 7, 8, 9, 10, 11, 12])
BODY_SCALE = np.repeat([POSITION_SCALE, VELOCITY_SCALE, ANGULAR_SCALE], 3).astype(np.float32)
_CAR_COLUMNS = np.array(
    [*(BODY + CAR_BODY), *range(24, 27), *range(30, 33), CAR_BOOST, CAR_ON_GROUND, CAR_DEMOLISHED]
)
_CAR_SCALE = np.array([*BODY_SCALE, *[1.0] * 6, 1 / BOOST_MAX, 1.0, 1.0], dtype=np.float32)
# The first columns of `ArenaState.flight`: jumps and flips, then the time since a jump.
OWN_FLIGHT_SCALE = np.array([1, 1, 1, 1, 1, 1 / DODGE_SECONDS], dtype=np.float32)
RESPAWN_SCALE = np.float32(1 / RESPAWN_SECONDS)
LOCAL_SCALE = np.array([[POSITION_SCALE], [VELOCITY_SCALE]], dtype=np.float32)

BALL, PADS, CAR, LOCAL, FLIGHT, CONTROLS = 9, 34, 21, 6, 6, 8


def layout(blue: int, orange: int) -> dict[str, slice]:
    """Return where each part of an observation is, in order.

    Args:
        blue: cars of the own team, this one included.
        orange: cars of the other team.

    Returns:
        ``ball``, ``boost_pads``, ``car``, ``teammate_1`` ..., ``opponent_1`` ..., ``ball_local``,
        ``flight``, ``controls``.
    """
    sizes = {"ball": BALL, "boost_pads": PADS, "car": CAR}
    sizes |= {f"teammate_{place}": CAR for place in range(1, blue)}
    sizes |= {f"opponent_{place}": CAR for place in range(1, orange + 1)}
    sizes |= {"ball_local": LOCAL, "flight": FLIGHT, "controls": CONTROLS}
    ends = np.cumsum(list(sizes.values())).tolist()
    return {
        name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)
    }


def seen_from(team: np.ndarray, cars: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return in which order, and from which side, some of the cars see all of them.

    Args:
        team: int64 ``[C]``: the team of each car.
        cars: the places of the cars to look through, ``[K]``.

    Returns:
        Indices int64 ``[K C]`` into the ``2 C`` rows of an arena, in which the two views of every
        car follow each other: itself, its team mates, its opponents; and the view of each, int64
        ``[K]``, 0 as blue and 1 as orange.
    """
    view = (team[cars] == ORANGE).astype(int)
    places = np.arange(len(team))
    order = np.array(
        [
            [car, *places[(team == team[car]) & (places != car)], *places[team != team[car]]]
            for car in cars.tolist()
        ]
    )
    return (2 * order + view[:, None]).ravel(), view


@final
class ObservationBuilder:
    """Builds the observations of some of the cars of every arena.

    Args:
        team: int64 ``[C]``: the team of each car.
        cars: the places of the cars to look through, ``[K]``.

    Attributes:
        space: of one observation, a float32 Box without bounds.
    """

    def __init__(self, team: np.ndarray, cars: np.ndarray) -> None:
        self._cars = cars
        self._order, self._view = seen_from(team, cars)
        self._size = BALL + PADS + CAR * len(team) + LOCAL + FLIGHT + CONTROLS
        self.space = spaces.Box(-np.inf, np.inf, (self._size,), np.float32)

    def __call__(self, state: ArenaState) -> np.ndarray:
        """Return new observations, float32 ``[N, K, D]``."""
        count, cars = len(state.ball_rows), len(self._cars)
        result = np.empty((count, cars, self._size), dtype=np.float32)
        shared = np.empty((count, 2, BALL + PADS), dtype=np.float32)
        shared[:, :, :BALL] = np.take(state.ball_rows, BODY, axis=2) * BODY_SCALE
        shared[:, 0, BALL:] = state.pad_timers * np.float32(-1 / BIG_PAD_SECONDS)
        shared[:, 0, BALL:] += np.float32(1)
        shared[:, 1, BALL:] = shared[:, 0, : BALL - 1 : -1]
        start = BALL + PADS
        result[:, :, :start] = np.take(shared, self._view, axis=1)

        features = np.empty((*state.car_rows.shape[:3], CAR), dtype=np.float32)
        np.multiply(
            np.take(state.car_rows, _CAR_COLUMNS, axis=3), _CAR_SCALE, out=features[..., :18]
        )
        features[..., 18] = state.flight[:, :, None, IS_SUPERSONIC]
        features[..., 19] = state.has_flip[:, :, None]
        features[..., 20] = state.flight[:, :, None, RESPAWN_TIMER] * RESPAWN_SCALE
        entities = np.take(features.reshape(count, -1, CAR), self._order, axis=1)
        end = start + CAR * state.car_rows.shape[1]
        result[:, :, start:end] = entities.reshape(count, cars, -1)

        result[:, :, end : end + LOCAL] = self._ball_local(state)
        end += LOCAL
        flight = np.take(state.flight, self._cars, axis=1)[:, :, :FLIGHT]
        np.multiply(flight, OWN_FLIGHT_SCALE, out=result[:, :, end : end + FLIGHT])
        result[:, :, end + FLIGHT :] = np.take(state.controls, self._cars, axis=1)
        return result

    def _ball_local(self, state: ArenaState) -> np.ndarray:
        """Return the ball as seen from the driver's seat: to the front, to the right, upwards."""
        rows = np.take(state.car_rows[:, :, 0], self._cars, axis=1)
        shape = rows.shape[:2]
        away = np.empty((*shape, 2, 3), dtype=np.float32)
        ball = state.ball_rows[:, None, 0]
        np.subtract(ball[..., 0:3], rows[..., 11:14], out=away[:, :, 0])
        np.subtract(ball[..., 7:10], rows[..., 18:21], out=away[:, :, 1])
        away *= LOCAL_SCALE
        # One sum over a product: numpy's matrix product of many small matrices is a slow loop.
        axes = rows[..., 24:33].reshape(*shape, 1, 3, 3)
        local = np.add.reduce(axes * away[:, :, :, None], axis=4)
        return local.reshape(*shape, LOCAL)
