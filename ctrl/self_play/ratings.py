"""Ratings of players from the results of their matches, by the library openskill."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, final

from reward_models.errors import UserError


@dataclass(frozen=True)
class Rating:
    """What is believed about the skill of a player.

    Attributes:
        mean: of the belief; 25 before the first match.
        deviation: of the belief; 25 / 3 before the first match.
    """

    mean: float = 25.0
    deviation: float = 25.0 / 3.0

    @property
    def lower(self) -> float:
        """Three deviations below the mean: a skill that the player almost certainly has."""
        return self.mean - 3.0 * self.deviation


@final
class RatingModel:
    """The Plackett-Luce model of Weng and Lin (2011), a Bayesian relative of Elo and TrueSkill.

    Raises:
        UserError: openskill is not installed.
    """

    def __init__(self) -> None:
        try:
            self._model: Any = import_module("openskill.models").PlackettLuce()
        except ImportError as error:
            raise UserError(
                "Ratings need the package openskill: pip install 'ctrl[rocket-league]'."
            ) from error

    def after(self, first: Rating, second: Rating, result: int) -> tuple[Rating, Rating]:
        """Return both ratings after a match.

        Args:
            first: of one player.
            second: of the other.
            result: 1 when the first won, -1 when it lost, 0 for a draw.
        """
        teams = self._model.rate([[self._of(first)], [self._of(second)]], ranks=[-result, result])
        one, two = (Rating(float(team[0].mu), float(team[0].sigma)) for team in teams)
        return one, two

    def chance(self, first: Rating, second: Rating) -> float:
        """Return the chance that the first player wins, in [0, 1]; 0.5 for equal ones."""
        return float(self._model.predict_win([[self._of(first)], [self._of(second)]])[0])

    def rate(
        self, names: Iterable[str], results: Iterable[tuple[str, str, int]]
    ) -> Mapping[str, Rating]:
        """Return the ratings of players that begin as equals.

        Args:
            names: of all players.
            results: ``(first, second, result)`` of each match, in order; see `after`.
        """
        found = {name: Rating() for name in names}
        for first, second, result in results:
            found[first], found[second] = self.after(found[first], found[second], result)
        return found

    def _of(self, rating: Rating) -> Any:
        return self._model.rating(mu=rating.mean, sigma=rating.deviation)
