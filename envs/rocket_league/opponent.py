"""Whoever drives the cars that do not learn: a function of their observations.

A plain function ``observations [N, ...] -> actions [N, ...]`` is enough. An opponent that draws
random numbers or remembers something can have more methods, which the environments call:

* ``fresh()`` returns a player of its own for one environment (weights may be shared);
* ``seed(number)`` starts its random numbers anew, with those of the environment;
* ``begin(rows)`` says in which rows (bool ``[N]``) the episode of one match begins;
* ``result(rows, value)`` says that a goal fell in the match of these rows: 1 when the team of the
  learning car scored, -1 when it conceded;
* ``snapshot()`` and ``restore(tree)`` save what acting has changed, as plain data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import gymnasium
import numpy as np

from envs.actions import check_actions
from envs.errors import ActionError, SnapshotError

Opponent = Callable[[Any], Any]
"""Observations of N cars ``[N, ...]`` to their actions ``[N, ...]``."""

IDLE = "idle"
"""The opponent that holds all controls at 0."""


@final
class Opposition:
    """The place of an opponent in one environment.

    Args:
        opponent: the function; see above for what else it may have.
        rows: cars that it drives, N, over all matches; row k is always the same car.
        action_space: of one car.

    Raises:
        TypeError: the opponent cannot be called.
    """

    def __init__(self, opponent: Opponent, rows: int, action_space: gymnasium.Space) -> None:
        if not callable(opponent):
            raise TypeError(
                f"opponent must be {IDLE!r} or a function of observations, got {opponent!r}."
            )
        self.rows = rows
        self._space = action_space
        self._player: Any = opponent.fresh() if hasattr(opponent, "fresh") else opponent

    def act(self, observations: Any) -> np.ndarray:
        """Return checked actions ``[N, ...]``.

        Args:
            observations: ``[N, ...]``.

        Raises:
            ActionError: the opponent's actions are not of the action space.
        """
        try:
            return check_actions(self._player(observations), self._space, self.rows)
        except ActionError as error:
            raise ActionError(f"The opponent's actions are wrong. {error}") from error

    def seed(self, number: int) -> None:
        """Start the opponent's random numbers anew, where it has some."""
        if hasattr(self._player, "seed"):
            self._player.seed(number)

    def begin(self, rows: np.ndarray) -> None:
        """Tell the opponent that the episode of one match begins.

        Args:
            rows: bool ``[N]``, the cars of that match.
        """
        if hasattr(self._player, "begin"):
            self._player.begin(rows)

    def result(self, rows: np.ndarray, value: int) -> None:
        """Tell the opponent that a goal fell in one match.

        Args:
            rows: bool ``[N]``, the cars of that match.
            value: 1 when the learning car's team scored, -1 when it conceded.
        """
        if hasattr(self._player, "result"):
            self._player.result(rows, value)

    def snapshot(self) -> dict[str, Any]:
        """Return the opponent's state; a function without ``snapshot`` is taken to have none."""
        return {"player": self._player.snapshot() if hasattr(self._player, "snapshot") else None}

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue where `snapshot` was taken.

        Raises:
            SnapshotError: the opponent is not the saved one.
        """
        if (tree["player"] is None) == hasattr(self._player, "restore"):
            raise SnapshotError("The snapshot was taken with another opponent.")
        if tree["player"] is not None:
            self._player.restore(tree["player"])
