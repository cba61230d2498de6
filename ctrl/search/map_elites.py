"""MAP-Elites: mutants of the elites of a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
from ribs.emitters import GaussianEmitter, IsoLineEmitter

from ctrl.search.descriptors import Descriptor
from ctrl.search.episodes import Episodes, Evaluate
from ctrl.search.grid import GridElites
from ctrl.search.individuals import Individuals
from ctrl.search.method import SearchMethod
from ctrl.search.operators import at_least, normal_genomes, positive
from ctrl.search.ribs_state import hidden_random_state, set_hidden_random_state
from reward_models.errors import UnknownNameError

OPERATORS = ("gaussian", "iso_line")


@final
class MapElites(SearchMethod):
    """MAP-Elites (Mouret and Clune 2015) with archive and emitters of ribs.

    The first step evaluates genomes of N(0, 1); every further one mutates elites that are drawn
    uniformly. The archive ``grid`` holds the elites, ``reward`` those with a reward above 0.

    Args:
        genome_size: genes ``D``.
        descriptor: what describes an episode; a fixed one.
        ranges: lower and upper bound of every number of the descriptor.
        cells: cells along every number of the descriptor, or one number for all.
        batch_size: mutants of a generation.
        initial_size: genomes of the first step.
        operator: ``gaussian`` adds N(0, sigma^2) to an elite's genes; ``iso_line`` adds as well
            N(0, line_sigma^2) times the way to another elite (Vassiliades and Mouret 2018).
        sigma: standard deviation of a gene's mutation.
        line_sigma: standard deviation of the share of the way.
        genome_limit: genes are clipped to ``[-genome_limit, genome_limit]``.
        seed: of everything random.

    Raises:
        UserError: a number out of its range, a learned descriptor, or ranges that do not fit it.
        UnknownNameError: an unknown operator.
    """

    def __init__(
        self,
        *,
        genome_size: int,
        descriptor: Descriptor,
        ranges: Sequence[Sequence[float]],
        cells: int | Sequence[int] = 50,
        batch_size: int = 200,
        initial_size: int = 100,
        operator: str = "gaussian",
        sigma: float = 0.05,
        line_sigma: float = 0.2,
        genome_limit: float = 5.0,
        seed: int = 0,
    ) -> None:
        if operator not in OPERATORS:
            raise UnknownNameError("operator", operator, OPERATORS)
        self.descriptor = descriptor
        self.genome_limit = positive("genome_limit", genome_limit)
        at_least("initial_size", initial_size, 1)
        start, drawing, mutation = (
            np.random.SeedSequence(at_least("seed", seed, 0)).generate_state(3).tolist()
        )
        self.elites = GridElites(
            genome_size=genome_size, descriptor=descriptor, ranges=ranges, cells=cells, seed=drawing
        )
        common: dict[str, Any] = {
            "initial_solutions": normal_genomes(
                initial_size, genome_size, self.genome_limit, np.random.default_rng(start)
            ),
            "bounds": [(-self.genome_limit, self.genome_limit)] * genome_size,
            "batch_size": at_least("batch_size", batch_size, 1),
            "seed": mutation,
        }
        sigma, line_sigma = positive("sigma", sigma), positive("line_sigma", line_sigma)
        archive = self.elites.archive
        self._emitter = (
            GaussianEmitter(archive, sigma=sigma, **common)
            if operator == "gaussian"
            else IsoLineEmitter(archive, iso_sigma=sigma, line_sigma=line_sigma, **common)
        )

    def step(self, evaluate: Evaluate, remaining: int) -> dict[str, float]:
        """Evaluate the initial genomes or a batch of mutants, no more than ``remaining``."""
        genomes = np.asarray(self._emitter.ask())[:remaining]
        episodes = evaluate(genomes)
        born = Individuals.of(episodes, self.descriptor, generation=self.generation)
        info = self.elites.add(born, self.generation)
        self.generation += 1
        return {
            "elites": float(len(self.elites)),
            "new_cells": float((info["status"] == 2).sum()),
            "improved_cells": float((info["status"] == 1).sum()),
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
        """Return elites, generation and random state."""
        return {
            "generation": self.generation,
            "elites": self.elites.state_dict(),
            "random": hidden_random_state(self._emitter),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.generation = int(state["generation"])
        self.elites.load_state_dict(state["elites"])
        set_hidden_random_state(self._emitter, state["random"])


def grid_and_reward(elites: GridElites) -> dict[str, Individuals]:
    """Return copies of all elites as ``grid``, and of the rewarded as ``reward``."""
    kept = elites.individuals
    if kept is None:
        return {}
    rewarded = kept[kept.reward > 0]
    found = {"grid": kept[np.arange(len(kept))]}
    return {**found, "reward": rewarded} if len(rewarded) else found
