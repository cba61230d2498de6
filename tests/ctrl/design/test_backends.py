"""Backends: stored exchanges, replay bit for bit, and a real server over HTTP."""

import json
from pathlib import Path

import pytest
import yaml

from ctrl.design.attempts import read_history
from ctrl.design.backends.backend import Usage
from ctrl.design.backends.exchanges import StoredExchanges, read_exchanges
from ctrl.design.backends.openai_chat import OpenAIChat
from ctrl.design.backends.replay import Replay, Script
from ctrl.design.run import design
from reward_models.errors import UserError

FAULTS = [["line 12", "syntax"], ["line 1", "syntax"], ["line 1", "syntax"]]
ASKED = [{"role": "system", "content": "rules"}, {"role": "user", "content": "write \u2028 one"}]


def stored(path, replies=("first", "second\nline", "third")):
    backend = StoredExchanges(Script(list(replies)), path)
    return backend, [backend.complete(ASKED, 2, 1.0), backend.complete(ASKED, 1, 0.3)]


def test_a_replay_repeats_bit_for_bit(tmp_path):
    path = tmp_path / "exchange.jsonl"
    _, replies = stored(path)
    replay = Replay(path)
    assert [replay.complete(ASKED, 2, 1.0), replay.complete(ASKED, 1, 0.3)] == replies


@pytest.mark.parametrize(
    ("messages", "n", "temperature", "said"),
    [
        ([ASKED[0], {"role": "user", "content": "write \u2028 two"}], 2, 1.0, "at character 8"),
        ([ASKED[0], {"role": "system", "content": ASKED[1]["content"]}], 2, 1.0, "role of message"),
        (ASKED[:1], 2, 1.0, "number of messages was 2"),
        (ASKED, 1, 1.0, "n was 2"),
        (ASKED, 2, 0.5, "temperature was 1.0"),
    ],
)
def test_a_replay_refuses_the_first_difference(tmp_path, messages, n, temperature, said):
    path = tmp_path / "exchange.jsonl"
    stored(path)
    with pytest.raises(UserError, match=said):
        Replay(path).complete(messages, n, temperature)


def test_a_replay_ends_with_its_file(tmp_path):
    stored(tmp_path / "exchange.jsonl")
    replay = Replay(tmp_path / "exchange.jsonl")
    replay.skip(2, 3)
    with pytest.raises(UserError, match="ends after 2 exchanges"):
        replay.complete(ASKED, 1, 1.0)


def test_an_interrupted_conversation_goes_on_where_it_was(tmp_path):
    path = tmp_path / "exchange.jsonl"
    _, replies = stored(path)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    # Killed while the second answer was being written.
    path.write_bytes(whole[: first + 30])
    _, again = stored(path)
    assert again == replies
    assert path.read_bytes() == whole


def test_a_file_that_is_no_exchange_is_refused(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"messages": 3}\n')
    with pytest.raises(UserError, match="line 1 is no stored exchange"):
        read_exchanges(tmp_path / "x.jsonl")


def test_a_script_ends(tmp_path):
    with pytest.raises(UserError, match="has 1 replies"):
        Script(["one"]).complete(ASKED, 2, 1.0)
    with pytest.raises(UserError, match="needs a list"):
        Script([])
    (tmp_path / "reply.md").write_text("from a file\n")
    assert Script([str(tmp_path / "reply.md")]).complete(ASKED, 1, 1.0) == ["from a file\n"]


def test_a_server_answers_over_http(script, tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.setenv("TEST_KEY", "secret-of-mine")
    server = script("chat_server")
    path = tmp_path / "exchange.jsonl"
    with server.ChatServer(server.untrained(seed=3), failures=[500, 429]) as running:
        chat = OpenAIChat(
            model="tiny", base_url=running.address, key_variable="TEST_KEY", max_tokens=12,
            retries=3, prompt_price=2.0, completion_price=4.0,
        )  # fmt: skip
        backend = StoredExchanges(chat, path)
        replies = backend.complete(ASKED, 2, 0.7)
    assert len(replies) == 2
    assert all(replies)
    # Two refusals, and two answers because the server gives one choice at a time.
    assert [asked["n"] for asked in running.requests] == [2, 2, 2, 1]
    assert running.requests[-1]["messages"] == ASKED
    assert running.requests[-1]["temperature"] == 0.7
    read = len("system:\nrules\n\nuser:\nwrite \u2028 one\n\nassistant:\n".encode())
    assert backend.total == Usage(2, 2 * read, 24, (2 * read * 2 + 24 * 4) / 1e6)
    assert "secret-of-mine" not in path.read_text()
    assert Replay(path).complete(ASKED, 2, 0.7) == replies
    assert json.loads(path.read_text())["usage"]["completion_tokens"] == 24


def test_a_server_that_is_not_there_is_said(monkeypatch):
    pytest.importorskip("openai")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(UserError, match="environment variable OPENAI_API_KEY"):
        OpenAIChat(model="any")
    chat = OpenAIChat(model="any", base_url="http://127.0.0.1:9/v1", retries=0, timeout=2)
    with pytest.raises(UserError, match="gave no answer"):
        chat.complete(ASKED, 1, 1.0)


def test_what_a_small_language_model_wrote_is_replayed_and_refused(tmp_path):
    # Gemma 3 270M (a base model) behind experiments/design/chat_server.py, asked once for a program
    # and twice for a repair; it answered with prose.
    pytest.importorskip("pydantic_monty")
    folder = Path(__file__).parents[3] / "experiments" / "design"
    path = folder / "exchanges" / "gemma-3-270m.jsonl"
    config = yaml.safe_load((folder / "lava_grid.yaml").read_text())
    config |= {
        "backend": {"name": "replay", "path": str(path)}, "rounds": 1, "baseline": False,
        "critic": {"retries": 2},
    }  # fmt: skip
    result = design(config, out=tmp_path / "run")
    assert (result.accepted, result.refused, result.best) == (0, 3, None)
    assert result.usage == Usage(3, 2187, 660, 0.0)
    assert (tmp_path / "run" / "exchange.jsonl").read_bytes() == path.read_bytes()
    (attempt,) = read_history(tmp_path / "run" / "history.jsonl")
    assert [len(one.faults) for one in attempt.tries] == [1, 1, 1]
    assert [one.faults[0].split(": ")[:2] for one in attempt.tries] == FAULTS
    assert attempt.trial is None


def test_a_whole_design_over_http_is_replayed_without_the_server(script, tmp_path):
    pytest.importorskip("pydantic_monty")
    pytest.importorskip("transformers")
    server = script("chat_server")
    config = {
        "env": "LavaGrid-v0", "task": "Walk to the goal.", "rounds": 1, "samples": 2,
        "baseline": False, "critic": {"retries": 1}, "inputs": {"samples": 32},
    }  # fmt: skip
    with server.ChatServer(server.untrained(), most_choices=2) as running:
        asked = {
            "name": "openai", "model": "tiny", "base_url": running.address, "max_tokens": 8,
            "temperature": 0.9,
        }  # fmt: skip
        result = design({**config, "backend": asked}, out=tmp_path / "run")
    # Random bytes are no program: two samples, one repair each.
    assert (result.accepted, result.refused, result.usage.requests) == (0, 4, 3)
    assert [request["n"] for request in running.requests] == [2, 1, 1]
    assert [request["temperature"] for request in running.requests] == [0.9, 0.3, 0.3]
    replay = {"name": "replay", "path": str(tmp_path / "run" / "exchange.jsonl")}
    design({**config, "backend": {**replay, "temperature": 0.9}}, out=tmp_path / "again")
    for name in ("history.jsonl", "exchange.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()
