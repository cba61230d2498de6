"""Noise on the whole picture that goes on where it was, and that the agent's actions drive."""

from __future__ import annotations

from typing import Any, final

import numpy as np

KINDS = ("none", "persistent")
"""Names of the kinds of noise."""

_VALUES = 50
_SMALL, _LARGE = 1, 11


@final
class PersistentNoise:
    """One number added to every pixel, which walks at random through 0 to 49.

    After an even action it moves by 1, after an odd one by 11, up or down with equal probability
    and modulo 50: ``n' = (n + s * (1 or 11)) mod 50``. What comes next is half known from what is
    seen, so that the noise can neither be learned away nor ignored. This is the "persistent noise"
    of Jarrett et al. ("Curiosity in Hindsight", ICML 2023, experiments on Montezuma's Revenge) as
    far as its text defines it: that all pixels share one number, that every episode draws its first
    number uniformly, and that sums above 255 stay at 255 are choices made here.
    """

    def __init__(self) -> None:
        self.value = 0

    def reset(self, draw: float) -> None:
        """Set the first number of an episode.

        Args:
            draw: uniform in [0, 1).
        """
        self.value = int(draw * _VALUES)

    def step(self, action: int, draw: float) -> None:
        """Move by a step.

        Args:
            action: number of the action that was just chosen.
            draw: uniform in [0, 1).
        """
        size = _LARGE if action % 2 else _SMALL
        self.value = (self.value + (size if draw < 0.5 else -size)) % _VALUES

    def add(self, picture: np.ndarray) -> np.ndarray:
        """Return the picture with the noise, uint8, at most 255."""
        ceiling = np.uint8(255 - self.value)
        return np.minimum(picture, ceiling) + np.uint8(self.value)

    def snapshot(self) -> dict[str, Any]:
        """Return the number."""
        return {"value": self.value}

    def restore(self, tree: dict[str, Any]) -> None:
        """Go on with the number that `snapshot` returned."""
        self.value = int(tree["value"])
