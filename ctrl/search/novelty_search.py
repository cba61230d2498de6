"""Novelty search: individuals live on when they behave like nobody before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ctrl.search.archives import Archive
from ctrl.search.criteria import CRITERIA, drawn_criterion, ranking
from ctrl.search.descriptor_training import DescriptorTraining
from ctrl.search.descriptors import Descriptor
from ctrl.search.episodes import Episodes, Evaluate
from ctrl.search.individuals import Individuals
from ctrl.search.method import SearchMethod
from ctrl.search.operators import (
    at_least,
    mutated,
    normal_genomes,
    positive,
    probability,
    random_state,
    set_random_state,
)
from reward_models.errors import UnknownNameError
from reward_models.novelty.nearest import novelty

ARCHIVE_SELECTIONS = ("random", "best")


@final
class NoveltySearch(SearchMethod):
    """Evolves a population for novelty (Lehman and Stanley 2011, as in Paolo et al. 2021).

    The first step draws and evaluates ``M`` genomes of N(0, 1). Every further one is a generation:

    1. Each of the ``M`` individuals has ``m`` mutants, which are evaluated.
    2. Novelty of all of them: mean distance of the descriptor to the ``k`` nearest among
       population, offspring and archive, see `reward_models.novelty.nearest`.
    3. ``Q`` of the offspring are stored in the archive.
    4. The best ``M`` of population and offspring are the next population.

    With a learned descriptor and ``criterion="random"`` this is TAXONS (Paolo et al. 2020): the
    descriptor is trained after some chunks of evaluations, and all that is kept is described again.

    Args:
        genome_size: genes ``D``.
        descriptor: what describes an episode.
        population_size: ``M``.
        offspring_per_parent: ``m``.
        archive_additions: ``Q``, of every generation.
        k: neighbours that count for novelty.
        sigma: standard deviation of a gene's mutation.
        mutation_probability: with which a gene mutates.
        genome_limit: genes are clipped to ``[-genome_limit, genome_limit]``.
        criterion: of the next population: ``novelty``, ``surprise``, ``random`` or ``pareto``, see
            `ctrl.search.criteria.CRITERIA`.
        archive_selection: ``random`` stores offspring drawn uniformly, ``best`` the best by the
            criterion.
        novelty_only_generations: first generations in which the criterion is novelty, whatever
            ``criterion`` says.
        chunk: evaluations between two chances of training the descriptor.
        train_descriptor: whether a learned descriptor is trained.
        seed: of everything random.

    Attributes:
        population: the ``M`` individuals; None before the first step.
        offspring: those of the last generation; None before there were any.
        archive: what was stored.

    Raises:
        UserError: a number out of its range.
        UnknownNameError: an unknown criterion or selection.
    """

    def __init__(
        self,
        *,
        genome_size: int,
        descriptor: Descriptor,
        population_size: int = 100,
        offspring_per_parent: int = 2,
        archive_additions: int = 5,
        k: int = 15,
        sigma: float = 0.05,
        mutation_probability: float = 1.0,
        genome_limit: float = 5.0,
        criterion: str = "novelty",
        archive_selection: str = "random",
        novelty_only_generations: int = 0,
        chunk: int = 1000,
        train_descriptor: bool = True,
        seed: int = 0,
    ) -> None:
        if criterion not in CRITERIA:
            raise UnknownNameError("criterion", criterion, CRITERIA)
        if archive_selection not in ARCHIVE_SELECTIONS:
            raise UnknownNameError("archive selection", archive_selection, ARCHIVE_SELECTIONS)
        self.genome_size = at_least("genome_size", genome_size, 1)
        self.population_size = at_least("population_size", population_size, 1)
        self.offspring_per_parent = at_least("offspring_per_parent", offspring_per_parent, 1)
        self.archive_additions = at_least("archive_additions", archive_additions, 0)
        self.k = at_least("k", k, 1)
        self.sigma = positive("sigma", sigma)
        self.mutation_probability = probability("mutation_probability", mutation_probability)
        self.genome_limit = positive("genome_limit", genome_limit)
        self.novelty_only_generations = at_least(
            "novelty_only_generations", novelty_only_generations, 0
        )
        self.chunk = at_least("chunk", chunk, 1)
        self.descriptor, self.criterion = descriptor, criterion
        self.archive_selection = archive_selection
        self.population: Individuals | None = None
        self.offspring: Individuals | None = None
        self.archive = Archive()
        self._training = DescriptorTraining(descriptor, enabled=train_descriptor)
        self._described_by = descriptor.version
        self._used = 0
        self._random = np.random.default_rng(at_least("seed", seed, 0))

    def step(self, evaluate: Evaluate, remaining: int) -> dict[str, float]:
        """Evaluate the first population, or do one generation.

        Returns:
            ``mean_novelty`` of the new population, ``novelty_archive`` (its size), and what
            training the descriptor measured.
        """
        everyone, used = self.breed(evaluate, self.generation)
        metrics = self.select(everyone, self.generation)
        self._used += used
        if self._used >= self.chunk:
            self._used = 0
            metrics.update(self.finish_chunk())
        return metrics

    def breed(self, evaluate: Evaluate, generation: int) -> tuple[Individuals, int]:
        """Evaluate the first population, or the offspring of the present one.

        Args:
            evaluate: evaluates genomes.
            generation: in which they are born.

        Returns:
            The population and behind it the offspring, and how many were evaluated.
        """
        self.describe_again()
        count = self.population_size
        if self.population is None:
            genomes = normal_genomes(count, self.genome_size, self.genome_limit, self._random)
            drawn = Individuals.of(evaluate(genomes), self.descriptor, generation=generation)
            return drawn, len(drawn)
        parents = self.population[np.repeat(np.arange(count), self.offspring_per_parent)]
        genomes = mutated(
            parents.genomes, self.sigma, self.mutation_probability, self.genome_limit, self._random
        )
        offspring = Individuals.of(
            evaluate(genomes), self.descriptor, generation=generation, parents=parents
        )
        return Individuals.joined([self.population, offspring]), len(offspring)

    def select(
        self,
        everyone: Individuals,
        generation: int,
        references: NDArray[np.float64] | None = None,
    ) -> dict[str, float]:
        """Store offspring in the archive and choose the next population.

        Args:
            everyone: population and offspring, as `breed` returned them.
            generation: in which offspring are stored.
            references: descriptors ``[n, b]`` with which novelty compares as well.
        """
        found = novelty(everyone.descriptor, self.references([everyone], references), self.k)
        criterion = "novelty"
        if self.generation >= self.novelty_only_generations:
            criterion = drawn_criterion(self.criterion, self._random)
        best_first = ranking(criterion, found, everyone.surprise, self._random)
        survivors = best_first[: self.population_size]
        if len(everyone) > self.population_size:
            born = best_first[best_first >= self.population_size]
            stored = self.chosen(born)
            self.archive.store(everyone[stored], generation)
            self.offspring = everyone[np.arange(self.population_size, len(everyone))]
        self.population = everyone[survivors]
        self.generation += 1
        return {
            "mean_novelty": float(found[survivors].mean()),
            "novelty_archive": float(len(self.archive)),
        }

    def chosen(self, best_first: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those ``Q`` of some rows that go into the archive."""
        if self.archive_selection == "random":
            best_first = self._random.permutation(best_first)
        return best_first[: self.archive_additions]

    def references(
        self,
        groups: Sequence[Individuals | None],
        more: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """Return descriptors ``[n, b]`` to compare with: of some groups, the archive, and more."""
        parts = [group.descriptor for group in groups if group is not None]
        parts.append(self.archive.descriptors(self.descriptor.size))
        return np.concatenate(parts if more is None else [*parts, more])

    def finish_chunk(self, also: Sequence[Individuals] = ()) -> dict[str, float]:
        """End a chunk of exploration; train the descriptor if it is time.

        Args:
            also: individuals to train on, besides archive, population and offspring.

        Returns:
            What training measured.
        """
        kept = [self.archive.individuals, self.population, self.offspring, *also]
        metrics = self._training.after_chunk([group for group in kept if group is not None])
        self.describe_again()
        return metrics

    def describe_again(self) -> None:
        """Describe all that is kept again if the descriptor has changed since."""
        if self.descriptor.version == self._described_by:
            return
        if self.population is not None:
            self.population = self.population.described_again(self.descriptor)
        if self.offspring is not None:
            self.offspring = self.offspring.described_again(self.descriptor)
        self.archive.describe_again(self.descriptor)
        self._described_by = self.descriptor.version

    @property
    def individuals(self) -> Mapping[str, Individuals]:
        """The archive ``novelty`` with descriptors and lines of descent, once it has some."""
        kept = self.archive.individuals
        return {} if kept is None else {"novelty": kept}

    @property
    def archives(self) -> Mapping[str, Episodes]:
        """The episodes of the archive ``novelty``, once it has some."""
        return {name: kept.episodes for name, kept in self.individuals.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return population, offspring, archive, counters, descriptor and random state."""
        return {
            "generation": self.generation,
            "used": self._used,
            "population": None if self.population is None else self.population.state_dict(),
            "offspring": None if self.offspring is None else self.offspring.state_dict(),
            "archive": self.archive.state_dict(),
            "training": self._training.state_dict(),
            "described_by": self._described_by,
            "random": random_state(self._random),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.generation, self._used = int(state["generation"]), int(state["used"])
        for name in ("population", "offspring"):
            group = state[name]
            setattr(self, name, None if group is None else Individuals.from_state(group))
        self.archive.load_state_dict(state["archive"])
        self._training.load_state_dict(state["training"])
        self._described_by = int(state["described_by"])
        set_random_state(self._random, state["random"])
