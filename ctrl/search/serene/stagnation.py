"""Stagnation: when an emitter has nothing left to find."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ENDS = 20
"""Generations at either end of the window that are compared."""


def stagnation_window_size(genome_size: int, emitter_population: int) -> int:
    """Return ``L = int(20 D / M_e + 120)`` generations (as CMA-ES does, Hansen 2016)."""
    return int(20 * genome_size / emitter_population + 120)


def has_stagnated(records: Sequence[NDArray[np.float64]], window: int) -> bool:
    """Return whether the last ``window`` generations brought no progress.

    True when the rewards of all members of the window's first 20 generations have a median, or a
    maximum, that is no smaller than that of its last 20. False until more than ``window``
    generations are recorded.

    Args:
        records: the rewards of all members, generation by generation.
        window: generations that are looked at, ``L``.
    """
    if len(records) <= window:
        return False
    recent = np.asarray(records[-window:])
    first, last = recent[:ENDS], recent[-ENDS:]
    return bool(np.median(first) >= np.median(last) or first.max() >= last.max())
