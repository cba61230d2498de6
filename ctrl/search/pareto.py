"""Pareto fronts of individuals that are judged by several numbers, all to be maximised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def front_numbers(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the front of every row, 0 for those that nothing dominates.

    Row ``i`` dominates row ``j`` when it is nowhere smaller and somewhere larger; equal rows share
    a front. Front ``f`` is what nothing dominates once the fronts before it are taken away (Deb et
    al. 2002). Takes memory and time of ``n^2 c``.

    Args:
        values: ``[n, c]``, larger is better.

    Returns:
        Int64 ``[n]``.
    """
    above = (values[:, None] >= values[None]).all(-1) & (values[:, None] > values[None]).any(-1)
    numbers = np.zeros(len(values), dtype=np.int64)
    left = np.ones(len(values), dtype=bool)
    front = 0
    while left.any():
        best = left & ~above[left].any(0)
        numbers[best] = front
        left &= ~best
        front += 1
    return numbers


def first_front(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rows of ``[n, c]`` that nothing dominates, ascending; none of none."""
    return np.flatnonzero(front_numbers(values) == 0)
