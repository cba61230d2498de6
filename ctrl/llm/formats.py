"""From texts to tokens and back: how turns of an environment become one growing sequence."""

from __future__ import annotations

from typing import Any, final

from reward_models.errors import UserError

_MARK = "\u2042answer\u2042"


@final
class PromptFormat:
    r"""Tokens of the first text, of later ones, and the command in an answer.

    ``plain`` puts ``\n> `` behind every text and a line break between a turn and the next text.
    ``chat`` renders texts as the user's messages by the tokenizer's own template.

    Args:
        tokenizer: of ``transformers``.
        kind: ``plain`` or ``chat``.
        answer_marker: the command stands behind it; None when all of a turn is the command. An
            answer without the marker is the empty command.

    Attributes:
        end: the token that ends a turn.
        stops: all tokens at which sampling stops.

    Raises:
        UserError: ``chat`` with a tokenizer that has no template.
    """

    def __init__(
        self, tokenizer: Any, *, kind: str = "plain", answer_marker: str | None = None,
        stops: frozenset[int] = frozenset(),
    ) -> None:  # fmt: skip
        self.tokenizer, self.answer_marker = tokenizer, answer_marker
        self.end = int(tokenizer.eos_token_id)
        if kind == "plain":
            start = tokenizer.bos_token or ""
            self._before, self._between, self._after = start, "\n", "\n> "
        else:
            self._before, self._between, self._after = self._template()
        self.stops = stops | {self.end}

    def _template(self) -> tuple[str, str, str]:
        """Cut the template's rendering of a short talk into what stands around texts."""
        if not getattr(self.tokenizer, "chat_template", None):
            raise UserError(
                "algo.prompt_format: chat needs a tokenizer with a chat template, and this one has "
                "none. Take plain."
            )
        messages = [
            {"role": "user", "content": f"{_MARK}1"},
            {"role": "assistant", "content": f"{_MARK}2"},
            {"role": "user", "content": f"{_MARK}3"},
        ]
        text = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        try:
            before, rest = text.split(f"{_MARK}1")
            _, rest = rest.split(f"{_MARK}2")
            between, after = rest.split(f"{_MARK}3")
        except ValueError:
            raise UserError(
                "The tokenizer's chat template changes or leaves out messages, so turns cannot be "
                "appended one by one. Take algo.prompt_format: plain."
            ) from None
        # The end of a turn is written by the policy itself.
        tokens = self._encode(between)
        if tokens:
            self.end = tokens[0]
            between = between.removeprefix(self.tokenizer.decode(tokens[:1]))
        return before, between, after

    def first(self, text: str) -> list[int]:
        """Return the tokens of an episode's first text."""
        return self._encode(self._before + text + self._after)

    def later(self, text: str) -> list[int]:
        """Return the tokens of a later text, behind a turn of the policy."""
        return self._encode(self._between + text + self._after)

    def answer(self, command: str) -> list[int]:
        """Return the tokens of a turn in which an expert gives a command, its end included."""
        return [*self._encode((self.answer_marker or "") + command), self.end]

    def command(self, tokens: list[int]) -> str:
        """Return the command in the policy's tokens; text is data, nothing in it is executed."""
        text = self.text(tokens)
        if self.answer_marker is not None:
            text = text.partition(self.answer_marker)[2]
        return text.strip()

    def text(self, tokens: list[int]) -> str:
        """Return tokens as text without special ones."""
        return self.tokenizer.decode(tokens, skip_special_tokens=True)

    def thinking(self, tokens: list[int]) -> int:
        """Return how many tokens of a turn stand before the command: the first segment's."""
        marker = self.answer_marker
        if marker is None or marker not in self.text(tokens):
            return 0 if marker is None else len(tokens)
        low, high = 1, len(tokens)
        while low < high:
            middle = (low + high) // 2
            if marker in self.text(tokens[:middle]):
                high = middle
            else:
                low = middle + 1
        return low

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)
