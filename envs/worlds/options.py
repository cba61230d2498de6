"""Checks of the numbers that users hand to a world, with errors that say what was expected."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def positive(name: str, value: float) -> float:
    """Return a number that is finite and above 0.

    Raises:
        ValueError: it is not.
    """
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"Expected a positive number for {name}, got {value}.")
    return value


def not_negative(name: str, value: float) -> float:
    """Return a number that is finite and not below 0.

    Raises:
        ValueError: it is not.
    """
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"Expected 0 or a positive number for {name}, got {value}.")
    return value


def choice(name: str, value: str, valid: Iterable[str]) -> str:
    """Return one of the valid words.

    Raises:
        ValueError: another word; the message has the nearest valid one.
    """
    words = list(valid)
    if value not in words:
        nearest = difflib.get_close_matches(value, words, n=1, cutoff=0.5)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise ValueError(f"Expected one of {words} for {name}, got {value!r}.{hint}")
    return value


def table(name: str, rows: Sequence[Sequence[Any]] | np.ndarray, width: int) -> np.ndarray:
    """Return rows of ``width`` finite numbers as float64 ``[n, width]``; n may be 0.

    Raises:
        ValueError: rows of another length, or numbers that are not finite.
    """
    try:
        values = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.full(1, np.nan)
    if values.size == 0:
        values = values.reshape(0, width)
    if values.ndim != 2 or values.shape[1] != width or not np.isfinite(values).all():
        raise ValueError(f"Expected rows of {width} finite numbers for {name}, got {rows}.")
    return values
