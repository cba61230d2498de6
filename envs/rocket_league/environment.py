"""Rocket League for one agent: a blue car."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import gymnasium
import numpy as np

from envs.actions import check_actions
from envs.rocket_league.info import INFO_KEYS
from envs.rocket_league.matches import Matches, Opponent
from envs.rocket_league.starts import Mutator


@final
class RocketLeagueEnv(gymnasium.Env[Any, Any]):
    """One match in which the agent drives the first blue car.

    The reward is 1 when the agent's team scores, -1 when it concedes, else 0. A goal terminates the
    episode; without a touch of the ball for ``no_touch_seconds`` it is truncated (and by
    gymnasium's ``TimeLimit`` after the task's number of steps). With the same seed, options and
    actions it gives the trajectory of the first match of
    `envs.rocket_league.vector.RocketLeagueVectorEnv` bit for bit.

    Args:
        blue: cars of blue, 1 to 3.
        orange: cars of orange, 0 to 3.
        opponent: drives all other cars, team mates included: ``"idle"``, ``"random"``, or a
            function of their observations ``[M, D]`` that returns actions ``[M, ...]``.
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
        render_mode: ``"rgb_array"`` or None.

    Attributes:
        matches: the engine and everything computed from it, with one match.
        opponent: as it was given.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012
    info_keys: ClassVar[Mapping[str, str]] = INFO_KEYS

    def __init__(
        self,
        *,
        blue: int = 1,
        orange: int = 1,
        opponent: str | Opponent = "idle",
        actions: str = "discrete",
        tick_skip: int = 8,
        action_delay: int = 1,
        no_touch_seconds: float | None = 30.0,
        start: str | Mapping[str, float] | Mutator = "kickoff",
        observation: str = "vector",
        max_cars: int | None = None,
        previous_actions: int = 5,
        render_mode: str | None = None,
    ) -> None:
        self.matches = Matches(
            1,
            blue,
            orange,
            np.array([0]),
            opponent=opponent,
            actions=actions,
            tick_skip=tick_skip,
            action_delay=action_delay,
            no_touch_seconds=no_touch_seconds,
            start=start,
            observation=observation,
            max_cars=max_cars,
            previous_actions=previous_actions,
        )
        self.observation_space = self.matches.observation_space
        self.action_space = self.matches.action_space
        self.render_mode = render_mode
        self.opponent = opponent

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: starts the match's random numbers anew; None goes on with them. The first reset
                without a seed draws one from the operating system.
            options: none are known.
        """
        super().reset(seed=seed)
        if seed is not None or self.matches.randoms[0] is None:
            self.matches.seed(0, int(self.np_random.integers(2**63)) if seed is None else seed)
        self.matches.reset(np.array([0]))
        return _first_seen(self.matches.observe()), _first(self.matches.reset_info())

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step once.

        Raises:
            envs.errors.ActionError: an action that is not of the action space.
            gymnasium.error.ResetNeeded: before the first reset.
        """
        actions = check_actions(np.asarray(action)[None], self.action_space, 1)
        outcome = self.matches.step(actions)
        return (
            _first_seen(self.matches.observe()),
            float(outcome.reward[0]),
            bool(outcome.terminated[0]),
            bool(outcome.truncated[0]),
            _first(outcome.info),
        )

    def render(self) -> Any:
        """Return a picture, uint8 ``[H, W, 3]``, or None without ``render_mode``."""
        return None if self.render_mode is None else self.matches.render()

    def snapshot(self) -> dict[str, Any]:
        """Return the state of the match; see `envs.rocket_league.matches.Matches.snapshot`."""
        return self.matches.snapshot()

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Go on from a snapshot, bit for bit.

        Raises:
            envs.errors.SnapshotError: it is of a match with other cars.
        """
        self.matches.restore(tree)

    def close(self) -> None:
        """End the threads of the match."""
        self.matches.close()


def _first(info: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the only column of ``info``: numbers as those of Python, arrays as new arrays."""
    return {
        name: values[0].item() if values.ndim == 1 else np.array(values[0])
        for name, values in info.items()
    }


def _first_seen(observations: Any) -> Any:
    """Return the only row of observations, as new arrays where they are several."""
    if isinstance(observations, dict):
        return {name: np.array(rows[0]) for name, rows in observations.items()}
    return observations[0]
