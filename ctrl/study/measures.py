"""Further numbers of a training, read from the columns of its log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ctrl.run_curves import find_runs
from reward_models.errors import UnknownNameError, UserError

AREA = "_area"
"""Ending of the name of a number that is the mean height of a curve."""

_CURVE_POINTS = 200

Curve = list[list[float]]
"""Steps and values, two lists of one length."""


def measured(measures: Mapping[str, str], run: Path) -> tuple[dict[str, float], dict[str, Curve]]:
    """Return numbers from the log of a training.

    Args:
        measures: name to column of ``progress.csv``, for example ``reward/rnd/mean``.
        run: the run folder.

    Returns:
        By name: the last number that was logged; with ``_area`` behind the name the mean height of
        the curve up to it, where it has two points; and the curve.

    Raises:
        UnknownNameError: there is no such column, with the nearest one.
        UserError: the column holds no number.
    """
    metrics: dict[str, float] = {}
    curves: dict[str, Curve] = {}
    if not measures:
        return metrics, curves
    log = find_runs(run)[0]
    for name, column in measures.items():
        if column not in log.progress:
            raise UnknownNameError(f"column of the log (measures.{name})", column, log.progress)
        steps, values = log.curve(column)
        if not len(values):
            raise UserError(f"measures.{name}: no number was ever logged in column {column!r}.")
        metrics[name], curves[name] = float(values[-1]), thinned(steps, values)
        if len(steps) > 1:
            metrics[f"{name}{AREA}"] = mean_height(steps, values)
    return metrics, curves


def mean_height(steps: np.ndarray, values: np.ndarray) -> float:
    """Return the mean of a curve ``[N]``, ``[N]`` between its ends, ``N`` at least 2."""
    return float(np.average((values[1:] + values[:-1]) / 2, weights=np.diff(steps)))


def thinned(steps: np.ndarray, values: np.ndarray) -> Curve:
    """Return a curve ``[N]``, ``[N]`` as lists of at most 200 points, both ends among them."""
    keep = np.unique(np.linspace(0, len(steps) - 1, _CURVE_POINTS).astype(int))
    return [steps[keep].tolist(), values[keep].tolist()]
