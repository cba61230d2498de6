"""Every exchange with a backend on disk: one JSON object a line, in the order of the calls."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from ctrl.design.backends.backend import Backend, Messages, Usage
from reward_models.errors import UserError

_LONG = 60


@dataclass(frozen=True)
class Exchange:
    """One call and its answer.

    Attributes:
        messages: the conversation that was sent.
        n: continuations that were asked for.
        temperature: of the sampling.
        replies: the texts that came back.
        usage: what it cost.
    """

    messages: tuple[dict[str, str], ...]
    n: int
    temperature: float
    replies: tuple[str, ...]
    usage: Usage

    def as_line(self) -> str:
        """Return the exchange as one line of JSON, with its line break."""
        plain = {
            "messages": list(self.messages),
            "n": self.n,
            "temperature": self.temperature,
            "replies": list(self.replies),
            "usage": self.usage.as_dict(),
        }
        return json.dumps(plain, ensure_ascii=False) + "\n"

    def check(self, messages: Messages, n: int, temperature: float, place: str) -> None:
        """Refuse a call that is not the stored one.

        Args:
            messages: of the call.
            n: of the call.
            temperature: of the call.
            place: which exchange this is, for the message.

        Raises:
            UserError: the first difference: which message, and both texts from there on.
        """
        for number, (stored, sent) in enumerate(zip(self.messages, messages, strict=False)):
            for part in ("role", "content"):
                if stored[part] != sent[part]:
                    raise UserError(
                        f"{place}: {part} of message {number} differs from what was stored"
                        f"{_difference(stored[part], sent[part])}"
                    )
        for what, was, now in (
            ("number of messages", len(self.messages), len(messages)),
            ("n", self.n, n),
            ("temperature", self.temperature, temperature),
        ):
            if was != now:
                raise UserError(f"{place}: {what} was {was} when it was stored, now it is {now}.")


def read_exchanges(path: Path) -> list[Exchange]:
    """Read stored exchanges.

    A last line without its line break was being written when the process ended; it is left out.

    Raises:
        UserError: no such file, or a line that is no exchange.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read stored exchanges from {path}: {error}.") from error
    whole = text[: text.rfind("\n") + 1]
    return [
        _parsed(line, f"{path}, line {number}")
        for number, line in enumerate(whole.split("\n"), start=1)
        if line.strip()
    ]


@final
class StoredExchanges(Backend):
    """Any backend with everything that passes through it on disk.

    Calls that the file answers already are answered from it, in order, so work that was interrupted
    goes on with the same conversation and asks the backend for new ones only.

    Args:
        inner: the backend.
        path: the file; it may hold the beginning of the conversation.

    Attributes:
        total: what all calls cost, those before an interruption included.
    """

    def __init__(self, inner: Backend, path: Path) -> None:
        self._inner, self._path = inner, path
        self._known = read_exchanges(path) if path.is_file() else []
        self._calls = 0
        self.total = sum((exchange.usage for exchange in self._known), Usage())
        inner.skip(len(self._known), sum(exchange.n for exchange in self._known))
        if path.is_file():
            # What a killed process began to write would else run into the next line.
            lines = "".join(exchange.as_line() for exchange in self._known)
            if path.read_text(encoding="utf-8") != lines:
                path.write_text(lines, encoding="utf-8")

    def complete(self, messages: Messages, n: int, temperature: float) -> list[str]:
        """Answer from the file, or ask the backend and keep what it says; see `Backend`."""
        if self._calls < len(self._known):
            known = self._known[self._calls]
            known.check(messages, n, temperature, f"{self._path}, exchange {self._calls + 1}")
            self.last, self._calls = known.usage, self._calls + 1
            return list(known.replies)
        replies = self._inner.complete(messages, n, temperature)
        self.last = self._inner.last
        self.total += self.last
        exchange = Exchange(
            tuple(dict(message) for message in messages), n, temperature, tuple(replies), self.last
        )
        with self._path.open("a", encoding="utf-8") as file:
            file.write(exchange.as_line())
            file.flush()
            os.fsync(file.fileno())
        self._known.append(exchange)
        self._calls += 1
        return replies


def _difference(stored: str, sent: str) -> str:
    pairs = zip(stored, sent, strict=False)
    shorter = min(len(stored), len(sent))
    same = next((place for place, (a, b) in enumerate(pairs) if a != b), shorter)
    return (
        f" at character {same}: it was {stored[same : same + _LONG]!r}, "
        f"now it is {sent[same : same + _LONG]!r}."
    )


def _parsed(line: str, place: str) -> Exchange:
    try:
        plain: dict[str, Any] = json.loads(line)
        return Exchange(
            messages=tuple(
                {"role": str(message["role"]), "content": str(message["content"])}
                for message in plain["messages"]
            ),
            n=int(plain["n"]),
            temperature=float(plain["temperature"]),
            replies=tuple(str(reply) for reply in plain["replies"]),
            usage=Usage(**plain["usage"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{place} is no stored exchange: {error}.") from error
