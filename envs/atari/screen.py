"""From the Atari screen to the picture that agents see: 84 x 84 gray pixels."""

from __future__ import annotations

from typing import final

import numpy as np

SIDE = 84
"""Height and width of the picture, pixels."""


@final
class Shrink:
    """Reduces a gray screen to 84 x 84 by the area that each pixel covers.

    Rows and columns are reduced one after the other, each as one product with a small matrix that
    repeats along the screen (2 rows are made from 5, and 21 columns from 40, on the usual screen of
    210 x 160). It is what OpenCV's ``INTER_AREA`` computes: where the exact mean lies halfway
    between two grays, one of them may come out one higher or lower.

    Args:
        height: of the screen, pixels.
        width: of the screen, pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        self._rows = _area_weights(height, SIDE)
        self._columns = np.ascontiguousarray(_area_weights(width, SIDE).T)
        self._width = width

    def __call__(self, screen: np.ndarray) -> np.ndarray:
        """Return the picture, uint8 ``[84, 84]``.

        Args:
            screen: uint8 ``[height, width]``.
        """
        strips = screen.reshape(-1, self._rows.shape[1], self._width)
        blocks = (self._rows @ strips).reshape(-1, self._columns.shape[0])
        return np.rint(blocks @ self._columns).astype(np.uint8).reshape(SIDE, SIDE)


def _area_weights(size: int, reduced: int) -> np.ndarray:
    """Return how much of each old pixel is in each new one, for one period of the pattern.

    Returns:
        float32 ``[reduced / p, size / p]`` with ``p`` the greatest common divisor; rows sum to 1.
    """
    period = int(np.gcd(size, reduced))
    old, new = size // period, reduced // period
    edges = np.arange(new + 1) * (old / new)
    low, high = edges[:-1, None], edges[1:, None]
    pixels = np.arange(old)
    covered = np.minimum(high, pixels + 1) - np.maximum(low, pixels)
    return (np.maximum(covered, 0.0) * (new / old)).astype(np.float32)
