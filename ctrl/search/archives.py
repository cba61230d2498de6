"""Archives: individuals that are kept for good, in the order in which they came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ctrl.search.descriptors import Descriptor
from ctrl.search.individuals import Individuals


# Not an archive of ribs: those decide by themselves what they let in (by cell or by a threshold on
# novelty) and fix the measures of what they hold, while here the method decides and a learned
# descriptor describes everything again. Grids are those of ribs, see `ctrl.search.grid`.
@final
class Archive:
    """Copies of individuals, each at most once; only grows."""

    def __init__(self) -> None:
        self._parts: list[Individuals] = []
        self._names: set[int] = set()

    def __len__(self) -> int:
        return len(self._names)

    def store(self, individuals: Individuals, generation: int) -> int:
        """Store copies of those that are not there yet and return how many those were."""
        names = individuals.evaluation.tolist()
        new = [
            row
            for row, name in enumerate(names)
            if name not in self._names and name not in names[:row]
        ]
        if new:
            self._parts.append(individuals[np.asarray(new)].archived(generation))
            self._names.update(names[row] for row in new)
        return len(new)

    def descriptors(self, size: int) -> NDArray[np.float64]:
        """Return the descriptors of all, ``[n, size]``; ``n = 0`` while it is empty."""
        return np.concatenate([np.empty((0, size)), *(part.descriptor for part in self._parts)])

    @property
    def individuals(self) -> Individuals | None:
        """Copies of all, or None while it is empty."""
        return Individuals.joined(self._parts) if self._parts else None

    def describe_again(self, descriptor: Descriptor) -> None:
        """Replace the descriptors of all by the present ones."""
        self._parts = [part.described_again(descriptor) for part in self._parts]

    def state_dict(self) -> dict[str, Any]:
        """Return everything that it holds."""
        everything = self.individuals
        return {"individuals": None if everything is None else everything.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        kept = state["individuals"]
        self._parts = [] if kept is None else [Individuals.from_state(kept)]
        self._names = {int(name) for part in self._parts for name in part.evaluation}
