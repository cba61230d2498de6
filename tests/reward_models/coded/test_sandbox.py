import copy
import os
import signal
from pathlib import Path

import pytest

from reward_models.coded.faults import FaultKind
from reward_models.coded.limits import Limits
from reward_models.coded.sandbox import Sandbox, SandboxError, shared_sandbox
from reward_models.errors import UserError

DOUBLE = ("def double(x):\n    return 2 * x\n",)


def children():
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z":
            found.append(int(entry.parent.name))
    return set(found)


def test_that_a_session_is_reused_and_ends_with_the_sandbox():
    before = children()
    with Sandbox(Limits(), workers=1) as sandbox:
        assert [sandbox.run(DOUBLE, "double(x)", {"x": x}) for x in (1, 2)] == [2, 4]
        assert len(children() - before) == 1
    assert children() == before


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_that_a_killed_worker_is_replaced():
    before = children()
    with Sandbox(Limits(), workers=1) as sandbox:
        sandbox.run(DOUBLE, "double(x)", {"x": 1})
        (worker,) = children() - before
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(SandboxError) as caught:
            sandbox.run(DOUBLE, "double(x)", {"x": 1})
        assert caught.value.kind is FaultKind.CRASH
        assert sandbox.run(DOUBLE, "double(x)", {"x": 3}) == 6


def test_that_an_exceeded_limit_leaves_the_next_call_alone():
    limits = Limits(seconds=0.1, seconds_per_step=0, memory=2**24)
    with Sandbox(limits, workers=1) as sandbox:
        for call, kind in (
            ("sum(range(10**12))", FaultKind.TIME),
            ("len([0] * 10**9)", FaultKind.MEMORY),
            ("1 / 0", FaultKind.DIVISION),
        ):
            with pytest.raises(SandboxError) as caught:
                sandbox.run(DOUBLE, call, {})
            assert caught.value.kind is kind
            assert sandbox.run(DOUBLE, "double(4)", {}) == 8


def test_that_more_programs_than_workers_take_turns():
    with Sandbox(Limits(), workers=2) as sandbox:
        for _ in range(2):
            for n in range(5):
                assert sandbox.run((f"n = {n}\n",), "n", {}) == n


def test_that_copies_share_the_sandbox_of_the_process():
    sandbox = shared_sandbox(Limits())
    assert copy.deepcopy(sandbox) is sandbox
    assert shared_sandbox(Limits(seconds=9.0)) is not sandbox
    with pytest.raises(UserError, match="at least 1 worker"):
        Sandbox(workers=0)
