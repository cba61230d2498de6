"""One episode as a picture: what every term paid at every step, and what it came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ctrl.pictures.style import cut, own_style, term_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_BARS = 80
_INK = "#222222"


def contribution_table(
    rows: Sequence[Mapping[str, Any]],
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the terms and what each contributed at each step, ``[T, K]``.

    Args:
        rows: see `ctrl.tables.ledger_rows`.
    """
    terms = tuple(dict.fromkeys(str(row["term"]) for row in rows))
    paid = np.array([row["contribution"] for row in rows], dtype=np.float64)
    return terms, paid.reshape(-1, len(terms))


def draw_ledger(rows: Sequence[Mapping[str, Any]], *, title: str = "") -> Figure:
    """Draw the contributions of one episode per step, and their cumulative sums.

    Above, gains are stacked upwards from zero and costs downwards, with their sum as a line; below,
    what every term and all together have come to. Episodes of up to 80 steps are drawn as bars.

    Args:
        rows: what `ctrl.tables.ledger_rows` returned; at least one step.
        title: above the picture.
    """
    from matplotlib.figure import Figure

    terms, paid = contribution_table(rows)
    colours = term_colours(terms)
    steps = np.arange(len(paid))
    with own_style():
        figure = Figure(figsize=(9.2, 5.4), dpi=130, layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        stack_signed(above, steps, paid.T, [colours[term] for term in terms])
        if len(terms) > 1:
            line = {"color": _INK, "linewidth": 1.0, "label": "all terms"}
            drawstyle = "default" if len(steps) > _MOST_BARS else "steps-mid"
            above.plot(steps, paid.sum(1), drawstyle=drawstyle, **line)
        above.set_title("contribution per step")
        sums = np.cumsum(paid, axis=0)
        lonely = {"marker": "o", "markersize": 3} if len(steps) == 1 else {}
        for k, term in enumerate(terms):
            below.plot(steps, sums[:, k], color=_darker(colours[term]), linewidth=1.6, **lonely)
        if len(terms) > 1:
            below.plot(steps, sums.sum(1), color=_INK, linewidth=1.6, **lonely)
        below.axhline(0, color="#888888", linewidth=0.7)
        below.set_title("cumulative")
        below.set_xlabel("step of the episode")
        below.set_xlim(-0.5, len(steps) - 0.5)
        _legend(figure, terms, colours, sums[-1])
        if title:
            figure.suptitle(cut(title, 96), x=0.005, ha="left", fontweight="bold", fontsize=11)
    return figure


def stack_signed(
    axes: Axes, x: NDArray[Any], values: NDArray[np.float64], colours: Sequence[str]
) -> None:
    """Stack gains upwards from zero and costs downwards.

    Args:
        axes: where.
        x: ``[P]``.
        values: ``[K, P]``.
        colours: one per row of ``values``.
    """
    bars = len(x) <= _MOST_BARS
    for side in (np.clip(values, 0, None), np.clip(values, None, 0)):
        if not side.any():
            continue
        if bars:
            bottom = np.zeros(len(x))
            width = 0.8 * float(np.diff(x).min()) if len(x) > 1 else 0.8
            for row, colour in zip(side, colours, strict=True):
                axes.bar(x, row, width, bottom=bottom, color=colour, linewidth=0)
                bottom += row
        else:
            axes.stackplot(x, side, colors=list(colours), linewidth=0)
    axes.axhline(0, color="#888888", linewidth=0.7)


def _legend(
    figure: Figure, terms: Sequence[str], colours: Mapping[str, str], totals: NDArray[np.float64]
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Patch(color=colours[term]) for term in terms]
    labels = [f"{cut(term, 24)}  {total:+.4g}" for term, total in zip(terms, totals, strict=True)]
    if len(terms) > 1:
        handles.append(Line2D([], [], color=_INK, linewidth=1.6))
        labels.append(f"all terms  {totals.sum():+.4g}")
    figure.legend(
        handles, labels, loc="outside right upper", title="term and its total", handlelength=1.0,
        handleheight=1.0, alignment="left",
    )  # fmt: skip


def _darker(colour: str) -> str:
    """Return a light colour of areas as one that a thin line can have."""
    from matplotlib.colors import to_hex, to_rgb

    red, green, blue = to_rgb(colour)
    return to_hex((0.72 * red, 0.72 * green, 0.72 * blue))
