"""A text screen as a picture: characters with the colours of its escape codes."""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

# xterm's sixteen colours, the dark blue lightened so that it can be read on black.
_COLOURS = (
    (0, 0, 0), (205, 49, 49), (13, 188, 121), (229, 170, 16), (66, 114, 236), (188, 63, 188),
    (17, 168, 205), (204, 204, 204), (118, 118, 118), (241, 76, 76), (35, 209, 139),
    (245, 245, 67), (99, 148, 255), (214, 112, 214), (41, 184, 219), (255, 255, 255),
)  # fmt: skip
_GREY, _BRIGHT = 7, 8
_BACKGROUND = (16, 16, 20)
_CODE = re.compile(r"\x1b\[([0-9;]*)m")
_OTHER_CODE = re.compile(r"\x1b\[[0-9;?]*[A-Za-ln-z]|[\x00-\x09\x0b-\x1a\x1c-\x1f]")
_MARGIN = 6


def draw_terminal(text: str, *, size: int = 14) -> NDArray[np.uint8]:
    """Draw a text screen in a fixed-width font.

    Escape codes of the form ``ESC [ ... m`` set bold (bright) and the eight plus eight colours of
    characters and background, 4 underlines, and 0 sets all back; others are left out.

    Args:
        text: the lines of the screen, for example what an environment renders as ``"ansi"``.
        size: of the font in pixels.

    Returns:
        uint8 ``[H, W, 3]`` with even H and W, as videos need them; equal for screens with as many
        lines and columns.
    """
    from PIL import Image, ImageDraw

    font, wide, high = _font(size)
    rows = [_cells(line) for line in _OTHER_CODE.sub("", text).split("\n")]
    columns = max(1, *(len(row) for row in rows))
    width, height = columns * wide + 2 * _MARGIN, len(rows) * high + 2 * _MARGIN
    image = Image.new("RGB", (width + width % 2, height + height % 2), _BACKGROUND)
    pen = ImageDraw.Draw(image)
    for y, row in enumerate(rows):
        for x, (character, front, back, underlined) in enumerate(row):
            place = (_MARGIN + x * wide, _MARGIN + y * high)
            corner = (place[0] + wide - 1, place[1] + high - 1)
            if back is not None:
                pen.rectangle((*place, *corner), fill=_COLOURS[back])
            if character != " ":
                # Black on black is how terminals write what is not to be seen; it is grey there.
                colour = _COLOURS[front or (_BRIGHT if back is None else 0)]
                pen.text(place, character, font=font, fill=colour)
            if underlined:
                pen.line((place[0], corner[1], corner[0], corner[1]), fill=_COLOURS[15])
    return np.asarray(image, dtype=np.uint8)


@functools.lru_cache(maxsize=8)
def _font(size: int) -> tuple[Any, int, int]:
    """Return the font with the width and height of its cell; it comes with matplotlib."""
    import matplotlib
    from PIL import ImageFont

    place = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSansMono.ttf"
    font = ImageFont.truetype(place, size)
    ascent, descent = font.getmetrics()
    return font, round(font.getlength("M")), ascent + descent


def _cells(line: str) -> list[tuple[str, int, int | None, bool]]:
    """Return character, colour, background and underline of each cell of a line."""
    found: list[tuple[str, int, int | None, bool]] = []
    back: int | None = None
    front, bright, underlined = _GREY, False, False
    start = 0
    for code in [*_CODE.finditer(line), None]:
        stop = len(line) if code is None else code.start()
        shown = front + _BRIGHT if bright and front < _BRIGHT else front
        found += [(character, shown, back, underlined) for character in line[start:stop]]
        if code is None:
            break
        start = code.end()
        for number in (int(part or 0) for part in code[1].split(";")):
            if number == 0:
                front, back, bright, underlined = _GREY, None, False, False
            elif number in (1, 22):
                bright = number == 1
            elif number in (4, 24):
                underlined = number == 4
            elif number in range(30, 38):
                front = number - 30
            elif number in range(90, 98):
                front = number - 90 + _BRIGHT
            elif number == 39:
                front = _GREY
            elif number in range(40, 48):
                back = number - 40
            elif number in range(100, 108):
                back = number - 100 + _BRIGHT
            elif number == 49:
                back = None
    return found
