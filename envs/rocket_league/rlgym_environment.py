"""RLGym matches as one vector environment in which every car is a column."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, iterate

from envs.actions import check_actions
from envs.errors import VectorizationError
from envs.rocket_league.info import INFO_KEYS
from envs.rocket_league.opponent import IDLE, Opponent, Opposition
from envs.rocket_league.rlgym_components import ComponentError, build_match
from envs.rocket_league.rlgym_match import (
    Match,
    read_action_space,
    read_observation_space,
    stacked,
)
from envs.rocket_league.rlgym_random import GlobalStream
from envs.rocket_league.rlgym_state import StateColumns
from envs.rocket_league.rlgym_terms import RewardTerms, described


@final
class RLGymVectorEnv(VectorEnv[Any, Any, Any]):
    """RLGym matches side by side; every learning car is a column.

    Column ``k`` is car ``k % C`` of match ``k // C``, where C is the number of learning cars per
    match, in the order in which the state mutator adds them (RLGym's: blue, then orange). Arrays
    that are returned are new ones, also where an observation builder writes into one buffer.

    The episode of every car ends with that of the match (``AutoresetMode.SAME_STEP``):
    ``terminated`` and ``truncated`` are what the two conditions say of each car, and a car that is
    not done itself when another one is counts as truncated: its future was cut off.

    Seeds reach what draws from Python's and numpy's global generators, as RLGym's own components
    do. Each match has its own numbers for its resets; where components of somebody else are in
    use, the steps of all matches draw from one further stream. The generators themselves are left
    as they were found. What seeds cannot reach: a component with a generator of its own, and where
    RocketSim respawns a demolished car.

    Args:
        build: a function that returns a new ``rlgym.api.RLGym``, called once per match; or one
            RLGym object, for a single match.
        num_envs: columns, B: a multiple of C, by default C; or 1: the first car learns and the
            others of its team stand still.
        opponent: None: all cars learn (with one column: the others stand still). Otherwise only
            the first car's team learns, and the other team follows this function of its
            observations ``[N, ...]`` or stands still (``"idle"``).
        max_episode_steps: cut an episode after so many steps (truncation); None leaves that to
            the truncation condition.
        observation_space: of one column, where the builder's description does not say it.
        action_space: of one column, where the parser's description does not say it.
        autoreset: begin the next episode in the step that ended one; without it the caller resets.
        reward_terms: further reward functions by name, whose values are only reported, as
            ``rlgym_<name>`` in ``info``.

    Attributes:
        matches: the matches; ``matches[0].game`` is the first RLGym object.
        info_keys: every name in ``info``, with its meaning, unit and shape.

    Raises:
        VectorizationError: that number of columns is impossible.
        ComponentError: a space in an unknown description.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        build: Callable[[], Any] | Any,
        num_envs: int | None = None,
        *,
        opponent: Opponent | str | None = None,
        max_episode_steps: int | None = None,
        observation_space: spaces.Space | None = None,
        action_space: spaces.Space | None = None,
        autoreset: bool = True,
        reward_terms: Mapping[str, Any] | None = None,
    ) -> None:
        self.matches: list[Match] = []
        if not (opponent is None or opponent == IDLE or callable(opponent)):
            raise ComponentError(
                f"opponent must be {IDLE!r} or a function of observations, got {opponent!r}."
            )
        self.matches = _matches(build, num_envs, opponent)
        self.info_keys = {**INFO_KEYS, **described(reward_terms)}
        for match in self.matches if reward_terms else ():
            match.report(RewardTerms(match.game.reward_fn, reward_terms or {}))
        first = self.matches[0]
        self._cars = first.learners
        self.num_envs = self._cars * len(self.matches)
        self._limit = max_episode_steps
        self._autoreset = autoreset
        self.single_observation_space = observation_space or read_observation_space(first)
        self.single_action_space = action_space or read_action_space(first)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._others = len(first.agents) - self._cars
        rows = self._others * len(self.matches)
        self._opposition = (
            None
            if opponent is None or isinstance(opponent, str)
            else Opposition(opponent, rows, self.single_action_space)
        )
        self._elapsed = np.zeros(len(self.matches), dtype=np.int64)
        self._columns = StateColumns(first.teams, self._cars, len(self.matches))
        self._steps_draw = any(match.draws_in_steps for match in self.matches)
        self._step_stream: GlobalStream | None = None

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in every match.

        Args:
            seed: of column 0, column ``k`` gets ``seed + k``; or one per column. A match takes
                that of its first column. None goes on with the random numbers.
            options: none are known.

        Returns:
            Observations ``[B, ...]`` and ``infos``.
        """
        super().reset(seed=seed if isinstance(seed, int) else None)
        for match, own in zip(self.matches, self._seeds(seed), strict=True):
            if own is not None or not match.is_seeded:
                number = int(self.np_random.integers(2**63)) if own is None else own
                match.seed(number)
                if match is self.matches[0]:
                    self._step_stream = GlobalStream(number + 1) if self._steps_draw else None
                    if self._opposition is not None:
                        self._opposition.seed(number + 2)
        for index in range(len(self.matches)):
            self._begin(index)
        return self._observations(), {**self._columns.first(), **self._term_columns()}

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step every match once.

        Args:
            actions: ``[B, ...]``.

        Returns:
            Observations ``[B, ...]``, float64 rewards, terminated, truncated (each ``[B]``), and
            ``infos`` of the transition: `info_keys`, and ``final_obs`` where an episode ended.

        Raises:
            envs.errors.ActionError: actions that are not of the action space.
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if not self.matches[0].is_seeded:
            raise gymnasium.error.ResetNeeded("Cannot call step() before calling reset().")
        given = self._given(check_actions_of(actions, self.single_action_space, self.num_envs))
        if self._step_stream is None:
            self._step_all(given)
        else:
            with self._step_stream.standing_in():
                self._step_all(given)
        self._elapsed += 1
        rewards = np.array([r for m in self.matches for r in m.rewards[: self._cars]], np.float64)
        terminated = np.array([e for m in self.matches for e in m.terminated[: self._cars]], bool)
        truncated = np.array([c for m in self.matches for c in m.truncated[: self._cars]], bool)
        over = np.array([any(m.terminated) or any(m.truncated) for m in self.matches])
        if self._limit is not None:
            late = self._elapsed >= self._limit
            truncated |= np.repeat(late, self._cars)
            over |= late
        infos: dict[str, Any] = self._columns.update([m.game.state for m in self.matches])
        infos.update(self._term_columns())
        observations = self._observations()
        if over.any() and self._autoreset:
            infos["final_obs"], infos["_final_obs"] = observations, np.repeat(over, self._cars)
            for index in np.flatnonzero(over).tolist():
                self._begin(index)
            observations = self._observations()
        return observations, rewards, terminated, truncated, infos

    def close_extras(self, **kwargs: Any) -> None:
        """Close RLGym."""
        for match in self.matches:
            match.game.close()

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        """Return one seed per match."""
        if seed is None:
            return [None] * len(self.matches)
        if isinstance(seed, int):
            return [seed + index * self._cars for index in range(len(self.matches))]
        if len(seed) != self.num_envs:
            raise ValueError(f"Expected {self.num_envs} seeds, one per column, got {len(seed)}.")
        return list(seed)[:: self._cars]

    def _begin(self, index: int) -> None:
        match = self.matches[index]
        match.reset()
        self._columns.begin(index, match.game.state)
        self._elapsed[index] = 0
        if self._opposition is not None:
            self._opposition.begin(np.arange(self._opposition.rows) // self._others == index)

    def _term_columns(self) -> dict[str, np.ndarray]:
        """Return what the reward terms paid in the last step, float64 ``[B]`` by name."""
        rows = [match.term_rows() for match in self.matches]
        return {
            name: np.array([value for row in rows for value in row[name][: self._cars]])
            for name in rows[0]
        }

    def _step_all(self, given: list[list[Any]]) -> None:
        for match, actions in zip(self.matches, given, strict=True):
            match.step(actions)

    def _given(self, actions: list[Any]) -> list[list[Any]]:
        """Return the actions of each match: of its learning cars, then those of the opponent."""
        cars = self._cars
        given = [actions[i * cars : (i + 1) * cars] for i in range(len(self.matches))]
        if self._opposition is None:
            return given
        rest = [seen for match in self.matches for seen in match.observations[cars:]]
        replies = list(self._opposition.act(stacked(self.single_observation_space, rest)))
        count = self._others
        return [own + replies[i * count : (i + 1) * count] for i, own in enumerate(given)]

    def _observations(self) -> Any:
        seen = [one for match in self.matches for one in match.observations[: self._cars]]
        return stacked(self.single_observation_space, seen)


@final
class RLGymEnv(gymnasium.Env[Any, Any]):
    """One car of an RLGym match; the others stand still or follow an opponent.

    With the same seed it plays like a single column of `RLGymVectorEnv`. Time limits beyond the
    truncation condition are left to gymnasium's ``TimeLimit``.

    Args:
        build: a function that returns an ``rlgym.api.RLGym``, or such an object.
        opponent: a function of the other cars' observations ``[N, ...]``, or ``"idle"``.
        observation_space: where the builder's description does not say it.
        action_space: where the parser's description does not say it.
        reward_terms: see `RLGymVectorEnv`.

    Attributes:
        info_keys: every name in ``info``, with its meaning, unit and shape.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        build: Callable[[], Any] | Any,
        *,
        opponent: Opponent | str = IDLE,
        observation_space: spaces.Space | None = None,
        action_space: spaces.Space | None = None,
        reward_terms: Mapping[str, Any] | None = None,
    ) -> None:
        self._columns = RLGymVectorEnv(
            build, 1, opponent=opponent, observation_space=observation_space,
            action_space=action_space, autoreset=False, reward_terms=reward_terms,
        )  # fmt: skip
        self.info_keys = self._columns.info_keys
        self.observation_space = self._columns.single_observation_space
        self.action_space = self._columns.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; ``seed`` as in `RLGymVectorEnv`."""
        super().reset(seed=seed)
        observations, infos = self._columns.reset(seed=seed)
        return _first(observations), _first(infos)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step once.

        Raises:
            envs.errors.ActionError: an action that is not of the action space.
            gymnasium.error.ResetNeeded: before the first reset.
        """
        observations, rewards, terminated, truncated, infos = self._columns.step([action])
        return (
            _first(observations), float(rewards[0]), bool(terminated[0]), bool(truncated[0]),
            _first(infos),
        )  # fmt: skip

    def close(self) -> None:
        """Close RLGym."""
        self._columns.close()


