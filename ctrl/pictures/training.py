"""Training as pictures: returns with intervals over seeds, and what the terms contributed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ctrl.pictures.style import cut, own_style, steps_axis, term_colours
from ctrl.plot import learning_curves, method_style
from ctrl.run_groups import RunGroup
from ctrl.run_summary import SHAPED_RETURN, TASK_RETURN, common_grid, group_shares

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches; the width of a page.
_WIDTH = 11.2
_TITLES = {TASK_RETURN: "task return per episode", SHAPED_RETURN: "shaped return per episode"}


@dataclass(frozen=True)
class GroupContributions:
    """What each reward term added to the total per step, mean over the seeds.

    Attributes:
        terms: ``K`` names, the task first.
        steps: ``[P]`` environment steps.
        values: ``[K, P]`` mean contribution per step, with its sign.
    """

    terms: tuple[str, ...]
    steps: NDArray[np.float64]
    values: NDArray[np.float64]


def group_contributions(group: RunGroup) -> GroupContributions | None:
    """Return the contributions of each term; None for a group with fewer than two logged terms."""
    shares = group_shares(group)
    if shares is None:
        return None
    found = {name: common_grid(group, f"reward/{name}/contribution") for name in shares.terms}
    curves = {name: curve for name, curve in found.items() if curve is not None}
    if len(curves) < 2:
        return None
    steps = max((grid for grid, _ in curves.values()), key=len)
    values = [np.interp(steps, grid, seeds.mean(0)) for grid, seeds in curves.values()]
    return GroupContributions(tuple(curves), steps, np.stack(values))


def draw_learning(groups: Sequence[RunGroup], metric: str, *, level: float = 0.95) -> Figure:
    """Draw the measure of an environment, and its task and shaped return apart.

    Args:
        groups: on the same environment.
        metric: the measure to compare by; see `ctrl.run_summary.choose_metric`.
        level: of the intervals.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    keys = list(dict.fromkeys([metric, TASK_RETURN, SHAPED_RETURN]))
    keys = [key for key in keys if any(len(run.curve(key)[0]) for g in groups for run in g.runs)]
    styles = {group.method: method_style(k) for k, group in enumerate(groups)}
    legend_rows = math.ceil(len(groups) / 2)
    with own_style():
        figure = Figure(
            figsize=(_WIDTH, 3.2 + 0.22 * legend_rows), dpi=130,
            layout="constrained",
        )  # fmt: skip
        panels = figure.subplots(1, len(keys), squeeze=False)[0]
        for axes, key in zip(panels, keys, strict=True):
            learning_curves(axes, list(groups), key, styles, level=level)
            if key in _TITLES:
                axes.set_title(_TITLES[key])
        handles = [Line2D([], [], **styles[group.method]) for group in groups]
        labels = [f"{cut(group.method, 60)} (n={len(group.runs)})" for group in groups]
        figure.legend(handles, labels, loc="outside lower center", ncols=min(2, len(groups)))
    return figure


def draw_terms(group: RunGroup) -> Figure | None:
    """Draw what the terms of a group contributed over training, with sign and as shares.

    Returns:
        None for a group with fewer than two logged terms.
    """
    from matplotlib.figure import Figure

    paid, shares = group_contributions(group), group_shares(group)
    if paid is None or shares is None:
        return None
    colours = term_colours(paid.terms)
    with own_style():
        figure = Figure(figsize=(_WIDTH, 3.2), dpi=130, layout="constrained")
        left, right = figure.subplots(1, 2)
        handles = _signed(left, paid, colours)
        right.stackplot(
            shares.steps, shares.shares, colors=[colours[name] for name in shares.terms],
            edgecolor="white", linewidth=0.3,
        )  # fmt: skip
        right.set_ylim(0, 1)
        right.set_title("share of the absolute total")
        right.grid(False)
        steps_axis(right)
        last = float(paid.steps[-1])
        for axes in (left, right):
            axes.set_xlim(float(paid.steps[0]) if len(paid.steps) > 1 else 0, last or 1.0)
        figure.legend(
            handles, [cut(name, 24) for name in (*paid.terms, "all terms")],
            loc="outside right upper", handlelength=1.0, handleheight=1.0, alignment="left",
        )  # fmt: skip
    return figure


def _signed(axes: Axes, paid: GroupContributions, colours: dict[str, str]) -> list[Any]:
    """Stack gains upwards from zero and costs downwards, with their sum as a line."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    chosen = [colours[name] for name in paid.terms]
    for side in (np.clip(paid.values, 0, None), np.clip(paid.values, None, 0)):
        if side.any():
            axes.stackplot(paid.steps, side, colors=chosen, edgecolor="white", linewidth=0.3)
    line: dict[str, Any] = {"color": "#222222", "linewidth": 1.4}
    axes.plot(paid.steps, paid.values.sum(0), **line)
    axes.axhline(0, color="#888888", linewidth=0.7)
    axes.set_title("contribution per step")
    steps_axis(axes)
    return [*(Patch(color=colour) for colour in chosen), Line2D([], [], **line)]
