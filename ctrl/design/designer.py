"""The contract of a designer: a request in, programs in their texts out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from ctrl.design.attempts import Request, Try


class Designer(ABC):
    """Somebody who writes reward programs.

    What a designer answers depends on the request alone (and on a model behind it), so a design
    that was interrupted can be taken up again from its records.
    """

    @abstractmethod
    def propose(self, request: Request) -> list[str]:
        """Return ``request.samples`` texts with one program each."""

    def review(self, request: Request, source: str) -> str:
        """Return what a language model says about the logic of a program that runs.

        Args:
            request: that of the round.
            source: of the program.

        Returns:
            A text that begins with ``ACCEPT`` or ``REJECT``; '' where there is no model.
        """
        return ""

    @abstractmethod
    def repair(self, request: Request, sample: int, tries: Sequence[Try]) -> str:
        """Return another text for a sample whose latest program was refused.

        Args:
            request: that of the round.
            sample: which of the samples, from 1.
            tries: what was written for it so far, with the Critic's faults.
        """
