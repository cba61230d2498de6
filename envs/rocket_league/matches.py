"""N matches side by side: what both interfaces of the environment stand on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, final

import gymnasium
import numpy as np

from envs.errors import SnapshotError
from envs.rocket_league.actions import ACTION_TABLE, IDLE, action_space, to_controls
from envs.rocket_league.arena_state import CONTROLS
from envs.rocket_league.arenas import Arenas
from envs.rocket_league.constants import TICKS_PER_SECOND
from envs.rocket_league.drawing import draw
from envs.rocket_league.entities import EntityObservationBuilder
from envs.rocket_league.events import CONCEDED, EVENTS, TEAM_GOAL, EventTracker
from envs.rocket_league.info import InfoBuilder
from envs.rocket_league.observation import ObservationBuilder
from envs.rocket_league.opponent import Opponent, Opposition
from envs.rocket_league.saving import load, save, set_start
from envs.rocket_league.starts import Mutator, StartSampler

OPPONENTS = ("idle", "random")
OBSERVATIONS = ("vector", "entities")
MAX_TICK_SKIP = TICKS_PER_SECOND


class Outcome(NamedTuple):
    """What a step brought, per column, before any reset.

    Attributes:
        reward: float64 ``[B]``.
        terminated: bool ``[B]``: a goal.
        truncated: bool ``[B]``: nobody touched the ball for too long.
        info: see `envs.rocket_league.info.INFO_KEYS`.
    """

    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    info: dict[str, np.ndarray]


@final
class Matches:
    """N matches in which some cars are columns and the others are driven by an opponent.

    Columns are grouped by match: column ``k`` is learner ``k % K`` of match ``k // K``.

    Args:
        num_arenas: matches, N.
        blue: cars of blue, 1 to 3.
        orange: cars of orange, 0 to 3.
        learners: places of the cars that are columns, ``[K]``; cars are numbered blue first.
        opponent: drives all other cars: ``"idle"``, ``"random"``, or a function of observations.
        actions: ``"discrete"`` or ``"continuous"``, see `envs.rocket_league.actions`.
        tick_skip: physics ticks per step, 120 to a second.
        action_delay: for how many of them the controls of the step before still hold; 1 is what
            bots in the real game have.
        no_touch_seconds: truncate when nobody touched the ball for so long; None: never.
        start: in which state episodes begin, see `envs.rocket_league.starts.StartSampler`.
        observation: ``"vector"`` (`envs.rocket_league.observation`) or ``"entities"``
            (`envs.rocket_league.entities`).
        max_cars: rows for cars in entity observations, so that policies of one team size fit
            another; None: as many as play.
        previous_actions: how many of the last controls entity observations hold.
        threads: how many threads step the matches, including the caller.

    Raises:
        ValueError: an impossible option.
    """

    def __init__(
        self,
        num_arenas: int,
        blue: int,
        orange: int,
        learners: np.ndarray,
        *,
        opponent: str | Opponent = "idle",
        actions: str = "discrete",
        tick_skip: int = 8,
        action_delay: int = 1,
        no_touch_seconds: float | None = 30.0,
        start: str | Mapping[str, float] | Mutator = "kickoff",
        observation: str = "vector",
        max_cars: int | None = None,
        previous_actions: int = 5,
        threads: int = 1,
    ) -> None:
        check_options(
            blue=blue,
            orange=orange,
            opponent=opponent,
            tick_skip=tick_skip,
            action_delay=action_delay,
            no_touch_seconds=no_touch_seconds,
        )
        self.action_space: gymnasium.Space = action_space(actions)
        self._kind = actions
        self._ticks, self._delay = tick_skip, action_delay
        self._patience = np.inf if no_touch_seconds is None else no_touch_seconds * TICKS_PER_SECOND
        self._start = StartSampler(start, blue, orange)
        self.arenas = Arenas(num_arenas, blue, orange, threads=threads)
        team = self.arenas.team
        self._learners = learners
        self._others = np.setdiff1d(np.arange(len(team)), learners)
        self._opponent = opponent
        seeing = {"max_cars": max_cars, "previous_actions": previous_actions}
        self._observe = _observer(observation, team, learners, **seeing)
        self._observe_others: ObservationBuilder | EntityObservationBuilder | None = None
        self._recent = np.zeros((num_arenas, len(team), previous_actions, CONTROLS), np.float32)
        self._opposition: Opposition | None = None
        if callable(opponent):
            self._observe_others = _observer(observation, team, self._others, **seeing)
            rows = num_arenas * len(self._others)
            self._opposition = Opposition(opponent, rows, self.action_space)
        self._inform = InfoBuilder(team, learners)
        self._events = EventTracker(num_arenas, team)
        self._last_contact = np.zeros(num_arenas, dtype=np.int64)
        self.randoms: list[np.random.Generator | None] = [None] * num_arenas
        self._table = [self.arenas.make_controls(row) for row in ACTION_TABLE.tolist()]

    @property
    def observation_space(self) -> gymnasium.Space:
        """Of one column."""
        return self._observe.space

    @property
    def num_arenas(self) -> int:
        """How many matches there are, N."""
        return self.arenas.num_arenas

    @property
    def num_columns(self) -> int:
        """How many columns there are, B = N K."""
        return self.num_arenas * len(self._learners)

    def seed(self, index: int, seed: int) -> None:
        """Start the random numbers of one match anew; the first one's seed is the opponent's."""
        self.randoms[index] = gymnasium.utils.seeding.np_random(seed)[0]
        if index == 0 and self._opposition is not None:
            self._opposition.seed(seed)

    def reset(self, indices: np.ndarray) -> None:
        """Begin an episode in some of the matches."""
        for index in indices.tolist():
            set_start(self.arenas, index, self._start(self._random(index)))
            self._events.begin(index)
            self._last_contact[index] = 0
            self._recent[index] = 0
            if self._opposition is not None:
                self._opposition.begin(self._rows_of(index))
        self.arenas.state = self.arenas.read()

    def _rows_of(self, index: int) -> np.ndarray:
        """Return which of the opponent's rows are in a match, bool."""
        return np.arange(self.num_arenas * len(self._others)) // len(self._others) == index

    def observe(self) -> Any:
        """Return the observations of all columns, ``[B, ...]``, in new arrays."""
        return self._seen_by(self._observe)

    def _seen_by(self, observe: ObservationBuilder | EntityObservationBuilder) -> Any:
        """Return observations ``[N K, ...]``: one array, or a dict of arrays."""
        if isinstance(observe, ObservationBuilder):
            return _joined(observe(self.arenas.state))
        seen = observe(self.arenas.state, self._recent)
        return {name: _joined(values) for name, values in seen.items()}

    def reset_info(self) -> dict[str, np.ndarray]:
        """Return ``info`` of the present state, in which nothing has happened yet."""
        counts = np.zeros((self.num_arenas, self.arenas.num_cars, len(EVENTS)), dtype=np.float32)
        return self._inform(self.arenas.state, counts)

    def step(self, actions: np.ndarray) -> Outcome:
        """Step all matches once.

        Args:
            actions: ``[B, ...]``, checked.
        """
        if self.randoms[0] is None:
            raise gymnasium.error.ResetNeeded("Cannot call step() before calling reset().")
        rows, controls = self._controls(actions)
        before = self.arenas.state
        self.arenas.step(controls, rows, self._ticks, self._delay, self._random)
        after = self.arenas.state
        self._recent[:, :, 1:] = self._recent[:, :, :-1].copy()
        self._recent[:, :, 0] = after.controls
        counts = self._events.update(before, after, self.arenas.bumps, self.arenas.pickups)
        goal = (after.score != before.score).any(axis=1)
        self._last_contact += self._ticks
        self._last_contact[after.touched.any(axis=1)] = 0
        bored = (self._last_contact >= self._patience) & ~goal
        own = np.take(counts, self._learners, axis=1)
        columns = len(self._learners)
        reward = (own[:, :, TEAM_GOAL] - own[:, :, CONCEDED]).astype(np.float64)
        if self._opposition is not None:
            for index in np.flatnonzero(goal).tolist():
                self._opposition.result(self._rows_of(index), int(np.sign(reward[index, 0])))
        return Outcome(
            reward.reshape(-1),
            np.repeat(goal, columns),
            np.repeat(bored, columns),
            self._inform(after, counts),
        )

    def _controls(self, actions: np.ndarray) -> tuple[np.ndarray, list[Any]]:
        """Return the controls of all cars as numbers ``[N, C, 8]`` and in the engine's form."""
        shape = (self.num_arenas, self.arenas.num_cars, *(self.action_space.shape or ()))
        if len(self._others):
            chosen = np.empty(shape, dtype=actions.dtype)
            chosen[:, self._learners] = actions.reshape(self.num_arenas, -1, *shape[2:])
            chosen[:, self._others] = self._other_actions()
        else:
            chosen = actions.reshape(shape)
        rows = to_controls(chosen, self._kind)
        if self._kind == "discrete":
            return rows, [self._table[action] for action in chosen.ravel().tolist()]
        make = self.arenas.make_controls
        return rows, [make(row) for row in rows.reshape(-1, rows.shape[-1]).tolist()]

    def _other_actions(self) -> np.ndarray:
        shape = (len(self._others), *(self.action_space.shape or ()))
        if self._opposition is not None and self._observe_others is not None:
            chosen = self._opposition.act(self._seen_by(self._observe_others))
            return chosen.reshape(self.num_arenas, *shape)
        if self._opponent == "random":
            randoms = [self._random(index) for index in range(self.num_arenas)]
            if self._kind == "discrete":
                return np.array(
                    [random.integers(len(ACTION_TABLE), size=shape) for random in randoms]
                )
            return np.array([random.uniform(-1, 1, shape) for random in randoms])
        return np.full(shape, IDLE if self._kind == "discrete" else 0)

    def _random(self, index: int) -> np.random.Generator:
        found = self.randoms[index]
        if found is None:
            raise gymnasium.error.ResetNeeded("Cannot call step() before calling reset().")
        return found

    def snapshot(self) -> dict[str, Any]:
        """Return the state of all matches as plain numbers and arrays.

        The matches themselves are put into the state that is returned (see
        `envs.rocket_league.saving`: a rounding in the last digit, and wheels and contacts start
        anew), so that they and every match that is restored go on the same way bit for bit.
        """
        tree = {
            "arenas": [save(self.arenas, index) for index in range(self.num_arenas)],
            "tracker": self._events.state(),
            "memory": self.arenas.memory(),
            "last_contact": self._last_contact.copy(),
            "recent": self._recent.copy(),
            "opponent": None if self._opposition is None else self._opposition.snapshot(),
            "random": [
                None if random is None else dict(random.bit_generator.state)
                for random in self.randoms
            ],
        }
        self.restore(tree)
        return tree

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Go on from a snapshot.

        Raises:
            SnapshotError: it is of another number of matches or cars.
        """
        saved = np.shape(tree["tracker"]["touch_tick"])
        present = (self.num_arenas, self.arenas.num_cars)
        if saved != present:
            raise SnapshotError(
                f"The snapshot is of {saved} (matches, cars), the environment has {present}."
            )
        for index, arena in enumerate(tree["arenas"]):
            load(self.arenas, index, arena)
        self.arenas.set_memory(tree["memory"])
        self._events.set_state(tree["tracker"])
        self._last_contact[...] = tree["last_contact"]
        self._recent[...] = tree["recent"]
        if self._opposition is not None and tree["opponent"] is not None:
            self._opposition.restore(tree["opponent"])
        for index, state in enumerate(tree["random"]):
            if state is None:
                self.randoms[index] = None
                continue
            bits = np.random.PCG64()
            bits.state = state
            self.randoms[index] = np.random.Generator(bits)
        self.arenas.state = self.arenas.read()

    def render(self) -> np.ndarray:
        """Return a picture of the first match, uint8 ``[H, W, 3]``."""
        return draw(self.arenas.state, 0)

    def close(self) -> None:
        """End the threads."""
        self.arenas.close()


def _observer(
    kind: str, team: np.ndarray, cars: np.ndarray, **options: Any
) -> ObservationBuilder | EntityObservationBuilder:
    if kind not in OBSERVATIONS:
        raise ValueError(f"observation must be 'vector' or 'entities', got {kind!r}.")
    if kind == "vector":
        return ObservationBuilder(team, cars)
    return EntityObservationBuilder(team, cars, **options)


def _joined(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, *values.shape[2:])


def check_options(
    *,
    blue: int,
    orange: int,
    opponent: str | Opponent | None,
    tick_skip: int,
    action_delay: int,
    no_touch_seconds: float | None,
) -> None:
    """Raise where an option is impossible.

    Raises:
        ValueError: the message names the option, what it may be and what came.
    """
    if not 1 <= blue <= 3 or not 0 <= orange <= 3:
        raise ValueError(f"Expected 1 to 3 blue and 0 to 3 orange cars, got {blue} and {orange}.")
    if isinstance(opponent, str) and opponent not in OPPONENTS:
        raise ValueError(
            f"opponent must be 'idle', 'random' or a function of observations, got {opponent!r}."
        )
    if not 1 <= tick_skip <= MAX_TICK_SKIP:
        raise ValueError(f"tick_skip must be 1 to {MAX_TICK_SKIP}, got {tick_skip}.")
    if not 0 <= action_delay <= tick_skip:
        raise ValueError(f"action_delay must be 0 to tick_skip ({tick_skip}), got {action_delay}.")
    if no_touch_seconds is not None and not no_touch_seconds > 0:
        raise ValueError(f"no_touch_seconds must be above 0 or None, got {no_touch_seconds}.")
