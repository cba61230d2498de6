"""Evaluation on processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import deque
from multiprocessing.connection import Connection, wait
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from ctrl.search.episodes import Episodes
from ctrl.search.evaluation.chunks import RETRIES, Answer, Chunk, attempt, chunks, for_worker
from ctrl.search.evaluation.evaluator import Evaluator
from ctrl.search.evaluation.executor import Executor
from ctrl.search.evaluation.setting import Setting
from reward_models.errors import UserError

_GRACE = 5.0
"""Seconds that a process may take to end before it is killed."""


@final
class LocalProcesses(Executor):
    """Evaluates genomes on several processes, with the same results as one.

    Processes start with the first evaluation and stay. One that dies (killed, out of memory) is
    replaced and its piece of the generation done again, up to 3 times; what came back is counted
    once, because only whole answers count. Ctrl-C reaches this process alone, which ends the
    others; they also end by themselves when this process is killed.

    Args:
        setting: what is evaluated.
        processes: how many, at least 1.

    Attributes:
        evaluator: an evaluator of this process: for what it knows about the setting, and for single
            episodes.

    Raises:
        UserError: fewer than one process, or a setting that cannot be used.
    """

    def __init__(self, setting: Setting, *, processes: int) -> None:
        if processes < 1:
            raise UserError(f"processes must be at least 1, got {processes}.")
        self.evaluator = Evaluator(setting)
        self.genome = self.evaluator.genome
        self._setting = for_worker(setting)
        self._processes = processes
        self._workers: list[_Worker] = []

    def evaluate(self, genomes: NDArray[np.float64], first: int) -> Episodes:
        """Return one episode per genome, in their order; see `Executor`."""
        genomes = self.genome.checked(genomes)
        pieces = chunks(genomes, first, workers=self._processes, columns=self.evaluator.columns)
        try:
            return Episodes.joined(self._run(pieces))
        except BaseException:
            # What is still being worked on must not be taken for an answer to the next question.
            self._stop()
            raise

    @property
    def process_ids(self) -> list[int]:
        """Ids of the processes that are running."""
        return [int(worker.process.pid or 0) for worker in self._workers]

    def close(self) -> None:
        """End the processes."""
        self._stop()
        self.evaluator.close()

    def _run(self, pieces: list[Chunk]) -> list[Episodes]:
        while len(self._workers) < min(self._processes, len(pieces)):
            self._workers.append(_Worker(self._setting))
        waiting = deque(enumerate(pieces))
        done: dict[int, Episodes] = {}
        tries = [0] * len(pieces)
        idle, running = list(self._workers), dict[_Worker, int]()
        while len(done) < len(pieces):
            while waiting and idle:
                number, piece = waiting.popleft()
                worker = idle.pop()
                worker.ask(piece)
                running[worker] = number
            for worker in _ready(list(running)):
                number = running.pop(worker)
                answer = worker.answer()
                if answer is not None:
                    done[number] = answer.opened()
                    idle.append(worker)
                    continue
                tries[number] += 1
                if tries[number] > RETRIES:
                    raise UserError(
                        f"The process that evaluated genomes {pieces[number].first} and following "
                        f"died {tries[number]} times (out of memory?). Lower columns, or evaluate "
                        "on fewer processes."
                    )
                waiting.appendleft((number, pieces[number]))
                idle.append(self._replaced(worker))
        return [done[number] for number in range(len(pieces))]

    def _replaced(self, dead: _Worker) -> _Worker:
        dead.end()
        fresh = _Worker(self._setting)
        self._workers[self._workers.index(dead)] = fresh
        return fresh

    def _stop(self) -> None:
        for worker in self._workers:
            worker.link.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.end()
        self._workers = []


class _Worker:
    """One process with an evaluator in it.

    Args:
        setting: what it evaluates.
    """

    def __init__(self, setting: Setting) -> None:
        # Fresh interpreters: a forked copy of a process that runs torch threads can deadlock. It
        # holds one end of the link and no other, so it sees the end of this process too.
        context = multiprocessing.get_context("spawn")
        self.link, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, setting), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, piece: Chunk) -> None:
        """Send a piece to evaluate; whether it arrived shows in `answer`."""
        # Where the process died while it was idle, `answer` says so.
        with contextlib.suppress(OSError):
            self.link.send(piece)

    def answer(self) -> Answer | None:
        """Return what came back, or None when the process died."""
        try:
            # A process that died may have answered before.
            return self.link.recv() if self.link.poll() else None
        except (EOFError, OSError):
            return None

    def end(self) -> None:
        """End the process and free what belongs to it."""
        self.link.close()
        self.process.terminate()
        self.process.join(_GRACE)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        self.process.close()


def _ready(workers: list[_Worker]) -> list[_Worker]:
    """Wait until some worker answered or died, and return those that did."""
    watched: dict[Any, _Worker] = {}
    for worker in workers:
        watched[worker.link] = worker
        watched[worker.process.sentinel] = worker
    return list(dict.fromkeys(watched[thing] for thing in wait(list(watched))))


def _work(link: Connection, setting: Setting) -> None:
    """Evaluate what comes through the link until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    made: list[Evaluator] = []

    def evaluator() -> Evaluator:
        if not made:
            made.append(Evaluator(setting))
        return made[0]

    while True:
        try:
            piece = link.recv()
        except (EOFError, OSError):
            return
        try:
            link.send(attempt(evaluator, piece))
        except OSError:
            return
