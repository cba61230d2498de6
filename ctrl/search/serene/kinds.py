"""Kinds of emitters: how the population of an emitter moves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import numpy as np
from numpy.typing import NDArray

from ctrl.search.individuals import Individuals
from ctrl.search.operators import mutated
from ctrl.search.serene.emitter import Emitter


class EmitterKind(ABC):
    """A way for emitters to search; what lasts beyond a generation is the emitter's.

    Args:
        population: members of an emitter, ``M_e``.
        genome_limit: genes are clipped to ``[-genome_limit, genome_limit]``.
    """

    def __init__(self, *, population: int, genome_limit: float) -> None:
        self.population, self.genome_limit = population, genome_limit

    @abstractmethod
    def propose(
        self, emitter: Emitter, random: np.random.Generator
    ) -> tuple[NDArray[np.float64], Individuals]:
        """Return the genomes ``[n, D]`` to evaluate next and the parent of each, ``n`` rows."""

    @abstractmethod
    def survivors(
        self, emitter: Emitter, everyone: Individuals, novelties: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Return the rows of the next members, ``[M_e]``.

        Args:
            emitter: the emitter.
            everyone: its present members, if there are any, and behind them what came of the
                proposed genomes, in their order.
            novelties: of everyone, ``[n]``.
        """


@final
class ElitistEmitter(EmitterKind):
    """Every member has two mutants; the best of members and mutants live on.

    Args:
        population: members of an emitter, ``M_e``.
        genome_limit: genes are clipped to ``[-genome_limit, genome_limit]``.
        by_novelty: whether the most novel are the best, rather than the best rewarded.
    """

    def __init__(self, *, population: int, genome_limit: float, by_novelty: bool) -> None:
        super().__init__(population=population, genome_limit=genome_limit)
        self.by_novelty = by_novelty

    def propose(
        self, emitter: Emitter, random: np.random.Generator
    ) -> tuple[NDArray[np.float64], Individuals]:
        """Return two mutants of every member; at first ``M_e`` of the ancestor."""
        if emitter.members is None:
            parents = emitter.ancestor[np.zeros(self.population, dtype=np.int64)]
        else:
            parents = emitter.members[np.repeat(np.arange(self.population), 2)]
        genomes = mutated(parents.genomes, emitter.sigma, 1.0, self.genome_limit, random)
        return genomes, parents

    def survivors(
        self, emitter: Emitter, everyone: Individuals, novelties: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Return the best ``M_e``; of equals, the younger. At first, all."""
        if emitter.members is None:
            return np.arange(len(everyone))
        fitness = novelties if self.by_novelty else everyone.reward
        return fitness.argsort(kind="stable")[::-1][: self.population]
