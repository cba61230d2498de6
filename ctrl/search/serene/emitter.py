"""An emitter: a small population that searches around one rewarded individual."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ctrl.search.archives import Archive
from ctrl.search.descriptors import Descriptor
from ctrl.search.individuals import Individuals
from ctrl.search.serene.improvement import first_mean, improvement, last_mean


@final
class Emitter:
    """What an emitter is and remembers, whatever way it searches.

    Args:
        ancestor: the individual it was started from, one row.
        sigma: standard deviation of a gene's mutation.

    Attributes:
        members: its population, ``M_e`` individuals; None before the first generation.
        records: rewards ``[M_e]`` of the members of every generation.
        improvement: ``I``, as of the last `rate`.
        most_novel: the most novel individual it has met, one row; at first its ancestor.
        novelty: that individual's novelty; None while it is not known in the present descriptor.
        buffer: individuals it found that were more novel than any it had met.
        optimizer: state of the evolution strategy, for the kind that has one.
        stopped: whether the evolution strategy has converged.
    """

    def __init__(self, *, ancestor: Individuals, sigma: float) -> None:
        self.ancestor, self.sigma = ancestor, sigma
        self.members: Individuals | None = None
        self.records: list[NDArray[np.float64]] = []
        self.improvement = 0.0
        self.most_novel = ancestor
        self.novelty: float | None = None
        self.buffer: list[Individuals] = []
        self.optimizer: dict[str, Any] | None = None
        self.stopped = False
        self._stored = 0.0
        self._reference: float | None = None

    def record(self, members: Individuals) -> None:
        """Take over a generation's population and record its rewards."""
        self.members = members
        self.records.append(members.reward.copy())

    def rate(self, *, local: bool) -> None:
        """Set the improvement.

        Args:
            local: compare with the last three generations of the previous rating rather than with
                the first three of all.
        """
        if self._reference is None:
            self._reference = first_mean(self.records)
        self.improvement = improvement(self.records, self._reference)
        if local:
            self._reference = last_mean(self.records)

    def store_rewarded(self, archive: Archive, generation: int) -> None:
        """Store its best member, the first time; later all that beat what it has stored so far."""
        if self.members is None:
            return
        reward = self.members.reward
        rows = np.flatnonzero(reward > self._stored)
        if self._stored == 0:
            rows = rows[reward[rows].argsort(kind="stable")[-1:]]
        if len(rows):
            archive.store(self.members[rows], generation)
            self._stored = float(reward[rows].max())

    def buffer_novel(self, novelties: NDArray[np.float64]) -> None:
        """Put every member that is more novel than any before into the buffer.

        Args:
            novelties: ``[M_e]``, of the members; `novelty` must be known.
        """
        if self.members is None or self.novelty is None:
            return
        rows = np.flatnonzero(novelties > self.novelty)
        if len(rows):
            self.buffer.append(self.members[rows])
            best = int(novelties.argmax())
            self.most_novel = self.members[np.array([best])]
            self.novelty = float(novelties[best])

    def describe_again(self, descriptor: Descriptor) -> None:
        """Describe all that it keeps by the present descriptor; its best novelty is forgotten."""
        self.ancestor = self.ancestor.described_again(descriptor)
        self.most_novel, self.novelty = self.most_novel.described_again(descriptor), None
        if self.members is not None:
            self.members = self.members.described_again(descriptor)
        self.buffer = [group.described_again(descriptor) for group in self.buffer]

    def state_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "ancestor": self.ancestor.state_dict(),
            "sigma": self.sigma,
            "members": None if self.members is None else self.members.state_dict(),
            "records": list(self.records),
            "improvement": self.improvement,
            "most_novel": self.most_novel.state_dict(),
            "novelty": self.novelty,
            "buffer": [group.state_dict() for group in self.buffer],
            "optimizer": self.optimizer,
            "stopped": self.stopped,
            "stored": self._stored,
            "reference": self._reference,
        }

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> Emitter:
        """Return the emitter that `state_dict` was taken of."""
        emitter = Emitter(
            ancestor=Individuals.from_state(state["ancestor"]), sigma=float(state["sigma"])
        )
        members = state["members"]
        emitter.members = None if members is None else Individuals.from_state(members)
        emitter.records = list(state["records"])
        emitter.improvement = float(state["improvement"])
        emitter.most_novel = Individuals.from_state(state["most_novel"])
        emitter.novelty = state["novelty"]
        emitter.buffer = [Individuals.from_state(group) for group in state["buffer"]]
        emitter.optimizer, emitter.stopped = state["optimizer"], bool(state["stopped"])
        emitter._stored, emitter._reference = float(state["stored"]), state["reference"]
        return emitter
