"""CMA-ME: evolution strategies that are paid for improving a grid of elites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
from ribs.emitters import EvolutionStrategyEmitter

from ctrl.search.descriptors import Descriptor
from ctrl.search.episodes import Episodes, Evaluate
from ctrl.search.grid import GridElites, fields_of
from ctrl.search.individuals import Individuals
from ctrl.search.map_elites import grid_and_reward
from ctrl.search.method import SearchMethod
from ctrl.search.operators import at_least, positive
from ctrl.search.ribs_state import (
    hidden_random_state,
    set_hidden_random_state,
    set_strategy_state,
    strategy_state,
)


@final
class CMAME(SearchMethod):
    """CMA-ME (Fontaine et al. 2020) with archive and emitters of ribs.

    Every generation, each of some CMA-ES proposes a batch. It learns from how the batch improved
    the grid: new cells first, then improved ones. One whose whole batch was in vain starts again
    at a drawn elite. The archive ``grid`` holds the elites, ``reward`` those with a reward above 0.

    Args:
        genome_size: genes ``D``.
        descriptor: what describes an episode; a fixed one.
        ranges: lower and upper bound of every number of the descriptor.
        cells: cells along every number of the descriptor, or one number for all.
        emitters: evolution strategies.
        batch_size: genomes that each proposes in a generation, at least 2.
        sigma: standard deviation of a gene at the start, around the genome of zeros.
        genome_limit: genes beyond ``[-genome_limit, genome_limit]`` are evaluated at the limit.
        seed: of everything random.

    Raises:
        UserError: a number out of its range, a learned descriptor, or ranges that do not fit it.
    """

    def __init__(
        self,
        *,
        genome_size: int,
        descriptor: Descriptor,
        ranges: Sequence[Sequence[float]],
        cells: int | Sequence[int] = 50,
        emitters: int = 5,
        batch_size: int = 36,
        sigma: float = 0.5,
        genome_limit: float = 5.0,
        seed: int = 0,
    ) -> None:
        self.descriptor = descriptor
        self.genome_limit = positive("genome_limit", genome_limit)
        drawing, *seeds = (
            np.random.SeedSequence(at_least("seed", seed, 0))
            .generate_state(at_least("emitters", emitters, 1) + 1)
            .tolist()
        )
        self.elites = GridElites(
            genome_size=genome_size, descriptor=descriptor, ranges=ranges, cells=cells, seed=drawing
        )
        self._emitters = [
            EvolutionStrategyEmitter(
                self.elites.archive,
                x0=np.zeros(genome_size),
                sigma0=positive("sigma", sigma),
                batch_size=at_least("batch_size", batch_size, 2),
                seed=one,
            )
            for one in seeds
        ]

    def step(self, evaluate: Evaluate, remaining: int) -> dict[str, float]:
        """Evaluate and learn from one batch of every emitter."""
        # By hand rather than by the scheduler of ribs, which would store genomes that are beyond
        # the limit, although they were evaluated at it.
        proposed = [emitter.ask() for emitter in self._emitters]
        genomes = np.clip(np.concatenate(proposed), -self.genome_limit, self.genome_limit)
        born = Individuals.of(evaluate(genomes), self.descriptor, generation=self.generation)
        info = self.elites.add(born, self.generation)
        begin = 0
        for emitter, batch in zip(self._emitters, proposed, strict=True):
            rows = slice(begin, begin + len(batch))
            emitter.tell(
                **{name: column[rows] for name, column in fields_of(born).items()},
                add_info={name: column[rows] for name, column in info.items()},
            )
            begin += len(batch)
        self.generation += 1
        return {
            "elites": float(len(self.elites)),
            "new_cells": float((info["status"] == 2).sum()),
            "improved_cells": float((info["status"] == 1).sum()),
            "restarts": float(sum(emitter.restarts for emitter in self._emitters)),
        }

    @property
    def individuals(self) -> Mapping[str, Individuals]:
        """``grid`` and ``reward`` with their descriptors, once there are some."""
        return grid_and_reward(self.elites)

    @property
    def archives(self) -> Mapping[str, Episodes]:
        """The episodes of ``grid`` and ``reward``, each once it has some."""
        return {name: kept.episodes for name, kept in self.individuals.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return elites, generation, and every evolution strategy with its random state."""
        return {
            "generation": self.generation,
            "elites": self.elites.state_dict(),
            "emitters": [
                {
                    "strategy": strategy_state(emitter._opt),
                    "random": hidden_random_state(emitter._opt),
                    "counts": [emitter._itrs, emitter._restarts],
                }
                for emitter in self._emitters
            ],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.generation = int(state["generation"])
        self.elites.load_state_dict(state["elites"])
        for emitter, kept in zip(self._emitters, state["emitters"], strict=True):
            set_strategy_state(emitter._opt, kept["strategy"])
            set_hidden_random_state(emitter._opt, kept["random"])
            emitter._itrs, emitter._restarts = (int(count) for count in kept["counts"])
