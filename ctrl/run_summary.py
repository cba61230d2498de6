"""The numbers of a group of seeds: its learning curve with an interval, and its final values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctrl.run_groups import RunGroup
from ctrl.statistics import Interval, bootstrap_band, bootstrap_interval
from reward_models.errors import UnknownNameError, UserError

TASK_RETURN, SHAPED_RETURN = "return/task", "return/shaped"
SUCCESS_RATE = "rollout/success_rate"
AUTO = "auto"

# The task's own measures, best first; the last is what plain SB3 logs.
_MEASURES = (SUCCESS_RATE, TASK_RETURN, "rollout/ep_rew_mean")
_POINTS = 200


@dataclass(frozen=True)
class GroupCurve:
    """Interquartile mean over seeds on a common grid of environment steps.

    Attributes:
        steps: ``[P]`` increasing, over the stretch that every seed has.
        point: ``[P]`` interquartile mean.
        low: ``[P]`` lower end of the bootstrap interval; equals ``point`` for one seed.
        high: ``[P]`` upper end.
        seeds: ``[n, P]`` each seed, interpolated.
    """

    steps: NDArray[np.float64]
    point: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    seeds: NDArray[np.float64]


@dataclass(frozen=True)
class GroupShares:
    """Share of each reward term in the summed absolute contributions, mean over the seeds.

    Attributes:
        method: name of the group.
        terms: ``K`` names, the task first.
        steps: ``[P]`` environment steps.
        shares: ``[K, P]`` in [0, 1].
    """

    method: str
    terms: tuple[str, ...]
    steps: NDArray[np.float64]
    shares: NDArray[np.float64]


@dataclass(frozen=True)
class GroupSummary:
    """Final values of one group, at the last environment step that all its seeds reached.

    Attributes:
        label: name of the group, with the environment when there are several.
        method: name without the environment.
        env: the environment.
        metric: column that ``values``, ``mean`` and ``final`` are about.
        step: environment step of the values.
        values: one per seed.
        mean: their mean.
        final: their interquartile mean with its interval.
        task_return: the same for the task return, None when not logged.
        success: the same for the success rate, None when not logged.
    """

    label: str
    method: str
    env: str
    metric: str
    step: int
    values: tuple[float, ...]
    mean: float
    final: Interval
    task_return: Interval | None
    success: Interval | None


def choose_metric(groups: Sequence[RunGroup], metric: str = AUTO) -> str:
    """Return the column to compare groups by.

    ``auto`` takes the task's own measure: the success rate where every group has it, otherwise the
    task return, otherwise ``rollout/ep_rew_mean`` (a run of plain SB3).

    Raises:
        UnknownNameError: no run logged ``metric``, with the nearest name that was logged.
        UserError: ``auto`` finds none of the measures.
    """
    if metric != AUTO:
        if not any(_has(group, metric) for group in groups):
            raise UnknownNameError("metric", metric, _columns(groups))
        return metric
    for key in _MEASURES:
        if all(_has(group, key) for group in groups):
            return key
    for key in _MEASURES:
        if any(_has(group, key) for group in groups):
            return key
    raise UserError(
        "No run has logged a task return or a success rate yet; they come with the first finished "
        "episode. Train for more steps, or name another column with metric (--metric)."
    )


def common_grid(
    group: RunGroup, key: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Interpolate the seeds of a group on common environment steps, ``([P], [n, P])``.

    The grid covers the steps that every seed with this column has, so that no point of a curve
    averages over other seeds than its neighbour. None when no seed has the column, or when the
    seeds share no step.
    """
    curves = [curve for curve in (run.curve(key) for run in group.runs) if len(curve[0])]
    if not curves:
        return None
    start = max(steps[0] for steps, _ in curves)
    stop = min(steps[-1] for steps, _ in curves)
    if start > stop:
        return None
    grid = np.unique(np.concatenate([steps for steps, _ in curves]))
    grid = grid[(grid >= start) & (grid <= stop)]
    if len(grid) > _POINTS:
        grid = np.linspace(start, stop, _POINTS)
    return grid, np.stack([np.interp(grid, steps, values) for steps, values in curves])


