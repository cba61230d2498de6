"""N arenas of the engine RocketSim: stepping, reading, and setting their state.

Three properties of the engine decide how this is done; each is tested.

- Bodies remember more than their state: wheels keep the grip of their last contact and the forces
  of the last tick. Setting a state over an old one therefore does not give what a new arena gives.
  Every state is set after a tick in which all cars stand apart on the floor, which sets the grip,
  and one in which they hang in the air with the handbrake held, which sets the forces to zero.
- The engine goes through its cars in an order that follows memory addresses. With two cars that
  order is always the same; with more, an arena is made again until it has the usual order, which
  one out of ten new arenas does not.
- A demolished car comes back at a place drawn from the engine's own clock-seeded generator. The
  place is drawn anew from the arena's own generator, in the tick in which the car comes back.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np

from envs.rocket_league.arena_state import (
    CAR_BODY,
    CAR_DEMOLISHED,
    CAR_ON_GROUND,
    CONTROLS,
    FLIGHT,
    RESPAWN_TIMER,
    VELOCITY,
    ArenaState,
)
from envs.rocket_league.constants import (
    BIG_PAD_SECONDS,
    BIG_PADS,
    BLUE,
    BOOST_MAX,
    BOOST_PER_SECOND,
    CAR_REST_Z,
    ORANGE,
    SMALL_PAD_SECONDS,
    TICKS_PER_SECOND,
)
from envs.rocket_league.meshes import load_engine
from envs.threads import ThreadTeam

# The engine drops out of supersonic below 2100 uu/s: slower cars are not, whatever they were.
_MAYBE_SUPERSONIC = 2095.0**2
_PAD_SECONDS = np.where(BIG_PADS, BIG_PAD_SECONDS, SMALL_PAD_SECONDS).astype(np.float32)
# Two cars 100 uu to either side of one of these pads are both within its reach and apart.
_PROBES = ((-3584.0, 0.0), (3584.0, 0.0), (-3072.0, 4096.0))
_BUILDS = 50
_NO_ORDER = (
    "No arena with the engine's usual order of cars could be made. Where wheels touch another car, "
    "matches with three or more cars may differ from those of another process with the same seed."
)

Pickup = tuple[int, int, int]
"""Car, boost pad, and the tick in which it happened."""
Bump = tuple[int, int, bool]
"""Car, the car that it hit, and whether that one was demolished."""


@final
class Arenas:
    """N arenas with the same cars.

    Args:
        num_arenas: N.
        blue: cars that attack towards positive y.
        orange: cars that attack towards negative y.
        threads: how many threads step the arenas, including the caller.

    Attributes:
        engine: the module ``RocketSim``.
        arenas: the engine's arenas.
        cars: the engine's cars, per arena, blue first.
        team: int64 ``[C]``.
        bumps: per arena what happened in the last step.
        pickups: per arena what happened in the last step.
        state: the arenas as last read.
    """

    def __init__(self, num_arenas: int, blue: int, orange: int, *, threads: int = 1) -> None:
        self.engine: Any = load_engine()
        self.team = np.array([BLUE] * blue + [ORANGE] * orange)
        self.arenas: list[Any] = []
        self.cars: list[list[Any]] = []
        self.bumps: list[list[Bump]] = [[] for _ in range(num_arenas)]
        self.pickups: list[list[Pickup]] = [[] for _ in range(num_arenas)]
        for index in range(num_arenas):
            self._build(index)
        self._first_id = [cars[0].id for cars in self.cars]
        self._setters = [[car.set_controls for car in cars] for cars in self.cars]
        self._step = [arena.step for arena in self.arenas]
        self._read = [arena.get_gym_state for arena in self.arenas]
        self._ask = [car.get_state for cars in self.cars for car in cars]
        self._due = [False] * num_arenas
        self._random: Callable[[int], np.random.Generator] = np.random.default_rng
        self._team_of_threads = ThreadTeam(min(threads, num_arenas))
        size = (num_arenas, len(self.team))
        self._flight = np.zeros((*size, FLIGHT), dtype=np.float32)
        self._controls = np.zeros((*size, CONTROLS), dtype=np.float32)
        self._pressed_jump = np.zeros(size, dtype=bool)
        self._pad_timers = np.zeros((num_arenas, len(BIG_PADS)), dtype=np.float32)
        self._last_touch = np.full(num_arenas, -1)
        self._ticks = np.zeros(num_arenas, dtype=np.int64)
        self.state = self.read()

    @property
    def num_arenas(self) -> int:
        """How many arenas there are, N."""
        return len(self.arenas)

    @property
    def num_cars(self) -> int:
        """Cars per arena, C."""
        return len(self.team)

    def make_controls(self, row: Sequence[float]) -> Any:
        """Return the engine's form of one car's controls, from eight numbers."""
        jump, boost, handbrake = (value > 0 for value in row[5:])
        # By keyword: the binding takes boost before jump, unlike what its stub file says.
        return self.engine.CarControls(*row[:5], jump=jump, boost=boost, handbrake=handbrake)

    def step(
        self,
        controls: Sequence[Any],
        rows: np.ndarray,
        ticks: int,
        delay: int,
        random: Callable[[int], np.random.Generator],
    ) -> None:
        """Step every arena, and read it into `state`.

        Args:
            controls: of all cars, arena by arena, in the engine's form.
            rows: the same as numbers, ``[N, C, 8]``.
            ticks: physics ticks, 120 to a second.
            delay: for how many of them the controls of the step before still hold.
            random: the generator of an arena, for the places where demolished cars come back.
        """
        self._random = random
        for bumps, pickups in zip(self.bumps, self.pickups, strict=True):
            bumps.clear()
            pickups.clear()
        # Half a tick more than the step: timers count down in float32.
        timers = self._flight[:, :, RESPAWN_TIMER]
        due = (timers > 0) & (timers < (ticks + 0.5) / TICKS_PER_SECOND)
        self._due = np.logical_or.reduce(due, axis=1).tolist()
        if self._team_of_threads.threads == 1:
            self._run(0, self.num_arenas, controls, ticks, delay)
        else:
            bounds = np.linspace(
                0, self.num_arenas, min(self.num_arenas, 2 * self._team_of_threads.threads) + 1
            ).astype(int)
            self._team_of_threads.run(
                [
                    functools.partial(self._run, first, last, controls, ticks, delay)
                    for first, last in itertools.pairwise(bounds.tolist())
                ]
            )
        self._ticks += ticks
        # With a delay, the controls before may be the ones that made a car jump.
        self._pressed_jump = (self._controls[:, :, 5] != 0) | (rows[:, :, 5] != 0)
        self._controls[...] = rows
        self._pad_timers -= ticks / TICKS_PER_SECOND
        self.state = self.read()

    def _run(self, first: int, last: int, controls: Sequence[Any], ticks: int, delay: int) -> None:
        """Step some of the arenas."""
        cars = self.num_cars
        for index in range(first, last):
            step = self._step[index]
            if self._due[index]:
                step = self._careful_step(index)
            if delay:
                step(delay)
            own = controls[index * cars : (index + 1) * cars]
            for set_controls, control in zip(self._setters[index], own, strict=True):
                set_controls(control)
            step(ticks - delay)

    def _careful_step(self, index: int) -> Callable[[int], None]:
        """Return a step that goes tick by tick and says where demolished cars come back."""

        def step(ticks: int) -> None:
            waiting = [car for car in self.cars[index] if car.get_state().is_demoed]
            for _ in range(ticks):
                self._step[index](1)
                for car in [car for car in waiting if not car.get_state().is_demoed]:
                    car.respawn(int(self._random(index).integers(1, 2**31 - 1)))
                    waiting.remove(car)

        return step

    def read(self) -> ArenaState:
        """Read all arenas into new arrays."""
        cars, balls, pads, games = [], [], [], []
        for read in self._read:
            game, pad, ball, *rows = read()
            games.append(game)
            pads.append(pad)
            balls.append(ball)
            cars += rows
        count = self.num_arenas
        car_rows = np.concatenate(cars).reshape(count, self.num_cars, 2, -1)
        game_rows = np.concatenate(games).reshape(count, -1).astype(np.int64)
        pad_rows = np.concatenate(pads).reshape(count, 2, -1)
        self._note_touches(car_rows, game_rows)
        self._read_flight(car_rows)
        self._time_pads(pad_rows)
        return ArenaState(
            car_rows=car_rows,
            ball_rows=np.concatenate(balls).reshape(count, 2, -1),
            pads=pad_rows,
            pad_timers=self._pad_timers.copy(),
            flight=self._flight.copy(),
            controls=self._controls.copy(),
            team=self.team,
            score=game_rows[:, 2:],
            last_touch=self._last_touch.copy(),
            ticks=self._ticks.copy(),
        )

    def _note_touches(self, car_rows: np.ndarray, game_rows: np.ndarray) -> None:
        touched = car_rows[:, :, 0, 9].any(axis=1)
        if touched.any():
            latest = game_rows[:, 1] - self._first_id
            self._last_touch[touched] = latest[touched]

    def _read_flight(self, car_rows: np.ndarray) -> None:
        """Ask for what the rows lack, of those cars for which it can differ from zero.

        A question costs half a microsecond per car. All of these quantities are zero for a car
        that drives below supersonic speed, has landed and is not beginning to jump.
        """
        body = car_rows[:, :, 0]
        velocity = body[:, :, CAR_BODY + VELOCITY.start : CAR_BODY + VELOCITY.stop]
        fast = np.einsum("ncd,ncd->nc", velocity, velocity) >= _MAYBE_SUPERSONIC
        asked = (
            (body[:, :, CAR_ON_GROUND] == 0)
            | (body[:, :, CAR_DEMOLISHED] != 0)
            | fast
            | self._pressed_jump
            | self._flight.any(axis=2)
        )
        where = np.flatnonzero(asked).tolist()
        if not where:
            return
        numbers: list[float] = []
        for place in where:
            state = self._ask[place]()
            numbers += (
                state.has_jumped,
                state.is_jumping,
                state.has_flipped,
                state.is_flipping,
                state.has_double_jumped,
                state.air_time_since_jump,
                state.is_supersonic,
                state.demo_respawn_timer,
            )
        self._flight.reshape(-1, FLIGHT)[where] = np.array(numbers, np.float32).reshape(-1, FLIGHT)

    def _time_pads(self, pad_rows: np.ndarray) -> None:
        for index, happened in enumerate(self.pickups):
            if happened:
                now = self.arenas[index].tick_count
                for _, pad, tick in happened:
                    waited = (now - tick - 1) / TICKS_PER_SECOND
                    self._pad_timers[index, pad] = _PAD_SECONDS[pad] - waited
        self._pad_timers *= 1 - pad_rows[:, 0]

    def _build(self, index: int) -> None:
        """Make one arena, with the engine's usual order of cars."""
        engine = self.engine
        rejected = []
        for _ in range(_BUILDS):
            arena = engine.Arena(engine.GameMode.SOCCAR)
            rules = arena.get_mutator_config()
            rules.boost_used_per_second = BOOST_PER_SECOND
            arena.set_mutator_config(rules)
            # The engine gives no second impulse to a ball for a tick after the first, and counts
            # from tick 0: without these ticks a hit in the very first ones would be weaker.
            arena.step(2)
            cars = [arena.add_car(team) for team in self.team.tolist()]
            if self._has_usual_order(arena, cars):
                break
            # Kept for now, so that the next cars are at other addresses. Taking cars out of an
            # arena instead would change the order in which it looks for contacts.
            rejected.append((arena, cars))
        else:
            warnings.warn(_NO_ORDER, stacklevel=4)
        self.arenas.append(arena)
        self.cars.append(cars)
        arena.set_car_bump_callback(_note_bump, (self.bumps[index], cars[0].id))
        pads = {id(pad): place for place, pad in enumerate(arena.get_boost_pads())}
        arena.set_boost_pickup_callback(_note_pickup, (self.pickups[index], cars[0].id, pads))

    def _has_usual_order(self, arena: Any, cars: list[Any]) -> bool:
        """Return whether the engine goes through the cars from the last added to the first.

        When two cars reach a boost pad in the same tick it goes to the one that comes later in the
        engine's order. Neighbours are sent to pads in pairs.
        """
        engine = self.engine
        for start in (0, 1):
            pairs = [(place, place + 1) for place in range(start, len(cars) - 1, 2)]
            self._spread(arena, cars, height=1000.0, boost=0.0)
            for pad in arena.get_boost_pads():
                pad.set_state(engine.BoostPadState())
            for pair, (x, y) in zip(pairs, _PROBES, strict=False):
                for place, side in zip(pair, (-100.0, 100.0), strict=True):
                    state = engine.CarState()
                    state.pos, state.boost = engine.Vec(x, y + side, 17.0), 0.0
                    cars[place].set_state(state)
            arena.step(1)
            for first, _ in pairs:
                if cars[first].get_state().boost < BOOST_MAX:
                    return False
        return True

    def _spread(self, arena: Any, cars: list[Any], *, height: float, boost: float) -> None:
        """Place all cars at rest in a row, and the ball high above the field, all apart."""
        engine = self.engine
        level = engine.Angle(0.0, 0.0, 0.0).as_rot_mat()
        for place, car in enumerate(cars):
            state = engine.CarState()
            state.pos = engine.Vec(-2000.0 + 800.0 * place, 1500.0, height)
            state.rot_mat, state.is_on_ground, state.boost = level, height == CAR_REST_Z, boost
            car.set_state(state)
        ball = engine.BallState()
        ball.pos = engine.Vec(0.0, -2000.0, 1000.0)
        arena.ball.set_state(ball)

    def begin(self, index: int) -> None:
        """Forget what one arena went through, before its state is set.

        Afterwards the arena behaves as a new one, bit for bit.
        """
        arena, cars = self.arenas[index], self.cars[index]
        nothing = self.engine.CarControls()
        for height, held in (
            (CAR_REST_Z, nothing),
            (1000.0, self.engine.CarControls(handbrake=True)),
        ):
            self._spread(arena, cars, height=height, boost=BOOST_MAX)
            for car in cars:
                car.set_controls(held)
            arena.step(1)
        for car in cars:
            car.set_controls(nothing)
        self.forget_events(index)
        self._flight[index] = 0
        # Any of them could be in the air: ask once.
        self._flight[index, :, RESPAWN_TIMER] = 1
        self._controls[index] = 0
        self._pad_timers[index] = 0
        self._last_touch[index] = -1
        self._ticks[index] = 0

    def forget_events(self, index: int) -> None:
        """Drop the touches, bumps and pickups of one arena that were not read yet."""
        self._read[index]()  # touches are reported since the last reading
        self.bumps[index].clear()
        self.pickups[index].clear()

    def set_pad_timers(self, index: int, seconds: np.ndarray) -> None:
        """Note after how many seconds the boost pads of one arena are there, ``[34]``."""
        self._pad_timers[index] = seconds

    def memory(self) -> dict[str, np.ndarray]:
        """Return what is remembered beside the engine's own state."""
        return {
            "controls": self._controls.copy(),
            "last_touch": self._last_touch.copy(),
            "ticks": self._ticks.copy(),
        }

    def set_memory(self, tree: Mapping[str, np.ndarray]) -> None:
        """Go on from `memory`, after the state of every arena was set."""
        self._controls[...] = tree["controls"]
        self._last_touch[...] = tree["last_touch"]
        self._ticks[...] = tree["ticks"]

    def close(self) -> None:
        """End the threads and drop the arenas."""
        self._team_of_threads.close()


def _note_bump(arena: Any, bumper: Any, victim: Any, is_demo: bool, data: Any) -> None:
    bumps, first = data
    bumps.append((bumper.id - first, victim.id - first, bool(is_demo)))


def _note_pickup(arena: Any, car: Any, boost_pad: Any, data: Any) -> None:
    pickups, first, places = data
    pickups.append((car.id - first, places[id(boost_pad)], arena.tick_count))
