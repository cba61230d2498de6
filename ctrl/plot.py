"""One picture of any number of runs: learning curves, task against shaped return, reward shares."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ctrl.pictures.style import cut, own_style, save_png, steps_axis, term_colours
from ctrl.run_curves import find_runs, read_progress, readable_runs
from ctrl.run_groups import RunGroup, group_runs
from ctrl.run_summary import (
    AUTO,
    SHAPED_RETURN,
    SUCCESS_RATE,
    TASK_RETURN,
    GroupShares,
    GroupSummary,
    choose_metric,
    common_grid,
    group_curve,
    group_shares,
    shortfalls,
    summarise,
)
from ctrl.statistics import interquartile_mean
from reward_models.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["PlotResult", "find_runs", "group_runs", "plot_runs", "read_progress"]

# Okabe and Ito's colours for methods, without yellow, too pale for a line.
_METHOD_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MOST_SHARES = 6
_MARKERS = ("", "o", "s", "^", "D", "v")
_TITLES = {
    SUCCESS_RATE: "Success rate",
    TASK_RETURN: "Task return",
    "rollout/ep_rew_mean": "Task return",
}
_Styles = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class PlotResult:
    """What ``plot_runs`` made.

    Attributes:
        path: the PNG.
        groups: final values per group, in the order of the paths.
        notes: what a reader must know: runs left out, seeds that ended early.
    """

    path: Path
    groups: tuple[GroupSummary, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return path, numbers and notes as plain data."""
        return {
            "plot": str(self.path),
            "groups": [asdict(group) for group in self.groups],
            "notes": list(self.notes),
        }


def plot_runs(
    paths: Iterable[str | Path] | str | Path,
    *,
    out: str | Path | None = None,
    metric: str = AUTO,
    smooth: int = 1,
    level: float = 0.95,
) -> PlotResult:
    """Draw runs side by side in one PNG; seeds of the same training become one curve.

    A row per environment with (a) the task's own measure against environment steps, (b) the task
    return and the shaped return apart, (c) the share of each reward term, for methods with more
    than the task reward. The same folders give the same file, byte by byte.

    Args:
        paths: run folders, or folders with run folders in them.
        out: the PNG, or a folder for ``plot.png``; by default the first folder of ``paths``.
        metric: ``auto`` or a column of ``progress.csv``; see ``choose_metric``.
        smooth: log rows of a trailing mean, for the drawing only; 1 draws what was logged.
        level: of the bootstrap intervals.

    Raises:
        UserError: no such folder, no log in it, an unusable option, or the PNG cannot be written.
    """
    if smooth < 1:
        raise UserError(f"smooth must be at least 1 log row, got {smooth}.")
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    runs, skipped = readable_runs(given)
    groups, notes = group_runs(runs)
    notes = [*skipped, *notes]
    target = _target(given, out)
    rows: list[tuple[str, str, list[RunGroup]]] = []
    summaries: dict[str, GroupSummary] = {}
    choose_metric(groups, metric)
    for env in dict.fromkeys(group.env for group in groups):
        members = [group for group in groups if group.env == env]
        key = metric if metric != AUTO else choose_metric(members)
        rows.append((env, key, members))
        for group in members:
            notes.extend(shortfalls(group, key))
            summary = summarise(group, key, level=level)
            if summary is not None:
                summaries[group.label] = summary
        shaped = sum(group_shares(group) is not None for group in members)
        if shaped > _MOST_SHARES:
            notes.append(f"The shares of reward terms are drawn for {_MOST_SHARES} of {shaped}.")
    _draw(rows, target, smooth=smooth, level=level)
    ordered = [summaries[group.label] for group in groups if group.label in summaries]
    return PlotResult(target, tuple(ordered), tuple(notes))


def _target(given: Sequence[str | Path], out: str | Path | None) -> Path:
    if out is None:
        first = Path(given[0])
        return (first if first.is_dir() else first.parent) / "plot.png"
    path = Path(out)
    if path.is_dir() or not path.suffix:
        return path / "plot.png"
    if path.suffix.lower() != ".png":
        raise UserError(f"Plots are PNG files; name {path.with_suffix('.png')} instead of {path}.")
    return path


def _draw(
    rows: list[tuple[str, str, list[RunGroup]]], target: Path, *, smooth: int, level: float
) -> None:
    from matplotlib.figure import Figure

    methods = list(dict.fromkeys(group.method for _, _, members in rows for group in members))
    styles = {method: method_style(k) for k, method in enumerate(methods)}
    shares = [
        [of_group for group in members if (of_group := group_shares(group))][:_MOST_SHARES]
        for _, _, members in rows
    ]
    colours = term_colours(name for found in shares for group in found for name in group.terms)
    with own_style():
        columns = 3 if any(shares) else 2
        heights = [max(3.3, 1.0 + 1.1 * len(found)) for found in shares]
        figure = Figure(figsize=(4.6 * columns, sum(heights) + 0.9), dpi=130, layout="constrained")
        bands = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights)[:, 0]
        for part, (env, key, members), found in zip(bands, rows, shares, strict=True):
            if env:
                part.suptitle(env, x=0.005, ha="left", fontweight="bold", fontsize=11)
            grid = part.add_gridspec(1, columns)
            axes = part.add_subplot(grid[0])
            learning_curves(axes, members, key, styles, smooth=smooth, level=level)
            _returns(part.add_subplot(grid[1]), members, styles, smooth=smooth)
            if found:
                _share_panels(part, grid[2], found, colours)
        _legend(figure, rows, methods, level)
        save_png(figure, target)


