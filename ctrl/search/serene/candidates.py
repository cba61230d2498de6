"""Candidates: who starts an emitter, how far its mutants go, and who is tried first."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ctrl.search.individuals import Individuals
from reward_models.errors import UserError
from reward_models.novelty.nearest import novelty

SIGMA_SCALES = ("auto", "paper", "sqrt_d")


def new_candidates(everyone: Individuals) -> NDArray[np.int64]:
    """Return the rows with a reward above 0 that have not spawned an emitter yet.

    Raises:
        UserError: a reward is negative, so that "above 0" would not mean "rewarded".
    """
    if (everyone.reward < 0).any():
        row = int(np.flatnonzero(everyone.reward < 0)[0])
        raise UserError(
            f"SERENE takes an episode reward above 0 for a discovery, so none may be negative; got "
            f"{everyone.reward[row]:.6g} for evaluation {everyone.evaluation[row]}. Shift the "
            "reward so that an episode that finds nothing has 0, or leave out negative terms."
        )
    return np.flatnonzero((everyone.reward > 0) & ~everyone.spawned)


def emitter_sigma(row: int, genomes: NDArray[np.float64], scale: str, fallback: float) -> float:
    """Return the standard deviation of a gene's mutation in the emitter of one genome.

    A third of the distance ``d_min`` to the nearest other genome, so that nearly no mutant of a
    one-dimensional genome reaches it (Paolo et al. 2021, ``paper``). In ``D`` dimensions the
    typical length of such a mutation is ``sqrt(D) d_min / 3``, beyond the neighbour from D = 10
    on; ``sqrt_d`` divides by ``sqrt(D)``.

    Args:
        row: the genome's row.
        genomes: population and offspring ``[n, D]``.
        scale: ``paper``, ``sqrt_d``, or ``auto``: ``sqrt_d`` where D > 9.
        fallback: returned when another genome is equal, or there is no other.
    """
    others = np.delete(genomes, row, axis=0)
    nearest = np.linalg.norm(others - genomes[row], axis=1).min(initial=np.inf)
    if nearest == 0 or not math.isfinite(nearest):
        return fallback
    size = genomes.shape[1]
    by_root = scale == "sqrt_d" or (scale == "auto" and size > 9)
    return float(nearest / 3 / (math.sqrt(size) if by_root else 1.0))


def most_novel_first(
    ancestors: NDArray[np.float64], rewarded: NDArray[np.float64], k: int
) -> NDArray[np.int64]:
    """Return the order of candidates: by novelty against the reward archive, highest first.

    Args:
        ancestors: descriptors ``[n, b]`` of the candidates' ancestors.
        rewarded: descriptors ``[m, b]`` of the reward archive, their own copies among them.
        k: neighbours that count.
    """
    return np.argsort(-novelty(ancestors, rewarded, k), kind="stable")
