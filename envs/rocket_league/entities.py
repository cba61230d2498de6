"""What a car sees as a set of things: itself, and around it the ball and every car.

A network that attends to things needs each of them as a row of the same features, whatever their
number, in place of one long vector in which every car has its columns. As in `observation`, the
arena is turned by half a turn for an orange car.
"""

from __future__ import annotations

from typing import final

import numpy as np
from gymnasium import spaces

from envs.rocket_league.arena_state import (
    AXES,
    CAR_BODY,
    CAR_BOOST,
    CAR_DEMOLISHED,
    CAR_ON_GROUND,
    CONTROLS,
    IS_SUPERSONIC,
    POSITION,
    RESPAWN_TIMER,
    VELOCITY,
    ArenaState,
)
from envs.rocket_league.constants import BIG_PAD_SECONDS, BOOST_MAX
from envs.rocket_league.observation import (
    BODY,
    BODY_SCALE,
    FLIGHT,
    LOCAL_SCALE,
    OWN_FLIGHT_SCALE,
    PADS,
    RESPAWN_SCALE,
    seen_from,
)

KINDS, RELATIVE, CAR_ONLY = 4, 6, 12
FEATURES = KINDS + len(BODY) + RELATIVE + CAR_ONLY
"""Numbers of one entity."""
_RELATIVE = slice(KINDS + len(BODY), KINDS + len(BODY) + RELATIVE)
_AXES = np.array([*range(24, 27), *range(30, 33)])


def entity_layout() -> dict[str, slice]:
    """Return where each part of an entity's row is, in order.

    ``kind`` (one of ball, own car, team mate, opponent), ``position``, ``velocity``,
    ``angular_velocity``, ``relative_position`` and ``relative_velocity`` (to the front, to the
    right and upwards, as seen from the own car), ``forward``, ``up``, ``boost``, ``on_ground``,
    ``is_demolished``, ``is_supersonic``, ``has_flip``, ``respawn_timer``; from ``forward`` on 0 for
    the ball. Scales are those of `observation`: numbers around 1.
    """
    sizes = {
        "kind": KINDS, "position": 3, "velocity": 3, "angular_velocity": 3,
        "relative_position": 3, "relative_velocity": 3, "forward": 3, "up": 3, "boost": 1,
        "on_ground": 1, "is_demolished": 1, "is_supersonic": 1, "has_flip": 1, "respawn_timer": 1,
    }  # fmt: skip
    ends = np.cumsum(list(sizes.values())).tolist()
    return {
        name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)
    }


