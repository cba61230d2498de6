"""How a generation is cut into pieces for other processes."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ctrl.search.episodes import Episodes
from ctrl.search.evaluation.evaluator import Evaluator
from ctrl.search.evaluation.setting import Setting
from reward_models.errors import UserError

RETRIES = 3
"""How often a piece is done again after its process died."""


class Chunk(NamedTuple):
    """Genomes ``[n, D]`` that one process evaluates, and the number of the first evaluation."""

    genomes: NDArray[np.float64]
    first: int


def chunks(genomes: NDArray[np.float64], first: int, *, workers: int, columns: int) -> list[Chunk]:
    """Cut genomes into pieces: an equal share for each worker, in at most ``columns`` at once."""
    size = min(columns, -(-len(genomes) // workers))
    return [
        Chunk(genomes[start : start + size], first + start)
        for start in range(0, len(genomes), size)
    ]


def for_worker(setting: Setting) -> Setting:
    """Return the setting for one of several processes: each steps on one thread."""
    return replace(setting, env=replace(setting.env, threads=1))


class Answer(NamedTuple):
    """What comes back from another process.

    Attributes:
        episodes: None where there are none.
        mistake: a user's mistake, as text.
        failure: any other error, as text with its traceback.
    """

    episodes: Episodes | None
    mistake: str | None = None
    failure: str | None = None

    def opened(self) -> Episodes:
        """Return the episodes.

        Raises:
            UserError: the evaluation raised one there.
            RuntimeError: it raised something else.
        """
        if self.mistake is not None:
            raise UserError(self.mistake)
        if self.episodes is None:
            raise RuntimeError(f"An evaluation failed in another process:\n{self.failure}")
        return self.episodes


def attempt(evaluator: Callable[[], Evaluator], chunk: Chunk) -> Answer:
    """Evaluate a piece, and catch what goes wrong so that it can travel as text."""
    try:
        return Answer(evaluator().evaluate(*chunk))
    except UserError as error:
        return Answer(None, mistake=str(error))
    except Exception:
        return Answer(None, failure=traceback.format_exc())
