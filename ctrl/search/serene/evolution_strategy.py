"""The CMA-ES emitter: an evolution strategy around a rewarded individual."""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray
from ribs.emitters.opt import CMAEvolutionStrategy

from ctrl.search.individuals import Individuals
from ctrl.search.ribs_state import set_strategy_state, strategy_state
from ctrl.search.serene.emitter import Emitter
from ctrl.search.serene.kinds import EmitterKind


@final
class EvolutionStrategyEmitter(EmitterKind):
    """CMA-ES of ribs (Hansen 2016), started at the ancestor with the emitter's sigma.

    It proposes ``M_e`` genomes, which are the members, and learns from their rewards. Genes beyond
    the limit are evaluated at it. The strategy ends the emitter when its members' rewards do not
    differ, at a condition number above 1e14, or at a step below 1e-11.
    """

    # Lives from `propose` to `survivors`, within one generation.
    _strategy: CMAEvolutionStrategy

    def propose(
        self, emitter: Emitter, random: np.random.Generator
    ) -> tuple[NDArray[np.float64], Individuals]:
        """Return ``M_e`` draws of the strategy's distribution; the ancestor is their parent."""
        # The strategy keeps its generator to itself. Made anew for every generation, with a seed
        # of the search's generator, it needs none of its own to be saved.
        self._strategy = CMAEvolutionStrategy(
            sigma0=emitter.sigma,
            solution_dim=emitter.ancestor.genomes.shape[1],
            batch_size=self.population,
            seed=int(random.integers(2**31)),
        )
        self._strategy.reset(emitter.ancestor.genomes[0])
        if emitter.optimizer is not None:
            set_strategy_state(self._strategy, emitter.optimizer)
        proposed = self._strategy.ask()
        parents = emitter.ancestor[np.zeros(self.population, dtype=np.int64)]
        return np.clip(proposed, -self.genome_limit, self.genome_limit), parents

    def survivors(
        self, emitter: Emitter, everyone: Individuals, novelties: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Return what was born, after the strategy has learned from it."""
        born = np.arange(len(everyone))[-self.population :]
        reward = everyone.reward[born]
        best_first = np.argsort(-reward, kind="stable")
        self._strategy.tell(best_first, reward, self.population // 2)
        emitter.optimizer = strategy_state(self._strategy)
        emitter.stopped = bool(self._strategy.check_stop(reward[best_first]))
        return born
