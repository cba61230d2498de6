"""The contract of a search method: one generation at a time, state in plain arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from ctrl.search.episodes import Episodes, Evaluate


class SearchMethod(ABC):
    """Proposes genomes, learns from their episodes, and remembers what is worth keeping.

    A method never steps an environment; it calls ``evaluate``. All randomness comes from
    one generator that is made of its ``seed`` and belongs to its state, so that a search that was
    stopped between two generations goes on as if it had not been.

    Attributes:
        generation: generations done.
    """

    generation: int = 0

    @abstractmethod
    def step(self, evaluate: Evaluate, remaining: int) -> dict[str, float]:
        """Do one generation and return numbers to log.

        Args:
            evaluate: evaluates genomes ``[n, D]``.
            remaining: evaluations left of the budget, at least 1. A method may exceed it by no
                more than the rest of one batch.
        """

    @property
    @abstractmethod
    def archives(self) -> Mapping[str, Episodes]:
        """What is kept, by name: ``novelty`` covers behaviours, ``reward`` holds solutions.

        Changing what is returned changes nothing in the method.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes: arrays, numbers, texts, lists and dicts of them."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, of a method with the same settings."""