_FRONT = (
    "opponent", "max_episode_steps", "observation_space", "action_space", "reward_terms",
)  # fmt: skip


def make_vector(num_envs: int, **options: Any) -> RLGymVectorEnv:
    """Make ``RLGym-v0`` as a vector environment: matches built from components.

    Args:
        num_envs: columns.
        **options: those of `envs.rocket_league.rlgym_components.build_match` and the keywords of
            `RLGymVectorEnv`.
    """
    front = {key: options.pop(key) for key in _FRONT if key in options}
    return RLGymVectorEnv(lambda: build_match(**options), num_envs, **front)


def make_single(**options: Any) -> RLGymEnv:
    """Make ``RLGym-v0`` for one car; the arguments are those of `make_vector`."""
    front = {key: options.pop(key) for key in _FRONT if key in options}
    return RLGymEnv(lambda: build_match(**options), **front)


# Lists of valid options are read from signatures.
make_single.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        *inspect.signature(build_match).parameters.values(),
        *(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in _FRONT),
    ]
)


def from_rlgym(
    build: Callable[[], Any] | Any, num_envs: int | None = None, **options: Any
) -> RLGymVectorEnv:
    """Make a vector environment from RLGym objects; the arguments are those of `RLGymVectorEnv`."""
    return RLGymVectorEnv(build, num_envs, **options)


