"""Heat maps of rewards: red pays, blue costs, white is zero."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from ctrl.heatmap import HeatMap
from ctrl.heatmap_sources import HeatMaps
from ctrl.pictures.style import cut, own_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 3
_UNDEFINED = "#B9B9B9"


def draw_heat_maps(found: HeatMaps, *, titled: bool = True) -> Figure:
    """Draw a panel per map, each with its own colour bar, and the recorded steps as dots.

    The colours of a panel reach equally far on both sides of zero; grey is where a reward has
    nothing to say.

    Args:
        found: at least one map.
        titled: write above what is drawn, and what all else is held at.
    """
    from matplotlib.figure import Figure

    count = len(found.maps)
    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    with own_style():
        figure = Figure(
            figsize=(0.4 + 4.3 * columns, 0.7 + 3.5 * rows), dpi=130, layout="constrained"
        )
        for k, one in enumerate(found.maps):
            _panel(figure, figure.add_subplot(rows, columns, k + 1), one)
        if titled:
            lines = textwrap.wrap(found.caption, 4 + 50 * columns)
            figure.suptitle("\n".join(lines), x=0.005, ha="left", fontsize=10)
    return figure


def _panel(figure: Figure, axes: Any, one: HeatMap) -> None:
    from matplotlib.ticker import MaxNLocator

    finite = np.abs(one.values[np.isfinite(one.values)])
    most = float(finite.max()) if len(finite) and finite.max() > 0 else 1.0
    axes.grid(False)
    axes.set_facecolor(_UNDEFINED)
    image = axes.pcolormesh(
        one.x, one.y, one.values, cmap="RdBu_r", vmin=-most, vmax=most, shading="nearest",
        rasterized=True,
    )  # fmt: skip
    limits = axes.get_xlim(), axes.get_ylim()
    axes.plot(
        one.visited[:, 0], one.visited[:, 1], ".", color="black", markersize=3.5, alpha=0.5,
        markeredgewidth=0,
    )  # fmt: skip
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])
    axes.set_title(cut(re.sub(r"[^\s+=:]*/", "", one.name), 40))
    for side, whole in zip((axes.xaxis, axes.yaxis), one.whole, strict=True):
        side.set_major_locator(MaxNLocator(6 if whole else 4, integer=whole))
    axes.set_xlabel(one.x_name)
    axes.set_ylabel(one.y_name)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, shrink=0.9)
