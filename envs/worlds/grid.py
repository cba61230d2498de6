"""Mazes drawn with letters, and moving in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from envs.worlds.tabular import one_hot, scaled

UP, DOWN, LEFT, RIGHT = range(4)
MOVES = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)])
"""Change of (row, column) by the actions up, down, left and right."""

_WALL = np.array([60, 60, 60], dtype=np.uint8)
_FREE = np.array([235, 235, 235], dtype=np.uint8)


@final
class Grid:
    """The free cells of a maze, numbered row by row.

    Args:
        layout: rows of equal length, top first. ``#`` is a wall, ``.`` a free cell; any other
            character is a free cell with that mark.

    Attributes:
        shape: rows and columns.
        cells: int64 ``[S, 2]``: row and column of every free cell.
        index: int64 ``[H, W]``: number of the cell, -1 for walls.
        neighbour: int64 ``[S, 4]``: the cell that a move leads to; a move into a wall or over the
            edge stays.

    Raises:
        ValueError: rows of different lengths, or no free cell.
    """

    def __init__(self, layout: Sequence[str]) -> None:
        self._layout = list(layout)
        if len({len(row) for row in self._layout}) != 1:
            raise ValueError("All rows of a layout must be of the same length.")
        letters = np.array([list(row) for row in self._layout])
        self.shape: tuple[int, ...] = letters.shape
        self.cells = np.argwhere(letters != "#")
        if not len(self.cells):
            raise ValueError("A layout needs a free cell.")
        self.index = np.full(self.shape, -1)
        self.index[tuple(self.cells.T)] = np.arange(len(self.cells))
        self._letters = letters
        self.neighbour = np.stack([self._after(move) for move in MOVES], axis=1)

    def _after(self, move: np.ndarray) -> np.ndarray:
        target = np.clip(self.cells + move, 0, np.array(self.shape) - 1)
        found = self.index[tuple(target.T)]
        return np.where(found < 0, np.arange(len(self.cells)), found)

    @property
    def size(self) -> int:
        """How many free cells there are, S."""
        return len(self.cells)

    def marked(self, mark: str) -> np.ndarray:
        """Return which cells carry a mark, bool ``[S]``."""
        return self._letters[tuple(self.cells.T)] == mark

    def only(self, mark: str) -> int:
        """Return the number of the only cell with a mark.

        Raises:
            ValueError: none or several carry it.
        """
        found = np.flatnonzero(self.marked(mark))
        if found.size != 1:
            raise ValueError(f"Expected one cell marked {mark!r}, found {found.size}.")
        return int(found[0])

    def observations(self) -> dict[str, np.ndarray]:
        """Return the usual ways to see a cell: ``index``, ``one_hot``, ``coordinates``."""
        index = np.arange(self.size)
        return {
            "index": index,
            "one_hot": one_hot(index),
            "coordinates": scaled(self.cells),
        }

    def picture(self, **colours: tuple[int, int, int]) -> np.ndarray:
        """Return a picture with one pixel per cell, uint8 ``[H, W, 3]``.

        Args:
            **colours: red, green and blue of the cells with a mark, by mark.
        """
        image: Any = np.where((self._letters == "#")[:, :, None], _WALL, _FREE)
        for mark, colour in colours.items():
            image[self._letters == mark] = colour
        return image