def check_actions_of(actions: Any, space: spaces.Space, count: int) -> list[Any]:
    """Return the checked actions as a list, one per car."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return list(iterate(batch_space(space, count), actions))
    return list(check_actions(actions, space, count))


def _matches(
    build: Callable[[], Any] | Any, num_envs: int | None, opponent: Opponent | str | None
) -> list[Match]:
    """Build as many matches as the columns need; the first one says how many cars there are."""
    is_object = hasattr(build, "transition_engine")
    first = Match(build if is_object else build())
    first.prepare()
    if num_envs == 1:
        first.learners = 1
    elif opponent is not None:
        first.learners = first.team_of_first
    columns = first.learners if num_envs is None else num_envs
    if columns < 1 or columns % first.learners:
        below = columns // first.learners * first.learners
        raise VectorizationError(
            f"{columns} columns cannot be filled: a match has {first.learners} learning cars, so "
            f"take {below or first.learners} or {below + first.learners} (or 1 column)."
        )
    if is_object and columns > first.learners:
        raise VectorizationError(
            f"One RLGym object is one match with {first.learners} columns, not {columns}. Give a "
            "function that makes one: from_rlgym(lambda: RLGym(...), num_envs=...)."
        )
    matches = [first, *(Match(build()) for _ in range(columns // first.learners - 1))]
    if len({id(match.game) for match in matches}) < len(matches):
        raise VectorizationError("The function returned the same RLGym object twice.")
    for match in matches[1:]:
        match.prepare()
        if len(match.agents) != len(first.agents):
            raise VectorizationError(
                f"All matches must have equally many cars, got {len(first.agents)} and "
                f"{len(match.agents)}."
            )
        match.learners = first.learners
    return matches


def _first(batch: Any) -> Any:
    """Return the only column: of arrays their first row, numbers as those of Python."""
    if isinstance(batch, Mapping):
        return {name: _first(values) for name, values in batch.items()}
    if isinstance(batch, tuple):
        return tuple(_first(values) for values in batch)
    return batch[0].item() if np.ndim(batch) == 1 else np.array(batch[0])
