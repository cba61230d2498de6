"""How steep reward, critic and policy became while training, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ctrl.pictures.style import cut, own_style
from ctrl.plot import learning_curves, method_style
from ctrl.run_groups import RunGroup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 11.2, 2.9
_TITLES = {
    "lipschitz/critic": "critic: mean gradient norm",
    "lipschitz/actor": "policy: mean Jacobian norm",
}
_WORDS = ("gradient", "c_validity", "lipschitz")


def steepness_keys(groups: Sequence[RunGroup]) -> list[str]:
    """Return the logged columns about steepness: those of the rewards, of the critic, the policy's.

    Args:
        groups: seeds of the same training each.

    Returns:
        Columns of ``progress.csv`` that at least one run has values for.
    """
    logged = sorted({
        key for group in groups for run in group.runs for key in run.progress
        if len(run.curve(key)[0])
    })  # fmt: skip
    of_rewards = [
        key
        for key in logged
        if key.startswith("reward/") and any(word in key.rsplit("/", 1)[-1] for word in _WORDS)
    ]
    return [*of_rewards, *(key for key in _TITLES if key in logged)]


def draw_lipschitz(groups: Sequence[RunGroup], *, level: float = 0.95) -> Figure | None:
    """Draw the gradient norms of rewards, critic and policy over training.

    Norms are drawn on a logarithmic axis: with and without a penalty they differ by orders of
    magnitude.

    Args:
        groups: on the same environment.
        level: of the intervals.

    Returns:
        None where nothing about steepness was logged; see ``diagnostics.lipschitz``.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    keys = steepness_keys(groups)
    if not keys:
        return None
    styles = {group.method: method_style(k) for k, group in enumerate(groups)}
    columns = min(3, len(keys))
    rows = math.ceil(len(keys) / columns)
    with own_style():
        size = (_WIDTH, _HEIGHT * rows + 0.3 + 0.22 * math.ceil(len(groups) / 2))
        figure = Figure(figsize=size, dpi=130, layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, key in zip(panels, keys, strict=False):
            learning_curves(axes, list(groups), key, styles, level=level)
            axes.set_title(_TITLES.get(key, cut(key.removeprefix("reward/"), 44)))
            if "validity" in key:
                axes.set_ylim(-0.03, 1.03)
            elif all((run.curve(key)[1] > 0).all() for group in groups for run in group.runs):
                axes.set_yscale("log")
        for axes in panels[len(keys) :]:
            axes.set_axis_off()
        handles = [Line2D([], [], **styles[group.method]) for group in groups]
        labels = [f"{cut(group.method, 60)} (n={len(group.runs)})" for group in groups]
        figure.legend(handles, labels, loc="outside lower center", ncols=min(2, len(groups)))
    return figure
