"""Random search: what a budget reaches without any search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np

from ctrl.search.archives import Archive
from ctrl.search.descriptors import Descriptor
from ctrl.search.episodes import Episodes, Evaluate
from ctrl.search.individuals import Individuals
from ctrl.search.method import SearchMethod
from ctrl.search.operators import (
    at_least,
    normal_genomes,
    positive,
    random_state,
    set_random_state,
    uniform_genomes,
)
from reward_models.errors import UnknownNameError

DISTRIBUTIONS = {"normal": normal_genomes, "uniform": uniform_genomes}


@final
class RandomSearch(SearchMethod):
    """Draws genomes independently of each other and of what they did.

    The archive ``novelty`` keeps some of every batch, drawn at random as novelty search does by
    default; ``reward`` keeps every episode with a reward above 0.

    Args:
        genome_size: genes ``D``.
        descriptor: what describes an episode; it is not trained.
        batch_size: genomes drawn and evaluated in a generation.
        archive_additions: of them that are stored in ``novelty``.
        distribution: ``normal`` for N(0, 1), clipped, or ``uniform`` over the whole range.
        genome_limit: genes are in ``[-genome_limit, genome_limit]``.
        seed: of everything random.

    Raises:
        UserError: a number out of its range.
        UnknownNameError: an unknown distribution.
    """

    def __init__(
        self,
        *,
        genome_size: int,
        descriptor: Descriptor,
        batch_size: int = 200,
        archive_additions: int = 5,
        distribution: str = "normal",
        genome_limit: float = 5.0,
        seed: int = 0,
    ) -> None:
        if distribution not in DISTRIBUTIONS:
            raise UnknownNameError("distribution", distribution, DISTRIBUTIONS)
        self.genome_size = at_least("genome_size", genome_size, 1)
        self.batch_size = at_least("batch_size", batch_size, 1)
        self.archive_additions = at_least("archive_additions", archive_additions, 0)
        self.genome_limit = positive("genome_limit", genome_limit)
        self.descriptor, self.distribution = descriptor, distribution
        self.novelty_archive, self.reward_archive = Archive(), Archive()
        self._random = np.random.default_rng(at_least("seed", seed, 0))

    def step(self, evaluate: Evaluate, remaining: int) -> dict[str, float]:
        """Draw and evaluate one batch, no more than ``remaining``."""
        count = min(self.batch_size, remaining)
        draw = DISTRIBUTIONS[self.distribution]
        genomes = draw(count, self.genome_size, self.genome_limit, self._random)
        found = Individuals.of(evaluate(genomes), self.descriptor, generation=self.generation)
        chosen = self._random.permutation(count)[: self.archive_additions]
        self.novelty_archive.store(found[chosen], self.generation)
        self.reward_archive.store(found[found.reward > 0], self.generation)
        self.generation += 1
        return {
            "novelty_archive": float(len(self.novelty_archive)),
            "reward_archive": float(len(self.reward_archive)),
        }

    @property
    def individuals(self) -> Mapping[str, Individuals]:
        """What is kept, with descriptors and lines of descent; without archives that are empty."""
        archives = {"novelty": self.novelty_archive, "reward": self.reward_archive}
        found = {name: archive.individuals for name, archive in archives.items()}
        return {name: kept for name, kept in found.items() if kept is not None}

    @property
    def archives(self) -> Mapping[str, Episodes]:
        """The episodes of ``novelty`` and ``reward``, each once it has some."""
        return {name: kept.episodes for name, kept in self.individuals.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return archives, generation and random state."""
        return {
            "generation": self.generation,
            "novelty": self.novelty_archive.state_dict(),
            "reward": self.reward_archive.state_dict(),
            "random": random_state(self._random),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.generation = int(state["generation"])
        self.novelty_archive.load_state_dict(state["novelty"])
        self.reward_archive.load_state_dict(state["reward"])
        set_random_state(self._random, state["random"])
