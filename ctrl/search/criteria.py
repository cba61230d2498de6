"""Criteria of selection: which individuals of a generation live on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ctrl.search.pareto import front_numbers

CRITERIA = {
    "novelty": "the most novel",
    "surprise": "those that the learned descriptor represents worst",
    "random": "novelty or surprise, drawn anew in every generation (TAXONS)",
    "pareto": "the first fronts of novelty and surprise, the last one cut at random (STAX-P)",
}


def drawn_criterion(criterion: str, random: np.random.Generator) -> str:
    """Return the criterion of this generation: ``random`` becomes one of its two."""
    if criterion != "random":
        return criterion
    return "novelty" if random.random() < 0.5 else "surprise"


def ranking(
    criterion: str,
    novelty: NDArray[np.float64],
    surprise: NDArray[np.float64],
    random: np.random.Generator,
) -> NDArray[np.int64]:
    """Return the rows from best to worst.

    Args:
        criterion: ``novelty``, ``surprise`` or ``pareto``. Of equals by the first two, the one that
            comes first is the better; ``pareto`` orders a front at random.
        novelty: ``[n]``.
        surprise: ``[n]``.
        random: drawn from by ``pareto`` only.
    """
    if criterion == "pareto":
        fronts = front_numbers(np.stack([novelty, surprise], axis=-1))
        return np.lexsort((random.random(len(fronts)), fronts))
    return np.argsort(-(novelty if criterion == "novelty" else surprise), kind="stable")
