"""Backends without a model: a stored exchange repeated bit for bit, and prepared replies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

from ctrl.design.backends.backend import Backend, Messages
from ctrl.design.backends.exchanges import read_exchanges
from reward_models.errors import UserError


@final
class Replay(Backend):
    """Repeat a stored exchange, and refuse at the first difference of what is asked.

    Args:
        path: ``exchange.jsonl`` of a run.

    Raises:
        UserError: the file cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._exchanges = read_exchanges(self._path)
        self._calls = 0

    def complete(self, messages: Messages, n: int, temperature: float) -> list[str]:
        """Return the stored replies to exactly these messages; see `Backend`."""
        place = f"{self._path}, exchange {self._calls + 1}"
        if self._calls >= len(self._exchanges):
            raise UserError(
                f"{place}: the stored conversation ends after {len(self._exchanges)} exchanges, "
                "and another answer is needed. Replay with the configuration it was made with."
            )
        exchange = self._exchanges[self._calls]
        exchange.check(messages, n, temperature, place)
        self._calls += 1
        self.last = exchange.usage
        return list(exchange.replies)

    def skip(self, calls: int, replies: int) -> None:
        """Go on behind the first ``calls`` exchanges."""
        self._calls = calls


@final
class Script(Backend):
    """Hand out prepared replies, one after the other, whatever is asked.

    Args:
        replies: a text for every continuation, or for each file with one the path of that file.

    Raises:
        UserError: no replies, or a file that cannot be read.
    """

    def __init__(self, replies: Sequence[str]) -> None:
        if isinstance(replies, str) or not replies:
            raise UserError("A script needs a list of replies: backend.replies: [one.md, ...].")
        self._replies = [_text(reply) for reply in replies]
        self._next = 0

    def complete(self, messages: Messages, n: int, temperature: float) -> list[str]:
        """Return the next ``n`` replies; see `Backend`."""
        if self._next + n > len(self._replies):
            raise UserError(
                f"The script has {len(self._replies)} replies, and reply {self._next + n} is asked "
                "for. Add replies, or lower rounds, samples or critic.retries."
            )
        given = self._replies[self._next : self._next + n]
        self._next += n
        return given

    def skip(self, calls: int, replies: int) -> None:
        """Go on behind the first ``replies`` replies."""
        self._next = replies


def _text(reply: str) -> str:
    if "\n" in reply or not reply.endswith((".md", ".txt", ".py")):
        return reply
    try:
        return Path(reply).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read the prepared reply {reply}: {error}.") from error
