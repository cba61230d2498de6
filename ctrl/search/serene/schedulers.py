"""Schedulers: how chunks of the budget are shared between exploring and exploiting."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ctrl.search.operators import positive

EXPLORE, EXPLOIT = "explore", "exploit"
PHASES = (EXPLORE, EXPLOIT)


class PhaseScheduler(ABC):
    """Says which phase comes next; the first is always to explore.

    "Waiting" are candidates and emitters together.
    """

    @abstractmethod
    def next_phase(self, phase: str, before: int, after: int) -> str:
        """Learn from a finished phase and return the next one.

        Args:
            phase: the finished one.
            before: emitters that waited when it began.
            after: that wait now.

        Returns:
            ``explore`` or ``exploit``; ``exploit`` only where ``after > 0``.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return what changes; nothing by default."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - mostly nothing
        """Take over what `state_dict` returned."""


@final
class Alternating(PhaseScheduler):
    """Explore and exploit in turn; explores again while there is nothing to exploit."""

    def next_phase(self, phase: str, before: int, after: int) -> str:
        """Return the other phase, or ``explore`` without emitters."""
        return EXPLOIT if phase == EXPLORE and after else EXPLORE


@final
class UpperConfidenceBound(PhaseScheduler):
    """A bandit with two arms; takes the one with the largest ``Q + c sqrt(ln t / n)``.

    ``Q`` is the mean reward of an arm, ``n`` how often it was taken and ``t`` the sum of both.
    Exploring is paid ``-tanh(increase of waiting emitters)`` and exploiting
    ``+tanh(increase of waiting emitters)``: whoever explores and finds should exploit next, and
    whoever has used up what waited should explore. An arm that was never taken comes first, and
    exploring is forced until the first emitter waits. Taking ``exploit`` with nothing waiting is
    paid -1 and no phase.

    Args:
        c: weight of the uncertainty.

    Raises:
        UserError: ``c`` is not above 0.
    """

    def __init__(self, *, c: float = 1.0) -> None:
        self.c = positive("c", c)
        self.values = np.zeros(2)
        self.counts = np.zeros(2, dtype=np.int64)
        self.found = False

    def next_phase(self, phase: str, before: int, after: int) -> str:
        """Learn what the phase was worth and take the arm with the highest bound."""
        gain = math.tanh(after - before)
        self._learn(phase, -gain if phase == EXPLORE else gain)
        self.found |= after > 0
        if not self.found:
            return EXPLORE
        while True:
            taken = PHASES[int(self.bounds().argmax())]
            if taken == EXPLORE or after:
                return taken
            self._learn(EXPLOIT, -1.0)

    def bounds(self) -> NDArray[np.float64]:
        """Return the bounds of ``explore`` and ``exploit``; infinite for one never taken."""
        width = np.full(2, np.inf)
        taken = self.counts > 0
        width[taken] = np.sqrt(math.log(max(self.counts.sum(), 1)) / self.counts[taken])
        return self.values + self.c * width

    def _learn(self, phase: str, reward: float) -> None:
        arm = PHASES.index(phase)
        self.counts[arm] += 1
        self.values[arm] += (reward - self.values[arm]) / self.counts[arm]

    def state_dict(self) -> dict[str, Any]:
        """Return values, counts and whether an emitter ever waited."""
        return {
            "values": self.values.copy(),
            "counts": self.counts.copy(),
            "found": self.found,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.values, self.counts = state["values"].copy(), state["counts"].copy()
        self.found = bool(state["found"])
