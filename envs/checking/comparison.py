"""Comparing, copying and walking through what environments return."""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np


def difference(first: Any, second: Any, path: str = "") -> str | None:
    """Describe where two values differ first, or return None when they are equal to the last bit.

    Args:
        first: numbers, arrays, strings, None, and dicts, lists and tuples of those.
        second: the same.
        path: where they are, for the description.
    """
    at = f"{path}: " if path else ""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        if set(first) != set(second):
            return f"{at}the names differ: {sorted(set(map(str, first)) ^ set(map(str, second)))}"
        inner = ((first[key], second[key], f"{path}[{key!r}]") for key in first)
        return next(filter(None, (difference(*values) for values in inner)), None)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        if len(first) != len(second):
            return f"{at}length {len(first)} against {len(second)}"
        inner = ((a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(first, second, strict=True)))
        return next(filter(None, (difference(*values) for values in inner)), None)
    if isinstance(first, np.ndarray | np.generic) or isinstance(second, np.ndarray | np.generic):
        one, other = np.asarray(first), np.asarray(second)
        if one.shape != other.shape:
            return f"{at}shape {one.shape} against {other.shape}"
        unequal = one != other
        if one.dtype.kind == "f" and other.dtype.kind == "f":
            unequal &= ~(np.isnan(one) & np.isnan(other))
        if not np.any(unequal):
            return None
        where = tuple(int(i) for i in np.argwhere(unequal)[0])
        return f"{at or ''}{one[where]} against {other[where]}" + (
            f" at {list(where)}" if where else ""
        )
    both_nan = isinstance(first, float) and isinstance(second, float) and first != first  # noqa: PLR0124
    if first == second or (both_nan and second != second):  # noqa: PLR0124
        return None
    return f"{at}{_short(first)} against {_short(second)}"


def kept(value: Any) -> Any:
    """Return a copy that later steps of the environment cannot change."""
    return copy.deepcopy(value)


def arrays_in(value: Any, path: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every array in nested dicts and tuples, with where it is."""
    if isinstance(value, np.ndarray):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from arrays_in(inner, f"{path}[{key!r}]")
    elif isinstance(value, tuple | list):
        for index, inner in enumerate(value):
            yield from arrays_in(inner, f"{path}[{index}]")


def flat(value: Any) -> np.ndarray:
    """Return all numbers in a value as one float64 vector."""
    parts = [
        array.astype(np.float64, copy=False).ravel()
        for _, array in arrays_in(_numbers(value), "")
        if array.dtype.kind in "biuf"
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def _numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _numbers(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_numbers(inner) for inner in value]
    return np.asarray(value)


def global_generators() -> dict[str, Any]:
    """Return the states of the global random generators: numpy's, python's, torch's if loaded."""
    state: Any = np.random.get_state()  # noqa: NPY002
    found: dict[str, Any] = {
        "numpy": np.append(state[1], state[2:4]),
        "python": np.array(random.getstate()[1]),
    }
    if (torch := sys.modules.get("torch")) is not None:
        found["torch"] = torch.get_rng_state().numpy().copy()
    return found


@contextmanager
def preserved_generators() -> Iterator[None]:
    """Put the global random generators back as they were."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    torch: Any = sys.modules.get("torch")
    torch_state = None if torch is None else torch.get_rng_state()
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
        if torch is not None:
            torch.set_rng_state(torch_state)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
