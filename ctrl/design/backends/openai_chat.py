"""Any server that speaks OpenAI's chat protocol: vLLM, llama.cpp, Ollama, or a hosted one."""

from __future__ import annotations

import os
from typing import Any, final

from ctrl.design.backends.backend import Backend, Messages, Usage
from reward_models.errors import MissingDependencyError, UserError

_MILLION = 1e6


@final
class OpenAIChat(Backend):
    """Ask a server for chat completions through the ``openai`` client.

    The key comes from the environment and goes nowhere else: not into configurations, stored
    exchanges or messages of errors. A server on an address of your own needs none.

    Args:
        model: what the server calls it.
        base_url: address of the server, such as ``http://localhost:8000/v1``; None for the one of
            the client (``OPENAI_BASE_URL``, else OpenAI's own).
        key_variable: name of the environment variable with the key.
        max_tokens: the longest answer, in tokens.
        retries: further attempts after a lost connection, a timeout, a rate limit or an error of
            the server, with growing pauses.
        timeout: seconds until an attempt counts as lost.
        seed: sent along, for servers that can repeat themselves; None sends none.
        prompt_price: of a million tokens read.
        completion_price: of a million tokens written.

    Raises:
        MissingDependencyError: ``openai`` is not installed.
        UserError: no key, and no address of a server that might need none.
    """

    def __init__(
        self,
        *,
        model: str,
        base_url: str | None = None,
        key_variable: str = "OPENAI_API_KEY",
        max_tokens: int = 2048,
        retries: int = 4,
        timeout: float = 300.0,
        seed: int | None = None,
        prompt_price: float = 0.0,
        completion_price: float = 0.0,
    ) -> None:
        try:
            import openai
        except ImportError as error:
            raise MissingDependencyError(
                "The openai backend needs the client: pip install 'ctrl[design]'."
            ) from error
        key = os.environ.get(key_variable)
        if key is None and base_url is None and "OPENAI_BASE_URL" not in os.environ:
            raise UserError(
                f"The openai backend needs a key in the environment variable {key_variable}, or "
                "the address of a server of your own: backend.base_url=http://localhost:8000/v1."
            )
        self._errors = openai.OpenAIError
        # The client insists on a key; servers without one ignore it.
        self._client = openai.OpenAI(
            api_key=key or "none", base_url=base_url, max_retries=retries, timeout=timeout
        )
        self._settings: dict[str, Any] = {"model": model, "max_tokens": max_tokens}
        if seed is not None:
            self._settings["seed"] = seed
        self._prices = (prompt_price, completion_price)

    def complete(self, messages: Messages, n: int, temperature: float) -> list[str]:
        """Ask the server; one that gives fewer than ``n`` answers is asked again for the rest.

        Raises:
            UserError: the server cannot be reached or refuses, after all attempts.
        """
        replies: list[str] = []
        conversation: Any = [dict(message) for message in messages]
        self.last = Usage()
        while len(replies) < n:
            missing = n - len(replies)
            try:
                answer = self._client.chat.completions.create(
                    messages=conversation,
                    n=missing,
                    temperature=temperature,
                    **self._settings,
                )
            except self._errors as error:
                raise UserError(
                    f"The server at {self._client.base_url} gave no answer: {error} Check the "
                    "address (backend.base_url), the name of the model (backend.model) and the "
                    "key; nothing is lost, the same command goes on from here."
                ) from error
            if not answer.choices:
                raise UserError(f"The server at {self._client.base_url} answered with no choices.")
            replies += [choice.message.content or "" for choice in answer.choices[:missing]]
            self.last += self._usage(answer.usage)
        return replies

    def _usage(self, counted: Any) -> Usage:
        read = int(getattr(counted, "prompt_tokens", 0) or 0)
        written = int(getattr(counted, "completion_tokens", 0) or 0)
        cost = (read * self._prices[0] + written * self._prices[1]) / _MILLION
        return Usage(1, read, written, cost)
