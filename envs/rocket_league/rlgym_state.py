"""RLGym's ``GameState`` in the arrays of this project, so that ``info`` has the same names.

Everything that a ``GameState`` says is copied. What it does not say is inferred: with several
touches in one step the car with most of them is the last toucher; a boost pad that begins to wait
was picked up by the nearest car; a new contact between two cars is a bump of the car that reports
it, and a demolition where the other one waits for its return at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from envs.rocket_league.arena_state import (
    AIR_TIME_SINCE_JUMP,
    CAR_BODY,
    CAR_BOOST,
    CAR_DEMOLISHED,
    CAR_ON_GROUND,
    CAR_TOUCHED,
    CONTROLS,
    FLIGHT,
    HAS_DOUBLE_JUMPED,
    HAS_FLIPPED,
    HAS_JUMPED,
    IS_FLIPPING,
    IS_JUMPING,
    IS_SUPERSONIC,
    RESPAWN_TIMER,
    ArenaState,
)
from envs.rocket_league.constants import BOOST_PADS, MIRROR
from envs.rocket_league.events import EVENTS, EventTracker
from envs.rocket_league.info import InfoBuilder

_CAR_ROW, _BALL_ROW = 36, 25


@final
class StateColumns:
    """Turns the game states of several matches into ``info``, one row per column.

    Args:
        teams: of the cars of every match, ``[C]``; the same in all.
        cars: columns per match: its first cars, K.
        matches: how many matches, N.
    """

    def __init__(self, teams: Sequence[int], cars: int, matches: int) -> None:
        self._team = np.array(teams, dtype=np.int64)
        self._inform = InfoBuilder(self._team, np.arange(cars))
        self._tracker = EventTracker(matches, self._team)
        self._games: list[Any] = [None] * matches
        self._first_tick = np.zeros(matches, dtype=np.int64)
        self._last_touch = np.full(matches, -1)
        self._score = np.zeros((matches, 2), dtype=np.int64)
        self._state: ArenaState | None = None

    def begin(self, index: int, game: Any) -> None:
        """Begin an episode in one match.

        Args:
            index: of the match.
            game: its first state.
        """
        self._tracker.begin(index)
        self._games[index] = game
        self._first_tick[index] = game.tick_count
        self._last_touch[index] = -1
        self._state = None

    def first(self) -> dict[str, np.ndarray]:
        """Return ``info`` of the present states, in which nothing has happened yet."""
        self._state = self._read()
        return self._inform(self._state, np.zeros((*self._state.boost.shape, len(EVENTS)), "f4"))

    def update(self, games: Sequence[Any]) -> dict[str, np.ndarray]:
        """Return ``info`` of a step.

        Args:
            games: the state of every match after it.
        """
        before = self._read() if self._state is None else self._state
        old, self._games = self._games, list(games)
        for index, (was, game) in enumerate(zip(old, games, strict=True)):
            touches = [car.ball_touches for car in game.cars.values()]
            if any(touches):
                self._last_touch[index] = int(np.argmax(touches))
            if game.goal_scored and not was.goal_scored:
                self._score[index, game.scoring_team] += 1
        bumps = [_bumps(was, game) for was, game in zip(old, games, strict=True)]
        pickups = [_pickups(was, game) for was, game in zip(old, games, strict=True)]
        self._state = self._read()
        counts = self._tracker.update(before, self._state, bumps, pickups)
        return self._inform(self._state, counts)

    def _read(self) -> ArenaState:
        ticks = np.array([game.tick_count for game in self._games]) - self._first_tick
        return arena_state(self._games, self._team, self._score, self._last_touch, ticks)


def arena_state(
    games: Sequence[Any],
    team: np.ndarray,
    score: np.ndarray,
    last_touch: np.ndarray,
    ticks: np.ndarray,
) -> ArenaState:
    """Copy game states into arrays; what drivers ask for is not in them and stays 0.

    Args:
        games: one ``GameState`` per match, all with cars of these teams in this order.
        team: ``[C]``.
        score: ``[N, 2]``.
        last_touch: ``[N]``, a car or -1.
        ticks: ``[N]`` since the episode began.
    """
    count, size = len(games), len(team)
    cars = [car for game in games for car in game.cars.values()]
    rows = np.zeros((count * size, 2, _CAR_ROW), dtype=np.float32)
    balls = np.zeros((count, 2, _BALL_ROW), dtype=np.float32)
    _write_bodies(rows, CAR_BODY, [car.physics for car in cars])
    _write_bodies(balls, 0, [game.ball for game in games])
    flight = np.zeros((count * size, FLIGHT), dtype=np.float32)
    for place, values in (
        (CAR_DEMOLISHED, [car.is_demoed for car in cars]),
        (CAR_ON_GROUND, [car.on_ground for car in cars]),
        (CAR_TOUCHED, [car.ball_touches > 0 for car in cars]),
        (CAR_BOOST, [car.boost_amount for car in cars]),
    ):
        rows[:, :, place] = np.array(values, dtype=np.float32)[:, None]
    for place, values in (
        (HAS_JUMPED, [car.has_jumped for car in cars]),
        (IS_JUMPING, [car.is_jumping for car in cars]),
        (HAS_FLIPPED, [car.has_flipped for car in cars]),
        (IS_FLIPPING, [car.is_flipping for car in cars]),
        (HAS_DOUBLE_JUMPED, [car.has_double_jumped for car in cars]),
        (AIR_TIME_SINCE_JUMP, [car.air_time_since_jump for car in cars]),
        (IS_SUPERSONIC, [car.is_supersonic for car in cars]),
        (RESPAWN_TIMER, [car.demo_respawn_timer for car in cars]),
    ):
        flight[:, place] = values
    timers = np.array([game.boost_pad_timers for game in games], dtype=np.float32)
    there = (timers == 0).astype(np.float32)
    return ArenaState(
        car_rows=rows.reshape(count, size, 2, _CAR_ROW),
        ball_rows=balls,
        pads=np.stack([there, there[:, ::-1]], axis=1),
        pad_timers=timers,
        flight=flight.reshape(count, size, FLIGHT),
        controls=np.zeros((count, size, CONTROLS), dtype=np.float32),
        team=team,
        score=score.copy(),
        last_touch=last_touch.copy(),
        ticks=ticks,
    )


def _write_bodies(rows: np.ndarray, start: int, bodies: Sequence[Any]) -> None:
    """Write positions, speeds and axes as blue sees them (0) and as orange does (1)."""
    axes = np.array([body.rotation_mtx.T for body in bodies], dtype=np.float32)
    for place, vectors in (
        (0, [body.position for body in bodies]),
        (7, [body.linear_velocity for body in bodies]),
        (10, [body.angular_velocity for body in bodies]),
        (13, axes[:, 0]),
        (16, axes[:, 1]),
        (19, axes[:, 2]),
    ):
        seen = np.array(vectors, dtype=np.float32)
        columns = slice(start + place, start + place + 3)
        rows[:, 0, columns] = seen
        rows[:, 1, columns] = seen * MIRROR


def _bumps(was: Any, game: Any) -> list[tuple[int, int, bool]]:
    """Return the new contacts between cars: car, the other one, whether it was demolished."""
    found = []
    places = {agent: place for place, agent in enumerate(game.cars)}
    for place, (agent, car) in enumerate(game.cars.items()):
        victim = car.bump_victim_id
        if victim is not None and victim != was.cars[agent].bump_victim_id:
            gone = game.cars[victim].is_demoed and not was.cars[victim].is_demoed
            found.append((place, places[victim], bool(gone)))
    return found


def _pickups(was: Any, game: Any) -> list[tuple[int, int, int]]:
    """Return the boost pads that began to wait: the nearest car, the pad, the tick."""
    taken = np.flatnonzero(game.boost_pad_timers > was.boost_pad_timers).tolist()
    if not taken:
        return []
    cars = np.array([car.physics.position[:2] for car in game.cars.values()])
    return [
        (int(((cars - BOOST_PADS[pad]) ** 2).sum(axis=1).argmin()), pad, int(game.tick_count))
        for pad in taken
    ]
