"""SERENE: novelty search that sends out emitters where it finds reward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np

from ctrl.search.descriptors import Descriptor
from ctrl.search.episodes import Episodes, Evaluate
from ctrl.search.individuals import Individuals
from ctrl.search.method import SearchMethod
from ctrl.search.novelty_search import NoveltySearch
from ctrl.search.operators import at_least, random_state, set_random_state
from ctrl.search.serene.candidates import SIGMA_SCALES
from ctrl.search.serene.exploitation import Exploitation
from ctrl.search.serene.kinds import ElitistEmitter, EmitterKind
from ctrl.search.serene.schedulers import (
    EXPLOIT,
    EXPLORE,
    Alternating,
    PhaseScheduler,
    UpperConfidenceBound,
)
from ctrl.search.serene.stagnation import ENDS, stagnation_window_size
from reward_models.errors import MissingDependencyError, UnknownNameError

EMITTERS = ("fitness", "novelty", "cma-es")
SCHEDULERS = ("alternating", "ucb")
IMPROVEMENTS = ("global", "local")


@final
class Serene(SearchMethod):
    """Sparse reward exploration via novelty search and emitters (Paolo et al. 2021).

    Chunks of the budget go to two phases in turn. **Explore** is novelty search
    (`ctrl.search.novelty_search`), with the reward archive among the references. Every individual
    with a reward above 0 that has not spawned an emitter yet is copied into the reward archive and
    becomes a candidate. **Exploit**:

    1. Candidates, the most novel against the reward archive first, are bootstrapped for a few
       generations while more than a third of the chunk is left. Only those whose rewards improved
       become emitters.
    2. While there are emitters, one is drawn from the Pareto front of novelty and improvement, and
       runs until the chunk ends or it is finished.
    3. In a generation of an emitter, every member has two mutants, and the best live on; or an
       evolution strategy moves on.
    4. What beats the rewards that the emitter has stored goes into the reward archive, and what is
       more novel than all it has met into its buffer.
    5. It is finished when it stagnates, its evolution strategy stops, or after
       ``max_emitter_generations``. Its ancestor is then in the reward archive, and its buffer
       waits. An emitter that is not finished is rated again.
    6. After the phase, ``Q`` of every waiting buffer go into the novelty archive.

    One step is one generation of the population or of an emitter. With a learned descriptor and
    ``criterion="random"`` this is STAX (Paolo et al. 2022): the descriptor is trained after some
    of the exploring chunks, and everything that is kept is described again.

    Where this differs from the published code: the reward archive holds an individual once; a
    rewarded member of the first population is a candidate before it has offspring; what a
    candidate meets in its bootstrap counts for its buffer; and the novelty of an emitter's members
    is measured against the present archives rather than those at the start of the phase.

    Args:
        genome_size: genes ``D``.
        descriptor: what describes an episode.
        population_size: ``M``.
        offspring_per_parent: ``m``.
        archive_additions: ``Q``, of every generation and every finished emitter.
        k: neighbours that count for novelty.
        sigma: standard deviation of a gene's mutation in the explore phase.
        mutation_probability: with which a gene mutates there.
        genome_limit: genes are clipped to ``[-genome_limit, genome_limit]``.
        criterion: see `NoveltySearch`.
        archive_selection: see `NoveltySearch`; also for what comes out of the buffers.
        novelty_only_generations: see `NoveltySearch`.
        chunk: evaluations of a phase, ``B_c``; its last batch may exceed them.
        train_descriptor: whether a learned descriptor is trained.
        emitter: ``fitness``, ``novelty`` or ``cma-es``.
        emitter_population: ``M_e``.
        bootstrap_generations: recorded generations of a bootstrap, the first one included.
        sigma_scale: ``paper``, ``sqrt_d`` or ``auto``, see
            `ctrl.search.serene.candidates.emitter_sigma`.
        max_emitter_generations: recorded generations after which an emitter is finished; without
            limit when None.
        stagnation_window: generations that stagnation looks at; ``int(20 D / M_e + 120)`` when
            None.
        improvement: what an emitter's rewards are compared with: ``global`` its first three
            generations, ``local`` the last three of its previous visit.
        scheduler: ``alternating`` or ``ucb``.
        ucb_c: weight of the uncertainty of ``ucb``.
        seed: of everything random.

    Raises:
        UserError: a number out of its range; in `step`, a negative episode reward.
        UnknownNameError: an unknown name of a choice.
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
        emitter: str = "fitness",
        emitter_population: int = 6,
        bootstrap_generations: int = 6,
        sigma_scale: str = "auto",
        max_emitter_generations: int | None = None,
        stagnation_window: int | None = None,
        improvement: str = "global",
        scheduler: str = "alternating",
        ucb_c: float = 1.0,
        seed: int = 0,
    ) -> None:
        for kind, name, valid in (
            ("emitter", emitter, EMITTERS),
            ("sigma scale", sigma_scale, SIGMA_SCALES),
            ("improvement", improvement, IMPROVEMENTS),
            ("scheduler", scheduler, SCHEDULERS),
        ):
            if name not in valid:
                raise UnknownNameError(kind, name, valid)
        self.search = NoveltySearch(
            genome_size=genome_size,
            descriptor=descriptor,
            population_size=population_size,
            offspring_per_parent=offspring_per_parent,
            archive_additions=archive_additions,
            k=k,
            sigma=sigma,
            mutation_probability=mutation_probability,
            genome_limit=genome_limit,
            criterion=criterion,
            archive_selection=archive_selection,
            novelty_only_generations=novelty_only_generations,
            chunk=chunk,
            train_descriptor=train_descriptor,
            seed=seed,
        )
        at_least("emitter_population", emitter_population, 2 if emitter == "cma-es" else 1)
        if max_emitter_generations is not None:
            at_least("max_emitter_generations", max_emitter_generations, 1)
        window = stagnation_window
        if window is None:
            window = stagnation_window_size(genome_size, emitter_population)
        self._random = np.random.default_rng([seed, 1])  # other numbers than those of the search
        self.exploitation = Exploitation(
            search=self.search,
            kind=_kind(emitter, emitter_population, self.search.genome_limit),
            # Of one generation alone, the first three and the last three are the same.
            bootstrap_generations=at_least("bootstrap_generations", bootstrap_generations, 2),
            stagnation_window=at_least("stagnation_window", window, ENDS + 1),
            max_generations=max_emitter_generations,
            sigma_scale=sigma_scale,
            local=improvement == "local",
            random=self._random,
        )
        self.scheduler: PhaseScheduler = (
            UpperConfidenceBound(c=ucb_c) if scheduler == "ucb" else Alternating()
        )
        self.phase = EXPLORE
        self._used, self._waiting_before = 0, 0
        self._described_by = descriptor.version

    def step(self, evaluate: Evaluate, remaining: int) -> dict[str, float]:
        """Do one generation of the population, of a bootstrap or of an emitter.

        Returns:
            ``exploiting`` (1 in the exploit phase), ``mean_novelty`` of the new population or of
            the emitter's members, ``waiting_candidates``, ``emitters``, ``novelty_archive`` and
            ``reward_archive`` (their sizes), and what training the descriptor measured.
        """
        self._describe_again()
        exploiting = self.phase == EXPLOIT
        metrics = self._exploit(evaluate) if exploiting else self._explore(evaluate)
        self.generation += 1
        return {
            **metrics,
            "exploiting": float(exploiting),
            "waiting_candidates": float(len(self.exploitation.candidates)),
            "emitters": float(len(self.exploitation.emitters)),
            "novelty_archive": float(len(self.search.archive)),
            "reward_archive": float(len(self.exploitation.rewarded)),
        }

    def _explore(self, evaluate: Evaluate) -> dict[str, float]:
        search, exploitation = self.search, self.exploitation
        everyone, used = search.breed(evaluate, self.generation)
        # Before the selection: who lives on carries the flag, and who does not is a candidate too.
        everyone = exploitation.nominate(everyone, self.generation)
        rewarded = exploitation.rewarded.descriptors(search.descriptor.size)
        metrics = search.select(everyone, self.generation, rewarded)
        self._used += used
        if self._used >= search.chunk:
            kept = exploitation.rewarded.individuals
            metrics.update(search.finish_chunk([] if kept is None else [kept]))
            self._describe_again()
            self._next_phase()
        return metrics

    def _exploit(self, evaluate: Evaluate) -> dict[str, float]:
        exploitation, chunk = self.exploitation, self.search.chunk
        used, metrics = exploitation.generation(evaluate, self.generation, left=chunk - self._used)
        self._used += used
        spent = self._used >= chunk and not exploitation.bootstrapping
        if spent or not exploitation.has_work(chunk - self._used):
            exploitation.finish(self.generation)
            self._next_phase()
        return metrics

    def _next_phase(self) -> None:
        waiting = self.exploitation.waiting
        self.phase = self.scheduler.next_phase(self.phase, self._waiting_before, waiting)
        self._used, self._waiting_before = 0, waiting
        if self.phase == EXPLOIT:
            self.exploitation.begin()

    def _describe_again(self) -> None:
        version = self.search.descriptor.version
        if version != self._described_by:
            self.search.describe_again()
            self.exploitation.describe_again()
            self._described_by = version

    @property
    def individuals(self) -> Mapping[str, Individuals]:
        """``novelty`` and ``reward`` with descriptors and lines of descent, once they have some."""
        kept = self.exploitation.rewarded.individuals
        return {**self.search.individuals, **({} if kept is None else {"reward": kept})}

    @property
    def archives(self) -> Mapping[str, Episodes]:
        """The episodes of ``novelty`` and ``reward``, each once it has some."""
        return {name: kept.episodes for name, kept in self.individuals.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, also in the middle of a bootstrap or an emitter."""
        return {
            "generation": self.generation,
            "search": self.search.state_dict(),
            "exploitation": self.exploitation.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "phase": self.phase,
            "used": self._used,
            "waiting_before": self._waiting_before,
            "described_by": self._described_by,
            "random": random_state(self._random),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.generation, self.phase = int(state["generation"]), str(state["phase"])
        self.search.load_state_dict(state["search"])
        self.exploitation.load_state_dict(state["exploitation"])
        self.scheduler.load_state_dict(state["scheduler"])
        self._used, self._waiting_before = int(state["used"]), int(state["waiting_before"])
        self._described_by = int(state["described_by"])
        set_random_state(self._random, state["random"])


def _kind(name: str, population: int, genome_limit: float) -> EmitterKind:
    if name == "cma-es":
        # Imported here: ribs takes seconds to import, and is an extra.
        try:
            from ctrl.search.serene.evolution_strategy import EvolutionStrategyEmitter
        except ImportError as error:
            raise MissingDependencyError(
                "The emitter 'cma-es' needs the package 'ribs': pip install 'ctrl[search]'."
            ) from error
        return EvolutionStrategyEmitter(population=population, genome_limit=genome_limit)
    return ElitistEmitter(
        population=population, genome_limit=genome_limit, by_novelty=name == "novelty"
    )