@final
class EntityObservationBuilder:
    """Builds the entity observations of some of the cars of every arena.

    An observation is a dict:

    * ``query``, float32 ``[21 + 6 + 34 + 8 P]``: the own car (position to respawn timer, as in its
      row, without kind and relative numbers), its jumps and flips, the boost pads, and the last P
      controls, the newest first, 0 before the episode began;
    * ``entities``, float32 ``[M + 1, FEATURES]``: the ball, the own car, team mates, opponents (see
      `entity_layout`), then rows of 0 where there are fewer than M cars;
    * ``padding``, int8 ``[M + 1]``: 1 for those rows.

    Args:
        team: int64 ``[C]``: the team of each car.
        cars: the places of the cars to look through, ``[K]``.
        max_cars: M, rows for cars, at least C; None: C.
        previous_actions: P, at least 1.

    Attributes:
        space: of one observation.

    Raises:
        ValueError: fewer rows than cars, or no previous action.
    """

    def __init__(
        self,
        team: np.ndarray,
        cars: np.ndarray,
        *,
        max_cars: int | None = None,
        previous_actions: int = 5,
    ) -> None:
        count = len(team)
        rows = count if max_cars is None else max_cars
        if rows < count:
            raise ValueError(f"max_cars must be at least the {count} cars of a match, got {rows}.")
        if previous_actions < 1:
            raise ValueError(f"previous_actions must be at least 1, got {previous_actions}.")
        self._cars = cars
        self._order, self._view = seen_from(team, cars)
        self.previous_actions = previous_actions
        self._rows = rows + 1
        query = CAR_ONLY + len(BODY) + FLIGHT + PADS + CONTROLS * previous_actions
        unlimited = np.inf
        self.space = spaces.Dict(
            {
                "query": spaces.Box(-unlimited, unlimited, (query,), np.float32),
                "entities": spaces.Box(-unlimited, unlimited, (self._rows, FEATURES), np.float32),
                "padding": spaces.MultiBinary(self._rows),
            }
        )
        self._kinds = np.zeros((len(cars), self._rows, KINDS), dtype=np.float32)
        mates = int((team == team[cars[0]]).sum()) - 1
        kinds = [0, 1, *[2] * mates, *[3] * (count - 1 - mates)]
        self._kinds[:, np.arange(count + 1), kinds] = 1
        self._padding = np.zeros((len(cars), self._rows), dtype=np.int8)
        self._padding[:, count + 1 :] = 1

    def __call__(self, state: ArenaState, recent: np.ndarray) -> dict[str, np.ndarray]:
        """Return new observations, ``[N, K, ...]`` each.

        Args:
            state: of all arenas.
            recent: float32 ``[N, C, P, 8]``: the last controls of every car, the newest first.
        """
        count, cars = len(state.ball_rows), len(self._cars)
        drivers = state.car_rows.shape[1]
        entities = np.zeros((count, cars, self._rows, FEATURES), dtype=np.float32)
        entities[..., :KINDS] = self._kinds
        ball = np.take(state.ball_rows, BODY, axis=2) * BODY_SCALE
        entities[:, :, 0, KINDS : KINDS + len(BODY)] = np.take(ball, self._view, axis=1)
        features = self._features(state)
        seen = np.take(features.reshape(count, -1, features.shape[-1]), self._order, axis=1)
        seen = seen.reshape(count, cars, drivers, -1)
        body = len(BODY)
        entities[:, :, 1 : drivers + 1, KINDS : KINDS + body] = seen[..., :body]
        entities[:, :, 1 : drivers + 1, KINDS + body + RELATIVE :] = seen[..., body:]
        entities[:, :, : drivers + 1, _RELATIVE] = self._relative(state)
        return {
            "query": self._query(state, seen[:, :, 0], recent),
            "entities": entities,
            "padding": np.repeat(self._padding[None], count, axis=0),
        }

    def _features(self, state: ArenaState) -> np.ndarray:
        """Return the features of every car in both views but those relative to another."""
        rows = state.car_rows
        features = np.empty((*rows.shape[:3], len(BODY) + CAR_ONLY), dtype=np.float32)
        body = len(BODY)
        features[..., :body] = np.take(rows, BODY + CAR_BODY, axis=3) * BODY_SCALE
        features[..., body : body + 6] = np.take(rows, _AXES, axis=3)
        features[..., body + 6] = rows[..., CAR_BOOST] * np.float32(1 / BOOST_MAX)
        features[..., body + 7] = rows[..., CAR_ON_GROUND]
        features[..., body + 8] = rows[..., CAR_DEMOLISHED]
        features[..., body + 9] = state.flight[:, :, None, IS_SUPERSONIC]
        features[..., body + 10] = state.has_flip[:, :, None]
        features[..., body + 11] = state.flight[:, :, None, RESPAWN_TIMER] * RESPAWN_SCALE
        return features

    def _relative(self, state: ArenaState) -> np.ndarray:
        """Return place and speed of ball and cars in the frame of each own car.

        World coordinates will do: a half turn of everything leaves them as they are.
        """
        cars = state.car_rows[:, :, 0, CAR_BODY:]
        places = np.concatenate((state.ball_rows[:, None, 0, POSITION], cars[..., POSITION]), 1)
        speeds = np.concatenate((state.ball_rows[:, None, 0, VELOCITY], cars[..., VELOCITY]), 1)
        own = np.take(cars, self._cars, axis=1)
        others = 1 + self._order.reshape(len(self._cars), -1) // 2
        order = np.pad(others, ((0, 0), (1, 0)))
        away = np.stack((places[:, order], speeds[:, order]), axis=3)
        away[..., 0, :] -= own[:, :, None, POSITION]
        away[..., 1, :] -= own[:, :, None, VELOCITY]
        away *= LOCAL_SCALE
        axes = own[..., AXES].reshape(*own.shape[:2], 1, 1, 3, 3)
        local = np.add.reduce(axes * away[..., None, :], axis=5)
        return local.reshape(*local.shape[:3], RELATIVE)

    def _query(self, state: ArenaState, own: np.ndarray, recent: np.ndarray) -> np.ndarray:
        count, cars = own.shape[:2]
        flight = np.take(state.flight, self._cars, axis=1)[:, :, :FLIGHT] * OWN_FLIGHT_SCALE
        world = np.float32(1) - state.pad_timers * np.float32(1 / BIG_PAD_SECONDS)
        pads = np.stack((world, world[:, ::-1]), axis=1)
        controls = np.take(recent, self._cars, axis=1).reshape(count, cars, -1)
        parts = (own, flight, np.take(pads, self._view, axis=1), controls)
        return np.concatenate(parts, axis=2, dtype=np.float32)
