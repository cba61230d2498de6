"""Errors that say what was expected, what came, and the cure, and the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what a user wrote: an option, a name, a file or a combination.

    The command line prints the message alone and leaves with exit code 2.
    """


class UnknownNameError(UserError):
    """A name that is not among the valid ones; the message carries the nearest valid name.

    Args:
        kind: what the name should name, for example ``"reward"``.
        name: what the user wrote.
        valid: the valid names.
    """

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        names = sorted(str(candidate) for candidate in valid)
        nearest = nearest_name(name, names)
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        listed = ", ".join(names) if names else "(none)"
        super().__init__(f"Unknown {kind} {name!r}.{hint} Valid: {listed}.")
        self.name, self.nearest = name, nearest


class MissingDependencyError(UserError):
    """An optional package or system library is not installed; the message names the command."""


class TrainingError(RuntimeError):
    """Training cannot go on, for example because the policy has diverged."""


class RewardError(TrainingError):
    """A reward term broke its contract during training (NaN, infinity, wrong shape or dtype).

    The message names the term, the time step, the column (environment index) and the value.
    """

    def __init__(self, term: str, message: str) -> None:
        super().__init__(f"Reward term {term!r}: {message}")
        self.term, self.message = term, message


def nearest_name(name: str, valid: Iterable[str]) -> str | None:
    """Return the valid name closest to ``name``, or None when nothing is similar.

    Case is ignored when comparing, so ``halfcheetah-v5`` finds ``HalfCheetah-v5``.
    """
    by_lower = {str(candidate).lower(): str(candidate) for candidate in valid}
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.5)
    return by_lower[found[0]] if found else None
