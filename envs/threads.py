"""A small team of threads that works through a list of jobs, the caller being one of them.

It exists for simulators that release Python's global lock while they step. Handing work over costs
two lock operations per extra thread, against tens of microseconds for an executor's futures.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import final

Job = Callable[[], None]


def available_cpus() -> int:
    """Return how many processors this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


@final
class ThreadTeam:
    """Runs jobs on ``threads`` threads, of which the calling thread is one.

    Jobs are taken one by one from a common queue, so that a slow one does not hold up the others.
    With one thread, or one job, everything runs in the calling thread. The order in which jobs run
    is not defined: each must touch data of its own only.

    Args:
        threads: how many threads work, including the caller; at least 1.

    Raises:
        ValueError: when ``threads`` is less than 1.
    """

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}.")
        self.threads = threads
        self._workers = [_Worker() for _ in range(threads - 1)]
        for worker in self._workers:
            threading.Thread(target=worker.work, name="ctrl-step", daemon=True).start()
        # The threads hold no reference to the team, so a team that is dropped can end them.
        self._stop = weakref.finalize(self, _stop, self._workers)

    def run(self, jobs: Sequence[Job]) -> None:
        """Run every job once and return when all have finished.

        Args:
            jobs: callables without arguments.

        Raises:
            RuntimeError: when the team was closed.
            Exception: the first error that a job raised. The jobs that had not started then are
                not run.
        """
        if not self._stop.alive:
            raise RuntimeError("The threads were stopped by close(); make a new environment.")
        # Taking the next item of a list iterator is one operation under the global lock, so the
        # iterator serves as the common queue.
        queue = iter(jobs)
        helpers = self._workers[: max(0, len(jobs) - 1)]
        for worker in helpers:
            worker.begin(queue)
        failure: BaseException | None = None
        try:
            for job in queue:
                job()
        except BaseException as error:
            failure = error
            _discard(queue)
        for worker in helpers:
            failure = worker.join() or failure
        if failure is not None:
            raise failure

    def close(self) -> None:
        """End the threads; calling it again does nothing."""
        self._stop()


@final
class _Worker:
    """One extra thread: two locks used as signals, the queue it works on, and its last error."""

    def __init__(self) -> None:
        self._queue: Iterator[Job] | None = None
        self._error: BaseException | None = None
        self._start = threading.Lock()
        self._done = threading.Lock()
        self._start.acquire()
        self._done.acquire()

    def begin(self, queue: Iterator[Job] | None) -> None:
        """Start on a queue, or end the thread when it is None."""
        self._queue = queue
        self._start.release()

    def join(self) -> BaseException | None:
        """Wait until the queue is empty and the last job has finished; return its error."""
        interrupt: BaseException | None = None
        while True:
            try:
                self._done.acquire()
                break
            except KeyboardInterrupt as pressed:
                # The worker is inside a job of some microseconds. Leaving now would leave its
                # signal behind for the next step.
                interrupt = pressed
        failure, self._error = self._error, None
        self._queue = None
        return interrupt or failure

    def work(self) -> None:
        while True:
            self._start.acquire()
            queue = self._queue
            if queue is None:
                return
            try:
                for job in queue:
                    job()
            except BaseException as error:
                self._error = error
                _discard(queue)
            del queue
            self._done.release()


def _discard(queue: Iterator[Job]) -> None:
    for _ in queue:
        pass


def _stop(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.begin(None)
