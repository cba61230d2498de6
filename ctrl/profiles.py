"""Performance profiles over runs and tasks, and how many steps runs need: sample efficiency."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ctrl.statistics import Values, finite_values, tail_levels
from reward_models.errors import UserError


def performance_profile(
    x: Values,
    thresholds: Values,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the share of runs that score above each threshold, with its interval.

    The run-score distribution of Agarwal et al. (2021), "Deep reinforcement learning at the edge of
    the statistical precipice", equation 4: averaged over tasks, runs resampled within each task.

    Args:
        x: ``[runs]`` or ``[runs, tasks]``; scores of different tasks should be normalised.
        thresholds: ``[P]``.
        level: confidence level, in (0, 1).
        resamples: how many samples are drawn with replacement.
        seed: of the draws.

    Returns:
        ``(share, low, high)``, each ``[P]`` in [0, 1]; all equal when there is one run.

    Raises:
        UserError: no values, NaN or an infinity, or an unusable level or count.
    """
    values = finite_values(x, "performance_profile")
    if values.ndim not in (1, 2):
        raise UserError(
            f"performance_profile takes [runs] or [runs, tasks], got shape {values.shape}."
        )
    tails = tail_levels(level, resamples)
    matrix = values.reshape(len(values), -1)
    above = (matrix[..., None] > finite_values(thresholds, "performance_profile")).astype(float)
    share = above.mean(axis=(0, 1))
    runs, tasks = matrix.shape
    if runs == 1:
        return share, share, share
    random = np.random.default_rng(seed)
    drawn = np.zeros((resamples, above.shape[2]))
    for task in range(tasks):
        # How often each run is drawn, so that a resample is one product of matrices.
        counts = random.multinomial(runs, np.full(runs, 1 / runs), size=resamples)
        drawn += counts @ above[:, task] / (runs * tasks)
    low, high = np.quantile(drawn, tails, axis=0)
    return share, low, high


def steps_to_reach(steps: Values, curves: Values, threshold: float) -> NDArray[np.float64]:
    """Return how many environment steps every run needed to reach a score: sample efficiency.

    Args:
        steps: ``[P]``, increasing.
        curves: ``[runs, P]``.
        threshold: a score.

    Returns:
        ``[runs]``: the first step at which the curve, drawn with straight lines, is at the
        threshold; infinity for a run that never reached it.

    Raises:
        UserError: NaN, steps that do not increase, or shapes that do not fit.
    """
    grid, values = finite_values(steps, "steps_to_reach"), finite_values(curves, "steps_to_reach")
    if grid.ndim != 1 or values.ndim != 2 or values.shape[1] != len(grid):
        raise UserError(
            "steps_to_reach takes steps [P] and curves [runs, P], got shapes "
            f"{grid.shape} and {values.shape}."
        )
    if (np.diff(grid) <= 0).any():
        raise UserError("steps_to_reach: the steps must increase.")
    found = np.full(len(values), np.inf)
    for run, curve in enumerate(values):
        reached = np.flatnonzero(curve >= threshold)
        if not len(reached):
            continue
        place = int(reached[0])
        found[run] = grid[place]
        if place:
            before, after = curve[place - 1], curve[place]
            part = (threshold - before) / (after - before)
            found[run] = grid[place - 1] + part * (grid[place] - grid[place - 1])
    return found
