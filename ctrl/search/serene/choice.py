"""Choice: which emitter is run next."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ctrl.search.pareto import first_front
from reward_models.novelty.nearest import novelty


def chosen_emitter(
    ancestors: NDArray[np.float64],
    improvements: NDArray[np.float64],
    rewarded: NDArray[np.float64],
    k: int,
    random: np.random.Generator,
) -> int:
    """Return a uniformly drawn member of the first Pareto front of novelty and improvement.

    Args:
        ancestors: descriptors ``[n, b]`` of the emitters' ancestors.
        improvements: ``[n]``.
        rewarded: descriptors ``[m, b]`` of the reward archive; while it is empty, the emitter with
            the largest improvement is returned.
        k: neighbours that count.
        random: drawn from.
    """
    if not len(rewarded):
        return int(improvements.argmax())
    values = np.stack([novelty(ancestors, rewarded, k), improvements], axis=-1)
    return int(random.choice(first_front(values)))
