"""The distances between rewards as a table and as a picture."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from ctrl.comparing import RewardComparison
from reward_models.errors import UserError

_WIDEST_NAME = 28
_DARK = 0.55  # of the colour scale, above which black letters stop being readable


def comparison_table(result: RewardComparison) -> str:
    """Return the distances as aligned text, with standard errors and the noise floor."""
    names = [f"{number} {name}" for number, name in enumerate(result.names, start=1)]
    headings = [result.metric, *(str(number) for number in range(1, len(names) + 1))]
    rows = []
    for row, name in enumerate(names):
        cells = []
        for column in range(len(names)):
            text = f"{result.distance[row, column]:.3f}"
            if result.error is not None and row != column:
                text += f" ±{result.error[row, column]:.3f}"
            cells.append(text)
        rows.append([name, *cells])
    if result.floor is not None:
        headings.append("floor")
        for cells, floor in zip(rows, result.floor, strict=True):
            cells.append(f"{floor:.3f}")
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [headings, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def plot_comparison(result: RewardComparison, path: str | Path) -> Path:
    """Draw a heat map with the numbers in it, and the noise floor on the diagonal.

    The same comparison gives the same file, byte by byte.

    Args:
        result: what `ctrl.comparing.compare_rewards` returned.
        path: the PNG.

    Raises:
        UserError: the PNG cannot be written.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    target, count = Path(path), len(result.names)
    with matplotlib.style.context(["default", {"font.size": 9.5, "axes.titlelocation": "left"}]):
        side = 1.8 + 0.85 * count
        figure = Figure(figsize=(side + 1.6, side), dpi=130, layout="constrained")
        axes = figure.add_subplot()
        most = 1.0 if result.metric.endswith("pearson") else max(2.0, float(result.distance.max()))
        image = axes.imshow(result.distance, cmap="viridis_r", vmin=0.0, vmax=most)
        names = [_cut(name) for name in result.names]
        axes.set_xticks(range(count), names, rotation=35, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(count), names)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for row, column in np.ndindex(count, count):
            value = float(result.distance[row, column])
            axes.text(
                column, row, _label(result, row, column), ha="center", va="center", fontsize=8.5,
                color="white" if value > _DARK * most else "black",
            )  # fmt: skip
        figure.colorbar(image, ax=axes, label=f"distance {result.metric}", shrink=0.8)
        figure.suptitle(_title(result), x=0.01, ha="left", fontsize=10)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            writing = target.with_name(f".{target.name}.writing")
            # Without the version of matplotlib, which would be the file's only foreign content.
            figure.savefig(writing, format="png", metadata={"Software": None})
            os.replace(writing, target)
        except OSError as error:
            raise UserError(f"Cannot write the picture {target}: {error}.") from error
    return target


def _label(result: RewardComparison, row: int, column: int) -> str:
    if row == column:
        return "0" if result.floor is None else f"floor\n{result.floor[row]:.3f}"
    value = f"{result.distance[row, column]:.3f}"
    return value if result.error is None else f"{value}\n±{result.error[row, column]:.3f}"


def _title(result: RewardComparison) -> str:
    where = f"{result.settings['env']}, gamma {result.settings['gamma']:g}"
    if result.exact:
        return f"{where}; exact"
    return f"{where}; {result.settings['states']} states\nof a random policy, ± standard error"


def _cut(text: str) -> str:
    """Return a name that fits: files without their folders, and the end of what is too long."""
    text = re.sub(r"[^\s+=:]*/", "", text)
    return text if len(text) <= _WIDEST_NAME else f"...{text[3 - _WIDEST_NAME :]}"
