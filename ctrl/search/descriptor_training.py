"""When and on what a learned descriptor is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np

from ctrl.search.descriptors import Descriptor
from ctrl.search.episodes import Episodes
from ctrl.search.individuals import Individuals


@final
class DescriptorTraining:
    """Trains a descriptor after 1, then 2, then 3 ... further chunks of exploration.

    So after 1, 3, 6, 10 ... chunks in all: often while behaviours are new, seldom later (TAXONS,
    Paolo et al. 2020).

    Args:
        descriptor: a learned one is trained, any other left alone.
        enabled: whether to train at all; STAX-NT does not.

    Attributes:
        trainings: how often it was trained.
    """

    def __init__(self, descriptor: Descriptor, *, enabled: bool) -> None:
        self.descriptor = descriptor
        self.enabled = enabled and descriptor.learned
        self.chunks, self.trainings = 0, 0

    def after_chunk(self, kept: Sequence[Individuals]) -> dict[str, float]:
        """Count a chunk, and train on the episodes of all that is kept when it is time.

        An individual that is kept in several places is learned from once.

        Returns:
            What training measured, under ``descriptor/``; ``{}`` without a training.
        """
        self.chunks += 1
        if not self.enabled or self.chunks < (self.trainings + 1) * (self.trainings + 2) // 2:
            return {}
        self.trainings += 1
        measured = self.descriptor.learn(_different(kept))
        return {f"descriptor/{name}": float(value) for name, value in measured.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the counts, and the state of the descriptor."""
        return {
            "chunks": self.chunks,
            "trainings": self.trainings,
            "version": self.descriptor.version,
            "descriptor": self.descriptor.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.chunks, self.trainings = int(state["chunks"]), int(state["trainings"])
        self.descriptor.load_state_dict(state["descriptor"])
        self.descriptor.version = int(state["version"])


def _different(kept: Sequence[Individuals]) -> Episodes:
    seen: set[int] = set()
    parts = []
    for group in kept:
        new = np.array([name not in seen for name in group.evaluation.tolist()], dtype=bool)
        seen.update(group.evaluation.tolist())
        parts.append(group.episodes[new])
    return Episodes.joined(parts)