def learning_curves(
    axes: Axes,
    groups: list[RunGroup],
    key: str,
    styles: dict[str, dict[str, Any]],
    *,
    smooth: int = 1,
    level: float = 0.95,
) -> None:
    """Draw one column of the logs against environment steps, a curve per group.

    Interquartile means with their bootstrap intervals; of one seed the bare curve.

    Args:
        axes: where.
        groups: seeds of the same training each.
        key: column of ``progress.csv``.
        styles: see `method_style`, by method.
        smooth: log rows of a trailing mean.
        level: of the intervals.
    """
    for group in groups:
        style = styles[group.method]
        if len(group.runs) > 1:
            for run in group.runs:
                steps, values = run.curve(key)
                values = _trailing_mean(values, smooth)
                axes.plot(steps, values, color=style["color"], linewidth=0.6, alpha=0.35)
        curve = group_curve(group, key, level=level)
        if curve is None:
            continue
        low, point, high = (_trailing_mean(v, smooth) for v in (curve.low, curve.point, curve.high))
        lonely = {"marker": "o"} if len(curve.steps) == 1 else {}
        axes.plot(curve.steps, point, **{**style, **lonely})
        if len(curve.seeds) > 1:
            axes.fill_between(curve.steps, low, high, color=style["color"], alpha=0.2, linewidth=0)
    steps_axis(axes)
    axes.set_title(f"{_TITLES.get(key, key)} while training")
    if key == SUCCESS_RATE:
        axes.set_ylim(-0.03, 1.03)


def _returns(axes: Axes, groups: list[RunGroup], styles: _Styles, *, smooth: int) -> None:
    from matplotlib.lines import Line2D

    lines: dict[str, Any] = {TASK_RETURN: "-", SHAPED_RETURN: (0, (4, 2))}
    for group in groups:
        for key, dashes in lines.items():
            found = common_grid(group, key)
            if found is not None:
                values = _trailing_mean(interquartile_mean(found[1], axis=0), smooth)
                axes.plot(found[0], values, **{**styles[group.method], "linestyle": dashes})
    steps_axis(axes)
    axes.set_title("Return per episode")
    handles = [
        Line2D([], [], color="#555555", linestyle=dashes, linewidth=1.6)
        for dashes in lines.values()
    ]
    axes.legend(handles, ["task", "shaped"], loc="best", handlelength=2.6)


def _share_panels(
    part: SubFigure, place: Any, found: list[GroupShares], colours: dict[str, str]
) -> None:
    grid = place.subgridspec(len(found), 1)
    handles: dict[str, Any] = {}
    for k, group in enumerate(found):
        axes = part.add_subplot(grid[k])
        areas = axes.stackplot(
            group.steps,
            group.shares,
            colors=[colours[name] for name in group.terms],
            edgecolor="white",
            linewidth=0.3,
        )
        handles.update(zip(group.terms, areas, strict=True))
        axes.set_ylim(0, 1)
        axes.set_xlim(0, max(float(other.steps[-1]) for other in found) or 1.0)
        axes.set_yticks([0, 0.5, 1])
        axes.grid(False)
        if len(found) == 1:
            axes.set_title("Share of each reward term")
        else:
            axes.set_title(cut(group.method, 44), fontsize=9)
        steps_axis(axes, label=k == len(found) - 1)
        axes.tick_params(labelbottom=k == len(found) - 1)
    part.legend(
        [handles[name] for name in colours if name in handles],
        [cut(name, 24) for name in colours if name in handles],
        loc="outside right center",
        title="reward term" if len(found) == 1 else "share of each\nreward term",
        handlelength=1.0,
        handleheight=1.0,
    )


def _legend(
    figure: Figure, rows: list[tuple[str, str, list[RunGroup]]], methods: list[str], level: float
) -> None:
    from matplotlib.lines import Line2D

    counts: dict[str, set[int]] = {}
    for _, key, members in rows:
        for group in members:
            seeds = sum(bool(len(run.curve(key)[0])) for run in group.runs)
            counts.setdefault(group.method, set()).add(seeds)
    labels = []
    for method in methods:
        least, most = min(counts[method]), max(counts[method])
        number = f"n={most}" if least == most else f"n={least} to {most}"
        labels.append("\n".join(textwrap.wrap(f"{method} ({number})", 58)))
    title = None
    if max(max(found) for found in counts.values()) > 1:
        title = (f"interquartile mean over n seeds, with its {100 * level:g} % bootstrap interval; "
                 "thin: single seeds")  # fmt: skip
    handles = [Line2D([], [], **method_style(k)) for k in range(len(methods))]
    longest = max(len(line) for label in labels for line in label.split("\n"))
    columns = max(1, min(len(labels), int(figure.get_figwidth() * 11 / (longest + 8))))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, title=title)


def method_style(index: int) -> dict[str, Any]:
    """Return colour and marker of the ``index``-th method; colours repeat with another marker."""
    colour = _METHOD_COLOURS[index % len(_METHOD_COLOURS)]
    marker = _MARKERS[index // len(_METHOD_COLOURS) % len(_MARKERS)]
    return {"color": colour, "marker": marker, "markevery": 0.12, "markersize": 4, "linewidth": 1.8}


def _trailing_mean(values: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """Return the mean of each value and the ``rows - 1`` before it (fewer at the start)."""
    if rows == 1 or not len(values):
        return values
    sums = np.cumsum(np.concatenate(([0.0], values)))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - rows, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)
