"""The picture of a study: every seed as a point, every method with its interval, and the curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ctrl.plot import method_style
from ctrl.statistics import bootstrap_band, bootstrap_interval
from ctrl.study.plan import ONLY
from ctrl.study.results import Findings

_PANELS = 3
_POINTS = 200


def draw(found: Findings, path: Path) -> None:
    """Write a PNG: the first curve if there is one, then up to three metrics.

    Args:
        found: the results.
        path: ``.png``.
    """
    environments = list(found.study.environments)
    metrics = found.metrics[:_PANELS]
    curves = _common_curves(found)[:1]
    columns = len(curves) + len(metrics)
    figure = Figure(
        figsize=(3.9 * max(columns, 1), 0.6 + 3.3 * len(environments)), layout="constrained"
    )
    figure.suptitle(found.study.name)
    for row, environment in enumerate(environments):
        for column, name in enumerate([*curves, *metrics]):
            axes = figure.add_subplot(len(environments), columns, row * columns + column + 1)
            if column < len(curves):
                _curve(axes, found, environment, name)
            else:
                _points(axes, found, environment, name)
            where = "" if environments == [ONLY] else f", {environment}"
            axes.set_title(f"{name.replace('_', ' ')}{where}", fontsize=10)
            axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def _common_curves(found: Findings) -> list[str]:
    first: dict[str, Any] = found.cells[0]["curves"] if found.cells else {}
    return [name for name in first if all(name in cell["curves"] for cell in found.cells)]


def _curve(axes: Axes, found: Findings, environment: str, name: str) -> None:
    for index, method in enumerate(found.study.methods):
        runs = [
            np.asarray(cell["curves"][name], dtype=float)
            for cell in found.cells
            if (cell["method"], cell["environment"]) == (method, environment)
        ]
        runs = [run for run in runs if run.shape[1] > 1]
        if not runs:
            continue
        start, end = max(run[0, 0] for run in runs), min(run[0, -1] for run in runs)
        grid = np.linspace(start, end, _POINTS)
        values = np.stack([np.interp(grid, *run) for run in runs])
        point, low, high = bootstrap_band(values)
        style = method_style(index)
        axes.plot(grid, point, label=method, **style)
        if len(runs) > 1:
            axes.fill_between(grid, low, high, color=style["color"], alpha=0.2, linewidth=0)
    axes.set_xlabel("steps")
    axes.legend(fontsize=8, frameon=False)


def _points(axes: Axes, found: Findings, environment: str, metric: str) -> None:
    methods = list(found.study.methods)
    samples = found.samples(metric)
    for index, method in enumerate(methods):
        values = np.asarray(samples.get((method, environment), []))
        if not len(values):
            continue
        colour = method_style(index)["color"]
        spread = np.linspace(-0.12, 0.12, len(values)) if len(values) > 1 else np.zeros(1)
        axes.plot(values, index + spread, "o", color=colour, alpha=0.55, markersize=4)
        interval = bootstrap_interval(values, np.mean)
        axes.plot(interval.point, index, "D", color=colour, markersize=7, markeredgecolor="black")
        if len(values) > 1:
            axes.plot([interval.low, interval.high], [index, index], color=colour, linewidth=2.5)
    axes.set_yticks(range(len(methods)), methods)
    axes.set_ylim(len(methods) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
