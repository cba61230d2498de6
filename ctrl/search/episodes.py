"""What is left of evaluated genomes: one row for each episode, and who asks for them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from reward_models.errors import UserError

NO_AREA = -1
"""Area of an episode that ended in no reward area."""


@dataclass(frozen=True, eq=False)
class Episodes:
    """The episodes of ``n`` evaluated genomes, in the order in which they were asked for.

    Attributes:
        genomes: float64 ``[n, D]``, what was evaluated.
        evaluation: int64 ``[n]``, the number of each evaluation in its search, from 0. It seeds the
            episode, so that the same number and genome give the same episode anywhere.
        reward: float64 ``[n]``, sum of the rewards of the search's mix over the episode.
        task_reward: float64 ``[n]``, sum of the environment's own rewards.
        area: int64 ``[n]``, reward area in which the episode ended; ``NO_AREA`` for none.
        length: int64 ``[n]``, steps.
        samples: float64 ``[n, S, O]``, what describes the behaviour, at ``S`` moments of the
            episode; the last is its end.
        images: uint8 ``[n, S, H, W, 3]``, pictures at the same moments; None where not asked for.
        place: float64 ``[n, 2]``, where the episode ended in the world, by which coverage is
            measured, whatever the method looks at.
    """

    genomes: NDArray[np.float64]
    evaluation: NDArray[np.int64]
    reward: NDArray[np.float64]
    task_reward: NDArray[np.float64]
    area: NDArray[np.int64]
    length: NDArray[np.int64]
    samples: NDArray[np.float64]
    images: NDArray[np.uint8] | None
    place: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.genomes)

    def __getitem__(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Episodes:
        """Return some rows; copies unless ``rows`` is a slice."""
        columns: dict[str, Any] = {
            name: None if each is None else each[rows] for name, each in vars(self).items()
        }
        return Episodes(**columns)

    @staticmethod
    def joined(parts: list[Episodes]) -> Episodes:
        """Return several batches one after the other.

        Raises:
            UserError: there are none.
        """
        if not parts:
            raise UserError("There are no episodes to join.")
        columns: dict[str, Any] = {}
        for field in fields(Episodes):
            values = [getattr(part, field.name) for part in parts]
            missing = any(value is None for value in values)
            columns[field.name] = None if missing else np.concatenate(values)
        return Episodes(**columns)


@runtime_checkable
class Evaluate(Protocol):
    """Evaluates genomes: what a search method is given to find out what they do.

    Calling it counts ``n`` evaluations against the budget.
    """

    def __call__(self, genomes: NDArray[np.float64]) -> Episodes:
        """Return the episodes of genomes ``[n, D]``, in their order."""
        ...
