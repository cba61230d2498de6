"""Rocket League matches side by side; every car is a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, final

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs.actions import check_actions
from envs.errors import SnapshotError, VectorizationError
from envs.rocket_league.info import INFO_KEYS
from envs.rocket_league.matches import Matches, Opponent, check_options
from envs.rocket_league.starts import Mutator
from envs.threads import available_cpus

_NO_LIMIT = np.iinfo(np.int64).max


@final
class RocketLeagueVectorEnv(VectorEnv[Any, np.ndarray, np.ndarray]):
    """Many matches, stepped together; by default every car learns.

    Columns are grouped by match: its blue cars, then its orange ones. Each sees the field from its
    own side, so one policy can drive them all (self-play with shared weights). With an ``opponent``
    only the blue cars are columns.

    The reward of a column is 1 when its team scores, -1 when it concedes, else 0: the two teams'
    rewards sum to zero. All columns of a match end together: terminated at a goal, truncated after
    ``no_touch_seconds`` without a touch and after ``max_episode_steps``.

    Args:
        num_envs: columns, B; a multiple of the columns per match.
        blue: cars of blue per match, 1 to 3.
        orange: cars of orange per match, 0 to 3.
        opponent: None: all cars are columns. Otherwise what drives the orange cars: ``"idle"``,
            ``"random"``, or a function of their observations ``[M, D]``, called once per step for
            all matches, that returns actions ``[M, ...]``.
        max_episode_steps: truncate after so many steps; None: never.
        actions: ``"discrete"`` (90 combinations) or ``"continuous"`` (8 numbers).
        tick_skip: physics ticks per step, 120 to a second.
        action_delay: for how many of them the controls of the step before still hold.
        no_touch_seconds: truncate when no car touched the ball for so long; None: never.
        start: ``"kickoff"``, ``"random"``, a mapping of these to weights, or a function
            ``(start, random) -> None`` that changes a kick-off in place. A weight may also be
            that of a file of recorded states, see `envs.rocket_league.recorded_starts`.
        observation: ``"vector"``, or ``"entities"``: a dict of the own car, the ball and all cars
            as rows, and which rows are padding, see `envs.rocket_league.entities`.
        max_cars: rows for cars among the entities; None: as many as play.
        previous_actions: how many of the last controls entity observations hold.
        threads: how many threads step the matches, including the caller; None: one per processor,
            and at least four matches for each. The engine releases Python's lock while it steps;
            results do not depend on the number.
        render_mode: ``"rgb_array"`` (a picture of the first match) or None.

    Attributes:
        matches: the engine and everything computed from it.
        opponent: as it was given.

    Raises:
        VectorizationError: ``num_envs`` is not a multiple of the columns per match.
        ValueError: an impossible option.
    """

    metadata = {  # noqa: RUF012
        "autoreset_mode": AutoresetMode.SAME_STEP,
        "render_modes": ["rgb_array"],
        "render_fps": 15,
    }
    info_keys: ClassVar[Mapping[str, str]] = INFO_KEYS

    def __init__(
        self,
        num_envs: int,
        *,
        blue: int = 1,
        orange: int = 1,
        opponent: str | Opponent | None = None,
        max_episode_steps: int | None = None,
        actions: str = "discrete",
        tick_skip: int = 8,
        action_delay: int = 1,
        no_touch_seconds: float | None = 30.0,
        start: str | Mapping[str, float] | Mutator = "kickoff",
        observation: str = "vector",
        max_cars: int | None = None,
        previous_actions: int = 5,
        threads: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        check_options(
            blue=blue,
            orange=orange,
            opponent=opponent,
            tick_skip=tick_skip,
            action_delay=action_delay,
            no_touch_seconds=no_touch_seconds,
        )
        per_match = blue + orange if opponent is None else blue
        _check_columns(num_envs, per_match)
        self.matches = Matches(
            num_envs // per_match,
            blue,
            orange,
            np.arange(per_match),
            opponent="idle" if opponent is None else opponent,
            actions=actions,
            tick_skip=tick_skip,
            action_delay=action_delay,
            no_touch_seconds=no_touch_seconds,
            start=start,
            observation=observation,
            max_cars=max_cars,
            previous_actions=previous_actions,
            threads=_threads(num_envs // per_match) if threads is None else threads,
        )
        self.num_envs = num_envs
        self.single_observation_space = self.matches.observation_space
        self.single_action_space = self.matches.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.render_mode = render_mode
        self.opponent = opponent
        self._per_match = per_match
        self._limit = _NO_LIMIT if max_episode_steps is None else max_episode_steps
        self._elapsed = np.zeros(num_envs, dtype=np.int64)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in every match.

        Args:
            seed: of column 0, column ``k`` gets ``seed + k``; or one per column. A match takes
                that of its first column. None goes on with the random numbers, or draws seeds from
                the operating system the first time.
            options: none are known.
        """
        super().reset(seed=seed if isinstance(seed, int) else None)
        if isinstance(seed, int):
            seeds: list[int | None] = [seed + column for column in range(self.num_envs)]
        else:
            seeds = [None] * self.num_envs if seed is None else list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"Expected {self.num_envs} seeds, one per column, got {len(seeds)}.")
        for index, own in enumerate(seeds[:: self._per_match]):
            if own is not None:
                self.matches.seed(index, own)
            elif self.matches.randoms[index] is None:
                self.matches.seed(index, int(self.np_random.integers(2**63)))
        self.matches.reset(np.arange(self.matches.num_arenas))
        self._elapsed[:] = 0
        return self.matches.observe(), self.matches.reset_info()

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step every match once.

        Args:
            actions: ``[B, ...]``.

        Returns:
            Observations ``[B, ...]``, float64 rewards, terminated, truncated (each ``[B]``;
            both can be true at a time limit), and ``infos`` of the transition (`info_keys`, and
            ``final_obs`` where an episode ended).

        Raises:
            envs.errors.ActionError: actions that are not of the action space.
            gymnasium.error.ResetNeeded: before the first reset.
        """
        actions = check_actions(actions, self.single_action_space, self.num_envs)
        outcome = self.matches.step(actions)
        self._elapsed += 1
        truncated = outcome.truncated | (self._elapsed >= self._limit)
        observation = self.matches.observe()
        infos: dict[str, Any] = outcome.info
        done = outcome.terminated | truncated
        if done.any():
            infos["final_obs"], infos["_final_obs"] = observation, done
            self._elapsed[done] = 0
            self.matches.reset(np.flatnonzero(done[:: self._per_match]))
            observation = self.matches.observe()
        return observation, outcome.reward, outcome.terminated, truncated, infos

    def render(self) -> Any:
        """Return a picture of the first match, uint8 ``[H, W, 3]``, or None."""
        return None if self.render_mode is None else self.matches.render()

    def snapshot(self) -> dict[str, Any]:
        """Return the state of all matches; see `envs.rocket_league.matches.Matches.snapshot`."""
        return {"matches": self.matches.snapshot(), "elapsed": self._elapsed.copy()}

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Go on from a snapshot, bit for bit.

        Raises:
            SnapshotError: it is of another number of columns or cars.
        """
        if np.shape(tree["elapsed"]) != self._elapsed.shape:
            raise SnapshotError(
                f"The snapshot is of {len(tree['elapsed'])} columns, there are {self.num_envs}."
            )
        self.matches.restore(tree["matches"])
        self._elapsed[...] = tree["elapsed"]

    def close_extras(self, **kwargs: Any) -> None:
        """End the threads."""
        if hasattr(self, "matches"):  # not where an option was refused
            self.matches.close()


def _threads(matches: int) -> int:
    return max(1, min(available_cpus(), matches // 4))


def _check_columns(num_envs: int, per_match: int) -> None:
    if num_envs >= 1 and num_envs % per_match == 0:
        return
    below = num_envs // per_match * per_match
    nearest = [str(count) for count in (below, below + per_match) if count > 0]
    raise VectorizationError(
        f"Every match has {per_match} columns, one per car that learns, so the number of columns "
        f"must be a multiple of {per_match}, got {num_envs}. Nearest: {' or '.join(nearest)}."
    )
