"""A language model as designer: conversations from records, answers through any backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from ctrl.design import prompts
from ctrl.design.attempts import Request, Try
from ctrl.design.backends.backend import Backend
from ctrl.design.designer import Designer


@final
class ChatDesigner(Designer):
    """Ask a backend for programs, and for repairs of those that were refused.

    Args:
        backend: who answers.
        temperature: of new programs; 1.0 in Eureka.
        repair_temperature: of repairs.
    """

    def __init__(
        self, backend: Backend, *, temperature: float = 1.0, repair_temperature: float = 0.3
    ) -> None:
        self._backend = backend
        self._temperature, self._repair_temperature = temperature, repair_temperature

    def propose(self, request: Request) -> list[str]:
        """Return the backend's answers to the conversation of the round; see `Designer`."""
        return self._backend.complete(
            prompts.conversation(request), request.samples, self._temperature
        )

    def review(self, request: Request, source: str) -> str:
        """Return the backend's opinion about a program's logic, at temperature 0; see `Designer`.

        The question is a conversation of its own: the reviewer does not know who wrote it.
        """
        return self._backend.complete(prompts.logic(request, source), 1, 0.0)[0]

    def repair(self, request: Request, sample: int, tries: Sequence[Try]) -> str:
        """Return the backend's answer to the Critic's faults; see `Designer`."""
        messages = prompts.repair(request, tries)
        return self._backend.complete(messages, 1, self._repair_temperature)[0]
