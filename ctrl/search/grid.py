"""A grid of elites: the best individual of every cell of the descriptor space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
from ribs.archives import GridArchive

from ctrl.search.descriptors import Descriptor
from ctrl.search.individuals import Individuals
from ctrl.search.operators import at_least
from ctrl.search.ribs_state import hidden_random_state, set_hidden_random_state
from reward_models.errors import UserError


@final
class GridElites:
    """The grid archive of ribs, with the whole individual of every elite beside it.

    A cell keeps its first individual until one with a higher reward comes. Descriptors outside of
    the ranges count to the cells at the edge.

    Args:
        genome_size: genes ``D``.
        descriptor: its codes are the coordinates; it must not learn, since that moves everybody
            to another cell.
        ranges: lower and upper bound of every number of the descriptor, ``[b, 2]``.
        cells: cells along every number of the descriptor, or one number for all.
        seed: of the drawing of elites.

    Attributes:
        archive: the archive of ribs; its field ``evaluation`` names the individual.
        individuals: the elites in the archive's order; None before the first.

    Raises:
        UserError: a learned descriptor, or ranges or cells that do not fit it.
    """

    def __init__(
        self,
        *,
        genome_size: int,
        descriptor: Descriptor,
        ranges: Sequence[Sequence[float]],
        cells: int | Sequence[int] = 50,
        seed: int,
    ) -> None:
        if descriptor.learned:
            raise UserError(
                f"A grid has fixed cells, so {type(descriptor).__name__}, which learns, cannot "
                "place individuals in it. Use a fixed descriptor, or novelty search."
            )
        bounds = np.asarray(ranges, dtype=np.float64)
        if (
            bounds.shape != (descriptor.size, 2)
            or not np.isfinite(bounds).all()
            or (bounds[:, 0] >= bounds[:, 1]).any()
        ):
            raise UserError(
                f"ranges must be {descriptor.size} pairs of a lower and a higher finite bound, one "
                f"for each number of {type(descriptor).__name__}, got {bounds.tolist()}."
            )
        dims = [cells] * descriptor.size if isinstance(cells, int) else list(cells)
        if len(dims) != descriptor.size:
            raise UserError(f"cells must be {descriptor.size} whole numbers, got {dims}.")
        self.archive = GridArchive(
            solution_dim=at_least("genome_size", genome_size, 1),
            dims=[at_least("cells", cell, 1) for cell in dims],
            ranges=[tuple(pair) for pair in bounds.tolist()],
            extra_fields={"evaluation": ((), np.int64)},
            seed=seed,
        )
        self.individuals: Individuals | None = None

    def __len__(self) -> int:
        return len(self.archive)

    def add(self, born: Individuals, generation: int) -> dict[str, Any]:
        """Add individuals and return what ribs says of each: ``status`` and ``value``, ``[n]``."""
        info = self.archive.add(**fields_of(born))
        kept = born.archived(generation)
        everyone = (
            kept if self.individuals is None else Individuals.joined([self.individuals, kept])
        )
        row = {int(name): index for index, name in enumerate(everyone.evaluation)}
        names = self.archive.data("evaluation")
        self.individuals = everyone[np.array([row[int(name)] for name in names], dtype=np.int64)]
        return info

    def state_dict(self) -> dict[str, Any]:
        """Return the elites in the archive's order, and its random state."""
        elites = self.individuals
        return {
            "elites": None if elites is None else elites.state_dict(),
            "random": hidden_random_state(self.archive),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.archive.clear()
        self.individuals = None
        if state["elites"] is not None:
            self.individuals = Individuals.from_state(state["elites"])
            # One by one: added together they would be put into the order of their cells, and other
            # elites would be drawn.
            columns = fields_of(self.individuals)
            for index in range(len(self.individuals)):
                self.archive.add_single(**{name: column[index] for name, column in columns.items()})
        set_hidden_random_state(self.archive, state["random"])


def fields_of(individuals: Individuals) -> dict[str, Any]:
    """Return the columns that an archive and an emitter of ribs are told."""
    return {
        "solution": individuals.genomes,
        "objective": individuals.reward,
        "measures": individuals.descriptor,
        "evaluation": individuals.evaluation,
    }
