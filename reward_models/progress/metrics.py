"""How well a progress tells the order of time, and whether it is complete at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from reward_models.errors import UserError


def value_order_correlation(progress: Sequence[float] | np.ndarray) -> float:
    """Return the rank correlation of time and progress along one demonstration (VOC).

    Args:
        progress: predicted progress at each time, ``[L]``, L at least 2.

    Returns:
        Spearman's coefficient in [-1, 1]; 1 for progress that only rises, -1 for one that only
        falls, and 0 where it is the same all the time, which orders nothing.

    Raises:
        UserError: fewer than two values, or one that is not finite.
    """
    values = np.asarray(progress, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise UserError(
            f"progress must be at least 2 finite numbers [L], got {values.shape}: {values[:5]}."
        )
    if (values == values[0]).all():
        return 0.0
    return float(spearmanr(np.arange(len(values)), values).statistic)


def completed(progress: Sequence[float] | np.ndarray, threshold: float = 0.95) -> bool:
    """Return whether the progress ends at ``threshold`` or above."""
    return bool(np.asarray(progress)[-1] >= threshold)
