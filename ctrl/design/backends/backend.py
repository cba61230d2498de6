"""The contract of a backend: messages in, texts out, and a count of what it cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Messages = Sequence[Mapping[str, str]]
"""A conversation: ``{"role": "system" | "user" | "assistant", "content": text}`` each."""


@dataclass(frozen=True)
class Usage:
    """What a backend was asked for and what it cost.

    Attributes:
        requests: calls that were answered.
        prompt_tokens: read by the model, as the server counts them.
        completion_tokens: written by it.
        cost: in the unit of the configured prices; 0 without prices.
    """

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost + other.cost,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


class Backend(ABC):
    """Something that continues a conversation.

    Attributes:
        last: what the latest answer cost.
    """

    last: Usage = Usage()

    @abstractmethod
    def complete(self, messages: Messages, n: int, temperature: float) -> list[str]:
        """Return ``n`` independent continuations of a conversation.

        Args:
            messages: the conversation so far.
            n: how many, at least 1.
            temperature: of the sampling, 0 or more.

        Returns:
            Exactly ``n`` texts.

        Raises:
            UserError: the backend cannot answer, with the reason and the cure.
        """

    def skip(self, calls: int, replies: int) -> None:  # noqa: B027 - most have nothing to skip
        """Go on behind calls that a stored exchange has answered already.

        Backends that answer from the conversation alone have nothing to do.

        Args:
            calls: how many.
            replies: how many texts they were answered with.
        """
