"""Who evaluates genomes, and the count of how many were."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TypeVar, final

import numpy as np
from numpy.typing import NDArray

from ctrl.search.episodes import Episodes
from ctrl.search.genomes import GenomeKind

_Same = TypeVar("_Same", bound="Executor")


class Executor(ABC):
    """Evaluates genomes, in this process or in others; equal results wherever it does.

    Attributes:
        genome: what a genome is.
    """

    genome: GenomeKind

    @abstractmethod
    def evaluate(self, genomes: NDArray[np.float64], first: int) -> Episodes:
        """Return one episode per genome, in their order.

        Args:
            genomes: ``[n, D]``, any ``n`` of at least 1.
            first: number of the first evaluation in its search; the others follow it.

        Raises:
            UserError: genomes of another shape, or an environment that cannot be searched.
        """

    @abstractmethod
    def close(self) -> None:
        """End processes and environments; a second call does nothing."""

    def __enter__(self: _Same) -> _Same:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@final
class CountedEvaluate:
    """What a search method calls: evaluates genomes and counts each of them once.

    Args:
        executor: evaluates them.
        used: evaluations done before, in a search that goes on.

    Attributes:
        used: evaluations so far; also the number of the next one.
    """

    def __init__(self, executor: Executor, *, used: int = 0) -> None:
        self.executor = executor
        self.used = used

    def __call__(self, genomes: NDArray[np.float64]) -> Episodes:
        """Return the episodes of genomes ``[n, D]``, in their order."""
        episodes = self.executor.evaluate(genomes, self.used)
        # After the evaluation: one that was interrupted is not counted.
        self.used += len(episodes)
        return episodes
