"""Errors of `envs`: what was expected, what came, and the cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EnvironmentNameError(ValueError):
    """No environment has this name; the message carries the nearest valid one.

    Args:
        name: what the user wrote.
        listed: the names that `envs.names` lists; their number is printed.
        others: further valid names, which can be the nearest too.

    Attributes:
        name: what the user wrote.
        nearest: the nearest valid name, or None when nothing is similar.
    """

    def __init__(self, name: str, listed: Iterable[str], others: Iterable[str] = ()) -> None:
        shown = list(listed)
        self.name = name
        self.nearest = _nearest(name, [*shown, *others])
        hint = f" Did you mean {self.nearest!r}?" if self.nearest else ""
        super().__init__(
            f"Unknown environment {name!r}.{hint} `ctrl list envs` prints the {len(shown)} listed "
            "names; every other id registered with gymnasium is valid too."
        )


class MissingSimulatorError(ImportError):
    """The simulator behind an environment is not installed; the message has the pip command.

    Args:
        name: the environment that was asked for.
        package: the missing package.
        extra: the optional dependency group of `ctrl` that installs it.
    """

    def __init__(self, name: str, package: str, extra: str) -> None:
        super().__init__(
            f"Environment {name!r} needs {package}, which is not installed. "
            f'Install it with: pip install "ctrl[{extra}]"'
        )


class MissingMeshesError(FileNotFoundError):
    """The collision meshes of the Rocket League arena were not found.

    Args:
        places: the folders that were looked at.
    """

    def __init__(self, places: Iterable[str]) -> None:
        super().__init__(
            "The arena's collision meshes (soccar/*.cmf) were not found. Looked in: "
            f"{', '.join(places)}. They come with a package; install it with: "
            'pip install "ctrl[rocket-league]", or name the folder that contains soccar/ in the '
            "environment variable RS_COLLISION_MESHES."
        )


class SnapshotError(RuntimeError):
    """An environment's state cannot be taken, or a saved state does not fit the environment."""


class ActionError(ValueError):
    """An action has the wrong shape or type, is not finite, or lies outside of its space."""


class VectorizationError(TypeError):
    """An environment has no natively vectorised form, or cannot have that many columns."""


class BatchingError(TypeError):
    """An environment cannot be stepped as part of a batch; the message says why."""


def _nearest(name: str, valid: Iterable[str]) -> str | None:
    """Return the valid name closest to ``name``, ignoring case, or None."""
    by_lower = {candidate.lower(): candidate for candidate in valid}
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None
