"""From one ``info`` per environment to one array per quantity."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

# What a vector environment itself puts into infos, as opposed to quantities of the simulator.
BOOKKEEPING = frozenset({"terminal_observation", "TimeLimit.truncated", "episode"})


def info_columns(
    infos: Sequence[dict[str, Any]], names: Collection[str] | None = None
) -> dict[str, np.ndarray]:
    """Return the simulator's quantities of one step by name, each ``[B, ...]``.

    Args:
        infos: of B environments; what is not a number or a numeric array of one shape in all of
            them, and what is in `BOOKKEEPING`, is left out.
        names: only these, as far as they are there; None for all. Stacking some fifty quantities
            that nobody asked for costs more than a step of a fast simulator.
    """
    return {
        key: np.array(values)
        for key in (infos[0] if names is None else [key for key in names if key in infos[0]])
        if key not in BOOKKEEPING and all(key in info for info in infos)
        if _stackable(values := [info[key] for info in infos])
    }


def _stackable(values: list[Any]) -> bool:
    """Return whether the values are numbers, or numeric arrays of one shape."""
    if not all(
        isinstance(value, (bool, int, float, np.number, np.bool_, np.ndarray)) for value in values
    ):
        return False
    arrays = [np.asarray(value) for value in values]
    return all(array.shape == arrays[0].shape and array.dtype.kind in "biuf" for array in arrays)
