"""Evaluation on a Ray cluster."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from ctrl.cluster import ray_cluster
from ctrl.search.episodes import Episodes
from ctrl.search.evaluation.chunks import RETRIES, Answer, Chunk, attempt, chunks, for_worker
from ctrl.search.evaluation.evaluator import Evaluator
from ctrl.search.evaluation.executor import Executor
from ctrl.search.evaluation.setting import Setting
from reward_models.errors import UserError


@final
class RayCluster(Executor):
    """Evaluates genomes on a Ray cluster, one processor for each piece of a generation.

    Every node needs ctrl installed in the same version, and the code that the setting names under
    the same path. A piece whose process or node dies is done again elsewhere, up to 3 times.
    Results equal those of one process where the processors compute alike.

    Args:
        setting: what is evaluated.
        address: of the cluster, for example ``127.0.0.1:6379`` or ``auto``.

    Attributes:
        evaluator: an evaluator of this process: for what it knows about the setting, and for single
            episodes.

    Raises:
        MissingDependencyError: Ray is not installed.
        UserError: there is no cluster at the address, or a setting that cannot be used.
    """

    def __init__(self, setting: Setting, *, address: str) -> None:
        self.evaluator = Evaluator(setting)
        self.genome = self.evaluator.genome
        self._setting = for_worker(setting)
        self._open = ExitStack()
        self._open.callback(self.evaluator.close)
        try:
            self._ray: Any = self._open.enter_context(ray_cluster(address))
        except BaseException:
            self._open.close()
            raise
        self._remote = self._ray.remote(num_cpus=1, max_retries=RETRIES)(_evaluate_elsewhere)

    def evaluate(self, genomes: NDArray[np.float64], first: int) -> Episodes:
        """Return one episode per genome, in their order; see `Executor`."""
        genomes = self.genome.checked(genomes)
        # Asked every time: nodes come and go.
        processors = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        pieces = chunks(genomes, first, workers=processors, columns=self.evaluator.columns)
        references = [self._remote.remote(self._setting, piece) for piece in pieces]
        parts = []
        try:
            for reference, piece in zip(references, pieces, strict=True):
                parts.append(self._answer(reference, piece))
        except BaseException:
            for reference in references:
                self._ray.cancel(reference, force=True)
            raise
        return Episodes.joined(parts)

    def close(self) -> None:
        """Leave the cluster."""
        self._open.close()

    def _answer(self, reference: Any, piece: Chunk) -> Episodes:
        try:
            answer: Answer = self._ray.get(reference)
        except self._ray.exceptions.RayError as problem:
            raise UserError(
                f"The process that evaluated genomes {piece.first} and following was lost "
                f"{RETRIES + 1} times: {problem}"
            ) from problem
        return answer.opened()


_KEPT: dict[str, Evaluator] = {}
"""The evaluator of this process, by the text of its setting; it stays for the pieces to come."""


def _evaluate_elsewhere(setting: Setting, piece: Chunk) -> Answer:
    """Evaluate a piece in a process of the cluster."""
    torch.set_num_threads(1)
    return attempt(lambda: _evaluator(setting), piece)


def _evaluator(setting: Setting) -> Evaluator:
    text = repr(setting)
    if text not in _KEPT:
        for old in _KEPT.values():
            old.close()
        _KEPT.clear()
        _KEPT[text] = Evaluator(setting)
    return _KEPT[text]
