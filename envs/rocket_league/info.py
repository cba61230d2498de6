"""``info`` of every column: the state in world coordinates and what happened in the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import numpy as np

from envs.rocket_league.arena_state import (
    CAR_BOOST,
    CAR_DEMOLISHED,
    CAR_ON_GROUND,
    IS_SUPERSONIC,
    RESPAWN_TIMER,
    ArenaState,
)
from envs.rocket_league.events import EVENTS, TEAM_GOAL

STATE_KEYS: Mapping[str, str] = {
    "ball_position": "uu, [3]; world coordinates: blue's goal is at y = -5120, orange's at +5120",
    "ball_velocity": "uu/s, [3]",
    "ball_angular_velocity": "rad/s, [3]",
    "car_position": "the column's own car, uu, [3]",
    "car_velocity": "uu/s, [3]",
    "car_angular_velocity": "rad/s, [3]",
    "car_forward": "unit vector of the nose, [3]",
    "car_up": "unit vector of the roof, [3]",
    "boost": "boost of the car, 0 to 100",
    "on_ground": "whether three or four wheels are on a surface",
    "has_flip": "whether the car can still flip or jump",
    "is_supersonic": "whether the car is fast enough to demolish",
    "is_demolished": "whether the car waits to be put back on the field",
    "respawn_timer": "seconds until then, else 0",
    "team": "0 blue, 1 orange",
    "match": "number of the column's match, the same for all cars in it",
    "cars_in_match": "how many cars play in it, columns or not",
    "teammate_positions": "uu, [team mates, 3], in the order of the observation",
    "teammate_velocities": "uu/s, [team mates, 3]",
    "opponent_positions": "uu, [opponents, 3], in the order of the observation",
    "opponent_velocities": "uu/s, [opponents, 3]",
    "boost_pads": "1 where a pad can be picked up, else 0, [34], in the order of BOOST_PADS",
    "is_last_toucher": "whether the car was the last to touch the ball in this episode",
}
INFO_KEYS: Mapping[str, str] = {
    **STATE_KEYS,
    **EVENTS,
    "is_success": "whether the car's team scored in this step",
}
"""Every name in ``info``, with its meaning, unit and shape."""


@final
class InfoBuilder:
    """Builds the columns of ``info`` for some of the cars of every arena.

    Args:
        team: int64 ``[C]``: the team of each car.
        cars: the places of the cars that are columns, ``[K]``.
    """

    def __init__(self, team: np.ndarray, cars: np.ndarray) -> None:
        self._cars = cars
        self._count = len(team)
        self._team = team[cars]
        places = np.arange(len(team))
        own = [places[(team == team[car]) & (places != car)] for car in cars.tolist()]
        other = [places[team != team[car]] for car in cars.tolist()]
        self._mates, self._opponents = len(own[0]), len(other[0])
        # The engine's rows hold two views of every car, of which the first is the world's.
        self._own_rows = 2 * cars
        self._mate_rows = 2 * np.array(own, dtype=int).ravel()
        self._opponent_rows = 2 * np.array(other, dtype=int).ravel()

    def __call__(self, state: ArenaState, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Return the columns by name, each ``[N K, ...]``.

        Args:
            state: after the step.
            counts: of the step, ``[N, C, events]``.
        """
        arenas, cars = len(state.ball_rows), self._cars
        columns = arenas * len(cars)
        ball = np.repeat(state.ball_rows[:, 0], len(cars), axis=0)
        rows = state.car_rows.reshape(arenas, -1, state.car_rows.shape[3])
        width = rows.shape[2]
        own = np.take(rows, self._own_rows, axis=1).reshape(columns, width)
        mates = np.take(rows, self._mate_rows, axis=1).reshape(columns, self._mates, width)
        others = np.take(rows, self._opponent_rows, axis=1)
        others = others.reshape(columns, self._opponents, width)
        flight = np.take(state.flight, cars, axis=1).reshape(columns, -1)
        happened = np.take(counts, cars, axis=1).reshape(columns, -1)
        info = {
            "ball_position": ball[:, 0:3],
            "ball_velocity": ball[:, 7:10],
            "ball_angular_velocity": ball[:, 10:13],
            "car_position": own[:, 11:14],
            "car_velocity": own[:, 18:21],
            "car_angular_velocity": own[:, 21:24],
            "car_forward": own[:, 24:27],
            "car_up": own[:, 30:33],
            "boost": own[:, CAR_BOOST],
            "on_ground": own[:, CAR_ON_GROUND] > 0,
            "has_flip": np.take(state.has_flip, cars, axis=1).reshape(columns),
            "is_supersonic": flight[:, IS_SUPERSONIC] > 0,
            "is_demolished": own[:, CAR_DEMOLISHED] > 0,
            "respawn_timer": flight[:, RESPAWN_TIMER],
            "team": np.resize(self._team, columns),
            "match": np.repeat(np.arange(arenas), len(cars)),
            "cars_in_match": np.full(columns, self._count),
            "teammate_positions": mates[..., 11:14],
            "teammate_velocities": mates[..., 18:21],
            "opponent_positions": others[..., 11:14],
            "opponent_velocities": others[..., 18:21],
            "boost_pads": np.repeat(state.pads[:, 0], len(cars), axis=0),
            "is_last_toucher": (state.last_touch[:, None] == cars).reshape(columns),
        }
        for place, name in enumerate(EVENTS):
            info[name] = happened[:, place]
        info["is_success"] = happened[:, TEAM_GOAL] > 0
        return info
