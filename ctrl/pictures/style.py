"""What all pictures share: colours, axes of environment steps, and writing them to a file."""

from __future__ import annotations

import base64
import contextlib
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from reward_models.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TASK_COLOUR = "#CCCCCC"
# Paul Tol's light scheme: areas side by side are told apart with any colour vision.
TERM_COLOURS = ("#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#99DDFF", "#44BB99", "#BBCC33")
STYLE = {
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "legend.frameon": False,
    "axes.formatter.useoffset": False,
    # Names of terms and paths may hold dollar signs.
    "text.parse_math": False,
}


@contextlib.contextmanager
def own_style() -> Iterator[None]:
    """Draw with our settings; the user's own stay out of the picture, and ours out of theirs."""
    import matplotlib.style

    # Names in SVG files would otherwise be drawn at random.
    with matplotlib.style.context(["default", {**STYLE, "svg.hashsalt": "ctrl"}]):
        yield


def term_colours(names: Iterable[str]) -> dict[str, str]:
    """Return a colour per reward term, the same for the same set of names; the task is grey."""
    present = list(dict.fromkeys(names))
    others = sorted(name for name in present if name != "task")
    colours = {name: TERM_COLOURS[k % len(TERM_COLOURS)] for k, name in enumerate(others)}
    return {"task": TASK_COLOUR, **colours} if "task" in present else colours


def cut(text: str, width: int) -> str:
    """Return the text, its end replaced by dots where it is longer than ``width``."""
    return text if len(text) <= width else text[: width - 3] + "..."


def steps_axis(axes: Axes, *, label: bool = True) -> None:
    """Write environment steps along the x axis as 10k, 1M."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlim(left=0)
    if label:
        axes.set_xlabel("environment steps")


def save_png(figure: Figure, path: str | Path) -> Path:
    """Write a PNG that appears complete or not at all.

    The same figure gives the same file, byte by byte.

    Raises:
        UserError: another file type, or the file cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        name = target.with_suffix(".png")
        raise UserError(f"Pictures are PNG files; name {name} instead of {target}.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        writing = target.with_name(f".{target.name}.writing")
        # Without the version of matplotlib, which would be the file's only foreign content.
        figure.savefig(writing, format="png", metadata={"Software": None})
        os.replace(writing, target)
    except OSError as error:
        raise UserError(f"Cannot write the picture {target}: {error}.") from error
    return target


def data_uri(figure: Figure, kind: str = "svg") -> str:
    """Return a figure as an address that holds the picture itself.

    Args:
        figure: drawn inside `own_style`.
        kind: ``svg``, sharp at every size, or ``png``, smaller for pictures of many cells.
    """
    stream = io.BytesIO()
    with own_style():
        if kind == "svg":
            figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
        else:
            figure.savefig(stream, format="png", metadata={"Software": None})
    media = "image/svg+xml" if kind == "svg" else "image/png"
    return f"data:{media};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
