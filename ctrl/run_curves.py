"""Reading run folders: their configuration and the curves in their logs."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from reward_models.errors import UserError, nearest_name

STEPS = "time/total_timesteps"
PROGRESS, CONFIG = "progress.csv", "config.yaml"


@dataclass(frozen=True)
class RunCurves:
    """One run folder.

    Attributes:
        path: the folder.
        config: the effective configuration; empty for a folder that has none.
        progress: column name -> one value per log row, NaN where nothing was logged.
    """

    path: Path
    config: dict[str, Any]
    progress: dict[str, NDArray[np.float64]]

    @property
    def seed(self) -> int | None:
        """The seed, or None when the configuration does not say."""
        return self.config.get("seed")

    @property
    def env(self) -> str:
        """The environment's name, empty when unknown."""
        return str(section(self.config, "env", "id").get("id", ""))

    def curve(self, key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return ``(steps, values)`` of one column, at the rows where it was logged.

        Steps increase strictly: of several values at the same step the last one counts.
        """
        steps = self.progress.get(STEPS)
        values = self.progress.get(key)
        if steps is None or values is None:
            return np.empty(0), np.empty(0)
        logged = np.isfinite(steps) & np.isfinite(values)
        steps, values = steps[logged], values[logged]
        last = np.append(np.diff(steps) > 0, True)[: len(steps)]
        return steps[last], values[last]

    @property
    def last_step(self) -> float:
        """The last environment step that was logged."""
        return float(np.nanmax(self.progress[STEPS]))


def read_progress(path: str | Path) -> dict[str, NDArray[np.float64]]:
    """Read a ``progress.csv``, also one whose writer was killed.

    A last line without its newline was cut and is dropped, as are lines with another number of
    cells than the header. Where the step counter jumps back, a resumed run logs again what it had
    logged before: the earlier rows from there on are dropped. Text and empty cells become NaN.

    Args:
        path: the file, or the run folder that holds it.

    Returns:
        Column name -> ``[rows]`` float64; no row at all leaves empty arrays.

    Raises:
        UserError: no such file, or no header in it.
    """
    path = Path(path)
    path = path / PROGRESS if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"There is no {path.name} in {path.parent}; nothing was logged there yet.")
    text = path.read_text(encoding="utf-8", errors="replace")
    complete = text[: text.rfind("\n") + 1].replace("\0", "")
    lines = list(csv.reader(complete.splitlines()))
    if not lines or not any(lines[0]):
        raise UserError(f"{path} has no complete header line; the run was stopped before its log.")
    header = lines[0]
    rows = [[_number(cell) for cell in row] for row in lines[1:] if len(row) == len(header)]
    table = np.array(rows, dtype=np.float64).reshape(-1, len(header))
    if STEPS in header:
        table = table[_not_superseded(table[:, header.index(STEPS)])]
    return {name: table[:, k].copy() for k, name in enumerate(header)}


def find_runs(paths: Iterable[str | Path] | str | Path) -> list[RunCurves]:
    """Return every run folder at or below the paths, in natural order (``seed_2``, ``seed_10``).

    A run folder holds a ``progress.csv``. Folders below the paths that hold a ``config.yaml`` and
    no log yet are passed over while others have one.

    Raises:
        UserError: no such path (with the nearest name that exists), or no log in it.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    if not given:
        raise UserError("Name at least one run folder, for example runs/first.")
    found: dict[Path, RunCurves] = {}
    for path in map(Path, given):
        folders = _run_folders(path)
        runs = [RunCurves(folder, _read_config(folder), read_progress(folder))
                for folder in folders]  # fmt: skip
        logged = [run for run in runs if len(run.progress.get(STEPS, ()))]
        if not logged:
            what = "has a log without any complete row" if runs else f"has no {PROGRESS}"
            raise UserError(
                f"{path} {what}, at its top or below. A run folder gets its first rows with the "
                "first log of the training; give the folder that `ctrl train` named, or train on."
            )
        for run in logged:
            found.setdefault(run.path.resolve(), run)
    return list(found.values())


def readable_runs(
    paths: Iterable[str | Path] | str | Path, *, configured: bool = False
) -> tuple[list[RunCurves], list[str]]:
    """Return the runs at or below the paths, and a warning for every folder that is left out.

    A folder with a ``progress.csv`` or a ``config.yaml`` is meant to be a run. It is left out when
    its log is missing, has no complete row, or either file is damaged.

    Args:
        paths: see `find_runs`.
        configured: leave out folders without a ``config.yaml`` too.

    Raises:
        UserError: a path that does not exist (with the nearest name), or no run that can be read.
    """
    found: dict[Path, RunCurves] = {}
    warnings: list[str] = []
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        if not path.is_dir():
            find_runs(path)  # says what is wrong with the path, or accepts one of a run's files
        folders = _meant_as_runs(path if path.is_dir() else path.parent)
        if not folders:
            warnings.append(f"{path} holds no run folder; skipped.")
        for folder in folders:
            if configured and not (folder / CONFIG).is_file():
                warnings.append(f"{folder} has no {CONFIG}; skipped.")
                continue
            try:
                for run in find_runs(folder):
                    found.setdefault(run.path.resolve(), run)
            except (UserError, OSError, ValueError) as error:
                warnings.append(f"{folder} cannot be read and is skipped: {error}")
    if not found:
        raise UserError(" ".join(["There is no run that can be read.", *warnings]))
    return list(found.values()), warnings


def section(config: Mapping[str, Any], part: str, short: str) -> dict[str, Any]:
    """Return a part of the configuration, its short form (``algo: ppo``) written out."""
    value = config.get(part) or {}
    return dict(value) if isinstance(value, Mapping) else {short: value}


def _run_folders(path: Path) -> list[Path]:
    if path.is_file() and path.name in (PROGRESS, CONFIG):
        path = path.parent
    if not path.is_dir():
        raise UserError(_missing(path))
    found = []
    for folder, names, files in os.walk(path):
        names.sort(key=_natural)
        if PROGRESS in files:
            found.append(Path(folder))
            names.clear()
    return found


def _meant_as_runs(path: Path) -> list[Path]:
    found = []
    for folder, names, files in os.walk(path):
        names.sort(key=_natural)
        if PROGRESS in files or CONFIG in files:
            found.append(Path(folder))
            names.clear()
    return found


def _missing(path: Path) -> str:
    if path.is_file():
        return f"{path} is a file; give the run folder that holds it."
    parent = path.parent
    wrong = path.name
    while not parent.is_dir():
        parent, wrong = parent.parent, parent.name
    nearest = nearest_name(wrong, [entry.name for entry in parent.iterdir() if entry.is_dir()])
    hint = f" Did you mean {str(parent / nearest)!r}?" if nearest else ""
    return f"There is no run folder {str(path)!r}.{hint}"


def _natural(name: str) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        return {}
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path} must hold a mapping with env, algo and reward.")
    return config


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _not_superseded(steps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which rows no later row goes back behind; equal steps both stay."""
    ahead = np.where(np.isfinite(steps), steps, np.inf)
    least = np.minimum.accumulate(ahead[::-1])[::-1]
    return ~(steps > least)
