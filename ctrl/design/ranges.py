"""How large the numbers are that a program may read, measured while a random policy acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from reward_models.rollout import Rollout

_DIGITS = 4


@dataclass(frozen=True)
class Range:
    """A quantity in sampled steps; of all its entries where it is a vector.

    Attributes:
        low: smallest value.
        high: largest value.
        step: mean absolute change in a step in which it changed; 0 where it never did.
        changes: share of the steps in which it changed.
        is_flag: all values were 0 or 1.
    """

    low: float
    high: float
    step: float
    changes: float
    is_flag: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def measure(rollout: Rollout, values: Mapping[str, np.ndarray]) -> dict[str, Range]:
    """Measure quantities over the steps of a rollout.

    Args:
        rollout: the steps; changes over the end of an episode are no changes.
        values: numbers after every step, ``[T, B, ...]`` by name; empty arrays are left out.
    """
    follows = (~rollout.done[:-1]).numpy()
    found = {}
    for name, rows in values.items():
        numbers = np.asarray(rows, dtype=np.float64).reshape(rollout.T, rollout.B, -1)
        if not numbers.size:
            continue
        change = np.abs(np.diff(numbers, axis=0))[follows]
        moved = change[change > 0]
        found[name] = Range(
            low=_rounded(numbers.min()),
            high=_rounded(numbers.max()),
            step=_rounded(moved.mean()) if moved.size else 0.0,
            changes=_rounded((change > 0).any(axis=-1).mean()) if change.size else 0.0,
            is_flag=bool(np.isin(numbers, (0.0, 1.0)).all()),
        )
    return found


def _rounded(value: Any) -> float:
    return float(f"{float(value):.{_DIGITS}g}")
