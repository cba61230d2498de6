"""One worker process of `ProcessVecEnv`: starting it, asking it, noticing its end, ending it."""

from __future__ import annotations

import builtins
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, final

import gymnasium

import envs.errors
from envs.worker import BOOT, start_options

# How often processes are looked after while their answers are waited for, in seconds. A worker that
# dies closes its socket, which ends the waiting at once; this is for sockets that something keeps
# open, such as a process that an engine started.
_LOOK_EVERY = 1.0
# How long a worker that was asked to end may take before it is killed, in seconds.
_GRACE = 5.0


class WorkerError(RuntimeError):
    """A worker process crashed, is stuck, or its environment raised; names environment and seeds.

    Attributes:
        columns: the columns that the worker stepped.
        exit_code: of the process, negative for a signal; None while it ran.
    """

    def __init__(
        self, message: str, *, columns: Sequence[int] = (), exit_code: int | None = None
    ) -> None:
        super().__init__(message)
        self.columns = tuple(columns)
        self.exit_code = exit_code


@final
class WorkerProcess:
    """A fresh interpreter that holds some columns of an environment; see `envs.worker`.

    Nothing of this process is inherited but two descriptors, so it is safe to start where threads
    run. It ends with this object, with this process (also when that is killed), or by `close`.

    Args:
        name: environment id.
        columns: the columns it steps.
        memory: descriptor of the memory of the steps.
    """

    def __init__(self, name: str, columns: list[int], memory: int) -> None:
        self.name, self.columns = name, columns
        self.seeds: list[int | None] = [None] * len(columns)
        self.episodes = [0] * len(columns)
        self._number = 0
        self._command = "start"
        ours, theirs = socket.socketpair()
        with theirs:
            options = start_options(
                theirs.fileno(),
                memory,
                bound=threading.current_thread() is threading.main_thread(),
            )
            self._process = subprocess.Popen(
                [sys.executable, "-c", BOOT, options],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), memory),
            )
        self._link = Connection(ours.detach())
        self._end = weakref.finalize(self, _kill, self._process, self._link)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def link(self) -> Connection:
        """This end of the socket, to wait on."""
        return self._link

    def ask(self, command: str, *arguments: Any) -> None:
        """Send a request; its answer is for `answers`.

        Raises:
            WorkerError: the process is gone.
        """
        self._number += 1
        self._command = command
        try:
            self._link.send((self._number, command, arguments))
        except OSError:
            raise self.death() from None

    def receive(self) -> tuple[bool, Any]:
        """Read one message.

        Returns:
            Whether it answers the latest request (an interrupted caller may have left one behind),
            and what came.

        Raises:
            WorkerError: the process is gone, or the environment raised.
        """
        try:
            number, worked, result = self._link.recv()
        except (EOFError, OSError):
            raise self.death() from None
        if number != self._number:
            return False, None
        if not worked:
            raise self._failure(result)
        return True, result

    def is_alive(self) -> bool:
        """Return whether the process runs."""
        return self._process.poll() is None

    def death(self) -> WorkerError:
        """Return the error that says how the process ended."""
        try:
            code = self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            return WorkerError(
                f"{self} closed its connection {self._doing()} and goes on running. Something in "
                "the environment closes descriptors that are not its own.",
                columns=self.columns,
            )
        if code < 0:
            with contextlib.suppress(ValueError):
                how = f"was ended by signal {-code} ({signal.Signals(-code).name})"
                if -code == signal.SIGKILL:
                    how += " (the kernel does this when memory runs out)"
                return self._ended(how, code)
            return self._ended(f"was ended by signal {-code}", code)
        return self._ended(f"ended with exit code {code}", code)

    def _ended(self, how: str, code: int) -> WorkerError:
        return WorkerError(
            f"{self} {how} {self._doing()}. The other workers were ended too. The same seeds in "
            'this process (backend "threads") show where it crashes.',
            columns=self.columns,
            exit_code=code,
        )

    def stuck(self, timeout: float) -> WorkerError:
        """Return the error for a worker that did not answer in time."""
        return WorkerError(
            f"{self} did not answer within {timeout:g} s {self._doing()}. Raise `timeout` if a "
            "step may take that long.",
            columns=self.columns,
        )

    def _failure(self, told: dict[str, str]) -> Exception:
        """Return the exception of the environment: of its own type where callers rely on it."""
        owner = {
            "builtins": builtins,
            "envs.errors": envs.errors,
            "gymnasium.error": gymnasium.error,
        }.get(told["module"])
        kind = getattr(owner, told["name"], None)
        at_start = self._command in ("make", "attach")
        if (
            isinstance(kind, type)
            and issubclass(kind, Exception)
            and (at_start or owner is not builtins)
        ):
            error: Exception = kind.__new__(kind)
            Exception.__init__(error, told["message"])
            error.add_note(f"In {self}:\n{told['traceback']}")
            return error
        return WorkerError(
            f"{self} raised {told['name']} {self._doing()}: {told['message']}\n{told['traceback']}",
            columns=self.columns,
        )

    def _doing(self) -> str:
        what = {
            "start": "while it started",
            "make": "while it made its environments",
            "step": "in a step",
            "reset": "in a reset",
        }.get(self._command, f"during {self._command!r}")
        return f"{what} (episodes {_listed(self.episodes)} since these seeds)"

    def __str__(self) -> str:
        return (
            f"The worker process {self.pid} of {self.name} (columns {_listed(self.columns)}, "
            f"seeds {_listed(self.seeds)})"
        )

    def close(self, *, kill: bool = False) -> None:
        """End the process and collect its exit code; a second call changes nothing.

        Args:
            kill: do not let it close its environments first.
        """
        if not kill and self.is_alive():
            with contextlib.suppress(OSError):
                self._link.send((0, "close", ()))
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
        self._end()


def answers(workers: Sequence[WorkerProcess], timeout: float) -> list[Any]:
    """Return what every worker answers to its latest request, in the order of ``workers``.

    Raises:
        WorkerError: one of them died, raised or took longer than ``timeout`` seconds.
    """
    found: dict[int, Any] = {}
    waiting = {id(worker.link): (place, worker) for place, worker in enumerate(workers)}
    deadline = time.monotonic() + timeout
    while waiting:
        left = deadline - time.monotonic()
        links = [worker.link for _, worker in waiting.values()]
        ready = wait(links, timeout=max(0.0, min(left, _LOOK_EVERY)))
        for link in ready:
            place, worker = waiting[id(link)]
            current, result = worker.receive()
            if current:
                found[place] = result
                del waiting[id(link)]
        if ready:
            continue
        for _, worker in waiting.values():
            if not worker.is_alive() and not worker.link.poll():
                raise worker.death()
        if left <= 0:
            raise next(iter(waiting.values()))[1].stuck(timeout)
    return [found[place] for place in range(len(workers))]


def step_memory_file() -> int:
    """Return the descriptor of an empty file in memory that has no name, so that none is left."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("ctrl-steps")
    descriptor, path = tempfile.mkstemp(prefix="ctrl-steps-")
    os.unlink(path)
    return descriptor


def _kill(process: subprocess.Popen, link: Connection) -> None:
    """End a process for good; no zombie is left."""
    link.close()
    if process.poll() is None:
        process.kill()
    process.wait()


def _listed(values: Sequence[Any]) -> str:
    """Return ``0 to 7`` or ``3, 5, None``."""
    numbers = list(values)
    if (
        len(numbers) > 2
        and None not in numbers
        and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    ):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))
