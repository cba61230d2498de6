"""A search as pictures: what was kept and where, coverage over evaluations, ways of the elites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ctrl.pictures.style import TERM_COLOURS, cut, own_style
from ctrl.search.episodes import Episodes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = "viridis"
_NOTHING = "#C9C9C9"
_EDGE = 0.02
Bounds = Sequence[Sequence[float]]


def draw_archives(archives: Mapping[str, Episodes], bounds: Bounds) -> Figure:
    """Draw where the episodes of every archive ended; colour is reward, grey is none.

    Args:
        archives: by name; empty ones are left out.
        bounds: ``[[x0, x1], [y0, y1]]`` of the places.
    """
    from matplotlib.figure import Figure

    shown = {name: kept for name, kept in archives.items() if len(kept)}
    with own_style():
        columns = max(1, len(shown))
        figure = Figure(figsize=(4.6 * columns + 0.8, 4.4), dpi=130, layout="constrained")
        panels = figure.subplots(1, columns, squeeze=False)[0]
        if not shown:
            panels[0].text(0.5, 0.5, "nothing kept", ha="center", transform=panels[0].transAxes)
        best = max((float(kept.reward.max()) for kept in shown.values()), default=0.0)
        drawn = None
        for axes, (name, kept) in zip(panels, shown.items(), strict=False):
            _world(axes, bounds)
            axes.set_title(f"{name}: {len(kept)}")
            paid = kept.reward > 0.0
            axes.scatter(
                kept.place[~paid, 0], kept.place[~paid, 1], s=7, color=_NOTHING, linewidths=0
            )
            drawn = axes.scatter(
                kept.place[paid, 0], kept.place[paid, 1], c=kept.reward[paid], s=14,
                cmap=_COLOURS, vmin=0.0, vmax=best or 1.0, linewidths=0,
            )  # fmt: skip
        if drawn is not None:
            figure.colorbar(drawn, ax=list(panels), label="reward of the episode", shrink=0.8)
    return figure


def draw_grid(
    visits: NDArray[np.int64], best: NDArray[np.float64], bounds: Bounds, *, title: str = ""
) -> Figure:
    """Draw the grid of places: how often each cell was reached, and its best reward.

    Args:
        visits: ``[X, Y]`` episodes that ended in each cell.
        best: ``[X, Y]`` best reward of an episode that ended there; not looked at where none did.
        bounds: ``[[x0, x1], [y0, y1]]``.
        title: above both.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    reached = visits > 0
    extent = (*bounds[0], *bounds[1])
    with own_style():
        figure = Figure(figsize=(9.6, 4.4), dpi=130, layout="constrained")
        left, right = figure.subplots(1, 2)
        shares = f"{reached.mean():.1%} of {visits.size} cells reached"
        panels: list[tuple[Any, NDArray[Any], str, str, dict[str, Any]]] = [
            (left, visits, "episodes", shares, {"norm": LogNorm(1, max(2, int(visits.max())))}),
            (right, best, "best reward", "best reward in each cell", {"vmin": 0.0}),
        ]
        for axes, values, label, heading, scale in panels:
            _world(axes, bounds)
            axes.grid(visible=False)
            shown = np.ma.masked_where(~reached, values).T
            image = axes.imshow(
                shown, origin="lower", extent=extent, cmap=_COLOURS, interpolation="none",
                aspect="auto", **scale,
            )  # fmt: skip
            axes.set_title(heading)
            figure.colorbar(image, ax=axes, label=label, shrink=0.8)
        if title:
            figure.suptitle(cut(title, 100))
    return figure


def draw_progress(rows: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Draw coverage and the best reward of every area over evaluations.

    Args:
        rows: columns of ``progress.csv`` by name, each ``[n]``.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    evaluations = rows["search/evaluations"]
    with own_style():
        figure = Figure(figsize=(9.6, 3.6), dpi=130, layout="constrained")
        left, right = figure.subplots(1, 2)
        for k, name in enumerate(("search/coverage", "search/archive_coverage")):
            if name in rows:
                label = "all episodes" if k == 0 else "archive alone"
                known = np.isfinite(rows[name])
                left.plot(evaluations[known], rows[name][known], color=TERM_COLOURS[k], label=label)
        left.set_title("share of the cells of places")
        left.set_ylim(0.0, 1.0)
        left.legend()
        areas = [name for name in rows if name.startswith("search/best/")]
        for k, name in enumerate(sorted(areas)):
            label = f"area {name.rpartition('/')[2]}"
            colour = TERM_COLOURS[k % len(TERM_COLOURS)]
            right.plot(evaluations, rows[name], color=colour, label=label)
        right.set_title("best reward of every area")
        if areas:
            right.legend()
        for axes in (left, right):
            axes.set_xlabel("evaluations")
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
            axes.set_xlim(left=0)
    return figure


def draw_ways(
    ways: Mapping[str, NDArray[np.float64]], bounds: Bounds, backdrop: NDArray[np.float64]
) -> Figure:
    """Draw the ways of some episodes through the world.

    Args:
        ways: places ``[t, 2]`` in the order of time, by name.
        bounds: ``[[x0, x1], [y0, y1]]``.
        backdrop: places ``[n, 2]`` where other episodes ended, in grey.
    """
    from matplotlib.figure import Figure

    with own_style():
        figure = Figure(figsize=(6.4, 4.8), dpi=130, layout="constrained")
        axes = figure.subplots()
        _world(axes, bounds)
        axes.scatter(backdrop[:, 0], backdrop[:, 1], s=5, color="#E3E3E3", linewidths=0)
        for k, (name, way) in enumerate(ways.items()):
            colour = TERM_COLOURS[k % len(TERM_COLOURS)]
            axes.plot(*way.T, color=colour, linewidth=1.4, label=cut(name, 40))
            axes.plot(*way[-1], marker="o", color=colour, markersize=5)
        axes.set_title("ways of the elites; the dot is the end")
        if ways:
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _world(axes: Axes, bounds: Bounds) -> None:
    # What ended at a wall would be cut in half at the edge.
    (left, right), (low, high) = bounds
    axes.set_xlim(left - _EDGE * (right - left), right + _EDGE * (right - left))
    axes.set_ylim(low - _EDGE * (high - low), high + _EDGE * (high - low))
    axes.set_xlabel("x")
    axes.set_ylabel("y")