def group_curve(group: RunGroup, key: str, *, level: float = 0.95) -> GroupCurve | None:
    """Return the learning curve of a group, or None as ``common_grid``."""
    found = common_grid(group, key)
    if found is None:
        return None
    steps, seeds = found
    return GroupCurve(steps, *bootstrap_band(seeds, level=level), seeds)


def group_shares(group: RunGroup) -> GroupShares | None:
    """Return the share of each term; None for a group with fewer than two logged terms."""
    columns = {key for run in group.runs for key in run.progress}
    names = [
        key.removeprefix("reward/").removesuffix("/share")
        for key in columns
        if key.startswith("reward/") and key.endswith("/share")
    ]
    # A gate's or a model's own metric of that name has a longer path.
    names = [name for name in names if "/" not in name]
    names.sort(key=lambda name: (name != "task", name))
    found = {name: common_grid(group, f"reward/{name}/share") for name in names}
    curves = {name: curve for name, curve in found.items() if curve is not None}
    if len(curves) < 2:
        return None
    steps = max((grid for grid, _ in curves.values()), key=len)
    shares = [np.interp(steps, grid, seeds.mean(0)) for grid, seeds in curves.values()]
    return GroupShares(group.method, tuple(curves), steps, np.stack(shares))


def summarise(group: RunGroup, metric: str, *, level: float = 0.95) -> GroupSummary | None:
    """Return the final values of a group, or None as ``common_grid``."""
    found = _final(group, metric)
    if found is None:
        return None
    step, values = found
    others = []
    for key in (TASK_RETURN, SUCCESS_RATE):
        other = _final(group, key)
        others.append(None if other is None else bootstrap_interval(other[1], level=level))
    return GroupSummary(
        label=group.label, method=group.method, env=group.env, metric=metric, step=step,
        values=tuple(values), mean=float(np.mean(values)),
        final=bootstrap_interval(values, level=level), task_return=others[0], success=others[1],
    )  # fmt: skip


def shortfalls(group: RunGroup, metric: str) -> list[str]:
    """Return a note for each seed that logged nothing, or ended well before the others."""
    ends = {run.path: run.curve(metric)[0][-1:] for run in group.runs}
    reached = [end[0] for end in ends.values() if len(end)]
    last, least = max(reached, default=0.0), min(reached, default=0.0)
    starts = [run.curve(metric)[0][0] for run in group.runs if len(ends[run.path])]
    if least < max(starts, default=0.0):
        return [f"The seeds of {group.label!r} share no step of {metric}; it has no numbers."]
    notes = []
    for path, end in ends.items():
        if not len(end):
            notes.append(f"{path} has not logged {metric} and is left out of {group.label!r}.")
        elif end[0] < 0.95 * last:
            notes.append(
                f"{path} ends at step {end[0]:,.0f}, other seeds of {group.label!r} at "
                f"{last:,.0f}; the group's numbers are those at step {least:,.0f}."
            )
    return notes


def _final(group: RunGroup, key: str) -> tuple[int, list[float]] | None:
    curves = [curve for curve in (run.curve(key) for run in group.runs) if len(curve[0])]
    if not curves:
        return None
    step = min(steps[-1] for steps, _ in curves)
    if step < max(steps[0] for steps, _ in curves):
        return None
    return int(step), [float(np.interp(step, steps, values)) for steps, values in curves]


def _has(group: RunGroup, key: str) -> bool:
    return any(len(run.curve(key)[0]) for run in group.runs)


def _columns(groups: Sequence[RunGroup]) -> list[str]:
    keys = {key for group in groups for run in group.runs for key in run.progress}
    return sorted(key for key in keys if any(_has(group, key) for group in groups))
