"""Programs that break, cheat or attack: each is refused with its line, and none does anything."""

import re
import time
from pathlib import Path

import pytest
import torch

from reward_models.coded import coded_reward
from reward_models.coded.coded_reward import CodedReward
from reward_models.coded.critic import Verdict, review
from reward_models.coded.program import Convention, Program
from reward_models.errors import UserError

FILES = sorted((Path(__file__).parent / "hostile").glob("*/*.txt"))
NAMES = [f"{path.parent.name}/{path.stem}" for path in FILES]
# A call of at most 0.5 s runs once, and once more to find the line; the rest is room.
LONGEST = 12.0


def test_that_there_are_enough_of_every_kind():
    assert len(FILES) >= 100
    groups = {path.parent.name for path in FILES}
    asked = {"file", "network", "process", "memory", "recursion", "time", "dunder", "output"}
    assert groups >= asked | {"smuggling", "values", "mutation"}


@pytest.fixture
def outside(tmp_path, listener, monkeypatch):
    """A folder, a listening port and a secret that no program may touch."""
    monkeypatch.setenv("SECRET_OF_THE_TEST", "the-secret")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keep").write_text("kept")

    def prepare(path):
        text = path.read_text(encoding="utf-8")
        port = listener.getsockname()[1]
        return text.replace("{folder}", str(tmp_path)).replace("{port}", str(port))

    yield prepare
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"keep": "kept"}
    with pytest.raises(BlockingIOError):
        listener.accept()


def header(text):
    """Return the kinds of faults, of which one is found, and the convention."""
    kinds, convention = (
        re.search(rf"^# {name}: ([\w ]+)$", text, re.M)[1] for name in ("kind", "convention")
    )
    return set(kinds.split()), convention


def marked(text):
    return {number for number, line in enumerate(text.split("\n"), 1) if line.endswith("# <--")}


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_that_the_critic_refuses_it_with_its_kind_and_line(path, outside, inputs, sandbox):
    text = outside(path)
    kinds, convention = header(text)
    start = time.monotonic()
    verdict = review(text, convention, inputs, sandbox=sandbox)
    assert time.monotonic() - start < LONGEST
    assert verdict.program is None
    found = [fault for fault in verdict.faults if fault.kind in kinds]
    expected = marked(text) or {1}
    if any("was terminated" in fault.message for fault in found):
        # A worker that dies of an allocation says nothing of its line: the first function's it is.
        expected |= {3}
    assert {fault.line for fault in found} & expected, str(verdict)
    for fault in verdict.faults:
        assert 1 <= fault.line <= text.count("\n") + 1
        assert fault.message
        assert len(fault.message) < 1000
        assert "the-secret" not in fault.message


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_that_it_does_nothing_even_when_nobody_reviewed_it(
    *, path, outside, inputs, limits, make_program, make_record, monkeypatch
):
    """The sandbox alone must hold: the run goes on, with the program's values or the last good."""
    text = outside(path)
    _, convention = header(text)

    def accept(source, convention, inputs, **options):
        return Verdict(Program(source, convention, inputs), ())

    convention = Convention(convention)

    monkeypatch.setattr(coded_reward, "review", accept)
    good = make_program(dense="obs['position']")
    record = make_record(4, 2)
    expected = CodedReward(program=good, limits=limits)(record)[0]
    try:
        model = CodedReward(program=Program(text, convention, inputs), fallback=good, limits=limits)
    except (SyntaxError, ValueError, RecursionError, UserError):
        return  # no program at all: there is nothing to run
    start = time.monotonic()
    reward, _ = model(record)
    metrics = model.update(record)
    assert time.monotonic() - start < LONGEST
    assert bool(reward.isfinite().all())
    if model.faults:
        assert metrics["faults"] == 1.0
        assert 1 <= model.faults[0].line <= text.count("\n") + 1
        assert "the-secret" not in model.faults[0].message
        torch.testing.assert_close(reward, expected, rtol=0, atol=0)
        torch.testing.assert_close(model(record)[0], expected, rtol=0, atol=0)
