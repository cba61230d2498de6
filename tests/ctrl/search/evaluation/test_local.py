"""One pool of processes for all tests: a process takes seconds to start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from ctrl.config import EnvConfig, TermConfig
from ctrl.search.evaluation import CountedEvaluate, Evaluator, LocalProcesses, Setting
from reward_models.errors import UserError

GENOMES = np.random.default_rng(0).normal(size=(3000, 27))
WALKER = Setting(
    env=EnvConfig("PointWalker-v0"),
    genome={"kind": "controller", "hidden": [5]},
    samples=2,
    reward={"task": TermConfig(use="task", weight=2.0)},
)


@pytest.fixture(scope="module")
def pool():
    with LocalProcesses(WALKER, processes=2) as processes:
        processes.evaluate(GENOMES[:2], 0)
        yield processes


@pytest.fixture(scope="module")
def expected():
    with Evaluator(WALKER) as evaluator:
        return evaluator.evaluate(GENOMES, 40)


def test_two_processes_give_what_one_gives(pool, expected, same):
    assert len(set(pool.process_ids)) == 2
    assert same(pool.evaluate(GENOMES, 40), expected)
    assert same(pool.evaluate(GENOMES[:1], 40), expected[:1])


def test_a_process_that_is_killed_is_replaced_and_each_evaluation_counted_once(
    pool, expected, same
):
    evaluate = CountedEvaluate(pool, used=40)
    victim = pool.process_ids[0]
    # 0.1 s into a generation of 0.3 s or more.
    killer = threading.Timer(0.1, os.kill, (victim, signal.SIGKILL))
    killer.start()
    assert same(evaluate(GENOMES), expected)
    killer.join()
    assert evaluate.used == 40 + len(GENOMES)
    # One that dies while there is nothing to do is noticed with the next question.
    os.kill(pool.process_ids[1], signal.SIGKILL)
    assert same(pool.evaluate(GENOMES, 40), expected)
    assert victim not in pool.process_ids
    assert len(pool.process_ids) == 2


def test_mistakes_come_back_as_they_are_and_leave_nothing_behind(pool, expected, same, monkeypatch):
    with pytest.raises(UserError, match=r"\[n, 27\]"):
        pool.evaluate(np.zeros((3, 26)), 0)
    # Past the check of this process, so that another one finds it.
    monkeypatch.setattr(type(pool.genome), "checked", lambda self, genomes: genomes)
    broken = GENOMES.copy()
    broken[7, 3] = np.nan
    with pytest.raises(UserError, match="Gene 3 of genome"):
        pool.evaluate(broken, 0)
    assert pool.process_ids == []


def test_fewer_than_one_process_is_refused():
    with pytest.raises(UserError, match="processes must be at least 1"):
        LocalProcesses(WALKER, processes=0)


SCRIPT = """
import signal
import sys
import numpy as np
from ctrl.config import EnvConfig
from ctrl.search.evaluation import LocalProcesses, Setting

if __name__ == "__main__":
    # A shell starts what runs in the background with this signal ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    setting = Setting(env=EnvConfig("HardMaze-v0"), genome={"kind": "controller"})
    with LocalProcesses(setting, processes=1) as pool:
        genomes = np.zeros((100_000, pool.genome.size))
        pool.evaluate(genomes[:1], 0)
        print(*pool.process_ids, flush=True)
        try:
            pool.evaluate(genomes, 0)
        except KeyboardInterrupt:
            print("stopped", pool.process_ids, flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_search(how, tmp_path):
    path = tmp_path / "search.py"
    path.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, str(path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as search:
        worker = int(search.stdout.readline())
        time.sleep(0.3)
        if how == signal.SIGINT:
            os.killpg(search.pid, how)  # as a terminal does: all processes get it
            assert search.stdout.readline().strip() == "stopped []"
        else:
            search.kill()
        search.wait(timeout=60)
    for _ in range(600):
        if not _runs(worker):
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("The worker goes on without its search.")


def _runs(process):
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_piece_that_always_kills_its_process_ends_the_search(tmp_path, monkeypatch):
    path = tmp_path / "deadly.py"
    path.write_text("import os\n\ndef reward(action):\n    os._exit(9)\n")
    setting = replace(WALKER, samples=1, reward={"deadly": TermConfig(use=f"{path}:reward")})
    monkeypatch.setattr("ctrl.search.evaluation.local.RETRIES", 0)
    with LocalProcesses(setting, processes=1) as pool:
        with pytest.raises(UserError, match="died 1 times"):
            pool.evaluate(GENOMES[:2], 0)
        assert pool.process_ids == []
