"""From observations to the numbers that a small controller reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from reward_models.errors import UserError

Encode = Callable[[Any], NDArray[np.float64]]
"""Observations of ``n`` columns to inputs, float64 ``[n, I]``."""

_NETHACK = {"glyphs", "blstats"}
_CENTER, _SCALE = np.array([39.5, 10.5]), np.array([10.0, 5.0])
_TURNS = 100.0
_AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
# The glyph of solid rock, the first of NetHack's map symbols; the kinds of wall follow it.
_ROCK, _WALLS = 2359, 12


def is_nethack(space: spaces.Space) -> bool:
    """Return whether observations are those of NetHack, of which a controller reads a summary."""
    return isinstance(space, spaces.Dict) and set(space.spaces) >= _NETHACK


def controller_inputs(space: spaces.Space) -> tuple[int, Encode]:
    """Return how many inputs a controller has and the function that computes them.

    =========================  ====================================================================
    space                      inputs
    =========================  ====================================================================
    Box                        its entries, flattened, as they are
    Discrete                   one per value, 1 for the present one and 0 for the others
    Dict of NetHack            11: place of the hero ``((x - 39.5) / 10, (y - 10.5) / 5)``, so that
                               the middle of the map, where small levels lie, is 0; whether each of
                               the 8 squares around it is neither rock nor wall (0 or 1), row by
                               row; game turns / 100
    other Dict                 those of its entries, in the order of their names
    =========================  ====================================================================

    Args:
        space: of one column's observations.

    Raises:
        UserError: pictures, or a space that is none of these.
    """
    if is_nethack(space):
        return 2 + len(_AROUND) + 1, _nethack
    if isinstance(space, spaces.Dict):
        parts = {name: controller_inputs(part) for name, part in sorted(space.spaces.items())}

        def encode(observation: Any) -> NDArray[np.float64]:
            rows = [part(observation[name]) for name, (_, part) in parts.items()]
            return np.concatenate(rows, axis=1)

        return sum(size for size, _ in parts.values()), encode
    if isinstance(space, spaces.Box) and space.dtype != np.uint8:
        return int(np.prod(space.shape)), _flat
    if isinstance(space, spaces.Discrete):
        count, start = int(space.n), int(space.start)
        return count, lambda values: np.eye(count)[np.asarray(values).reshape(-1) - start]
    what = "pictures" if isinstance(space, spaces.Box) else type(space).__name__
    raise UserError(
        f"A controller reads vectors, not {what}. Search the parameters of a policy instead "
        "(genome.kind=policy), or give the environment another observation."
    )


def _flat(observation: Any) -> NDArray[np.float64]:
    rows = np.asarray(observation)
    return rows.reshape(len(rows), -1).astype(np.float64)


def _nethack(observation: Any) -> NDArray[np.float64]:
    status, glyphs = observation["blstats"], observation["glyphs"]
    place = np.asarray(status[:, :2], dtype=np.int64)
    padded = np.pad(glyphs, ((0, 0), (1, 1), (1, 1)), constant_values=_ROCK)
    rows = np.arange(len(place))
    around = np.stack(
        [padded[rows, place[:, 1] + 1 + dy, place[:, 0] + 1 + dx] for dy, dx in _AROUND], axis=1
    )
    free = (around < _ROCK) | (around >= _ROCK + _WALLS)
    turn = np.asarray(status[:, 20:21], dtype=np.float64) / _TURNS
    return np.concatenate([(place - _CENTER) / _SCALE, free.astype(np.float64), turn], axis=1)
