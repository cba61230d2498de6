"""Improvement: by how much an emitter's rewards have risen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COMPARED = 3
"""Generations over which rewards are averaged at either end."""


def first_mean(records: Sequence[NDArray[np.float64]]) -> float:
    """Return the mean reward of the first three recorded generations, each ``[M_e]``."""
    return float(np.mean(records[:COMPARED]))


def last_mean(records: Sequence[NDArray[np.float64]]) -> float:
    """Return the mean reward of the last three recorded generations, each ``[M_e]``."""
    return float(np.mean(records[-COMPARED:]))


def improvement(records: Sequence[NDArray[np.float64]], reference: float | None = None) -> float:
    """Return ``I = max(0, mean of the last three generations - reference)``.

    Args:
        records: the rewards of all members, generation by generation; at least one.
        reference: what the last generations are compared with; the mean of the first three when
            None.
    """
    return max(0.0, last_mean(records) - (first_mean(records) if reference is None else reference))
