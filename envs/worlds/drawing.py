"""Pictures of flat worlds, drawn for a whole batch at once."""

from __future__ import annotations

from typing import final

import numpy as np

Color = tuple[int, int, int]

WHITE: Color = (255, 255, 255)
BLACK: Color = (30, 30, 30)
LIGHT: Color = (225, 225, 225)
GRAY: Color = (150, 150, 150)
RED: Color = (214, 39, 40)
GREEN: Color = (44, 160, 44)
BLUE: Color = (31, 119, 180)
ORANGE: Color = (255, 127, 14)


@final
class Canvas:
    """Square pictures of a square part of the plane; x points right and y up.

    Shapes have soft edges of one pixel, so that a picture changes with every small movement. What
    lies outside of the picture is cut off.

    Args:
        columns: pictures, B.
        size: pixels of a side.
        center: world coordinates of the middle.
        half: world units from the middle to an edge.
        background: a colour, or a picture ``[size, size, 3]`` to start from.

    Attributes:
        pixels: uint8 ``[B, size, size, 3]``.
    """

    def __init__(
        self,
        columns: int,
        size: int,
        center: tuple[float, float] = (0.0, 0.0),
        half: float = 1.0,
        background: Color | np.ndarray = WHITE,
    ) -> None:
        # One picture first: copying whole pictures is ten times faster than filling with a colour.
        blank = np.empty((size, size, 3), dtype=np.uint8)
        blank[...] = background
        self.pixels = np.empty((columns, size, size, 3), dtype=np.uint8)
        self.pixels[...] = blank
        self._size, self._scale = size, size / (2.0 * half)
        self._left, self._top = center[0] - half, center[1] + half

    def disc(self, x: np.ndarray, y: np.ndarray, radius: float, color: Color) -> None:
        """Draw one disc per picture.

        Args:
            x: of the centres, world units, ``[B]``.
            y: of the centres, ``[B]``.
            radius: world units; at least half a pixel is drawn.
            color: red, green and blue, 0 to 255.
        """
        reach = max(radius * self._scale, 0.5)
        column, row = (x - self._left) * self._scale, (self._top - y) * self._scale
        offset = np.arange(-int(reach) - 2, int(reach) + 3)
        columns = np.floor(column).astype(np.int64)[:, None] + offset
        rows = np.floor(row).astype(np.int64)[:, None] + offset
        dx, dy = columns + 0.5 - column[:, None], rows + 0.5 - row[:, None]
        distance = np.sqrt(dx[:, None, :] ** 2 + dy[:, :, None] ** 2)
        alpha = np.clip(reach + 0.5 - distance, 0.0, 1.0)
        alpha *= ((rows >= 0) & (rows < self._size))[:, :, None]
        alpha *= ((columns >= 0) & (columns < self._size))[:, None, :]
        picture, down, right = np.nonzero(alpha)
        self._blend(
            (picture, rows[picture, down], columns[picture, right]),
            alpha[picture, down, right],
            color,
        )

    def line(
        self,
        x: np.ndarray,
        y: np.ndarray,
        to_x: np.ndarray,
        to_y: np.ndarray,
        *,
        width: float,
        color: Color,
    ) -> None:
        """Draw one line with round ends per picture.

        Args:
            x: where the lines begin, world units, ``[B]``.
            y: likewise.
            to_x: where they end, ``[B]``.
            to_y: likewise.
            width: world units.
            color: red, green and blue, 0 to 255.
        """
        longest = float(np.max(np.hypot(to_x - x, to_y - y), initial=0.0))
        spacing = max(width / 4.0, 0.5 / self._scale)
        for part in np.linspace(0.0, 1.0, 2 + int(longest / spacing)):
            self.disc(x + part * (to_x - x), y + part * (to_y - y), width / 2.0, color)

    def bar(
        self, x: np.ndarray, width: float, low: float, high: float, color: Color | np.ndarray
    ) -> None:
        """Draw one upright bar per picture, between heights cut to whole pixels.

        Args:
            x: of the middles, world units, ``[B]``.
            width: world units.
            low: world units.
            high: world units.
            color: red, green and blue, 0 to 255; or one colour per picture, ``[B, 3]``.
        """
        column = (x - self._left) * self._scale
        distance = np.abs(np.arange(self._size) + 0.5 - column[:, None])
        alpha = np.clip(width * self._scale / 2.0 + 0.5 - distance, 0.0, 1.0)[:, None, :, None]
        top, bottom = (round((self._top - y) * self._scale) for y in (high, low))
        part = self.pixels[:, max(top, 0) : max(bottom, 0)]
        colors = np.broadcast_to(np.asarray(color, dtype=np.float64), (len(x), 3))
        part[...] = np.rint((1.0 - alpha) * part + alpha * colors[:, None, None])

    def box(self, low: tuple[float, float], high: tuple[float, float], color: Color) -> None:
        """Fill the same rectangle of every picture, cut to whole pixels."""
        left, right = (round((x - self._left) * self._scale) for x in (low[0], high[0]))
        top, bottom = (round((self._top - y) * self._scale) for y in (high[1], low[1]))
        self.pixels[:, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = color

    def _blend(self, where: tuple[np.ndarray, ...], alpha: np.ndarray, color: Color) -> None:
        share = alpha[:, None]
        mixed = (1.0 - share) * self.pixels[where] + share * np.asarray(color, dtype=np.float64)
        self.pixels[where] = np.rint(mixed).astype(np.uint8)
