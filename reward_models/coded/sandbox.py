"""Worker processes in which generated code runs: a Python interpreter that can touch nothing.

The interpreter is pydantic-monty's. It has no files, no network, no processes and no clock of the
machine; what it may use is bounded by `Limits`. A worker that dies or does not answer is replaced.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import cache
from typing import Any, final

from reward_models.coded.faults import FaultKind
from reward_models.coded.limits import Limits
from reward_models.coded.prelude import MARK
from reward_models.errors import MissingDependencyError, UserError

_KINDS = {
    "TimeoutError": FaultKind.TIME,
    "MemoryError": FaultKind.MEMORY,
    "RecursionError": FaultKind.RECURSION,
    "ZeroDivisionError": FaultKind.DIVISION,
    "NotImplementedError": FaultKind.SYNTAX,
    "SyntaxError": FaultKind.SYNTAX,
}
_ENDED = (FaultKind.TIME, FaultKind.MEMORY, FaultKind.CRASH)
_GRACE = 1.0


class SandboxError(Exception):
    """Code in the sandbox failed.

    Attributes:
        kind: what went wrong.
        message: of the exception there.
        frames: ``(text, line)`` from the outermost call to the innermost: the number of the text
            that was fed, and the line in it.
    """

    def __init__(self, kind: FaultKind, message: str, frames: list[tuple[int, int]]) -> None:
        super().__init__(message)
        self.kind, self.message, self.frames = kind, message, frames


@final
class Sandbox:
    """A pool of workers and the sessions that are open in them.

    A session is an interpreter that some texts were fed to; it stays open under its texts, so that
    calls with the same texts only send their data. What runs in it must not depend on earlier
    calls; after an exceeded limit it is thrown away. Calls from several threads take turns.

    Args:
        limits: of every call.
        workers: processes at most, and so sessions that stay open; each takes about 10 MB.

    Raises:
        UserError: no worker.
    """

    def __init__(self, limits: Limits | None = None, workers: int = 2) -> None:
        if workers < 1:
            raise UserError(f"A sandbox needs at least 1 worker, got {workers}.")
        self.limits, self.workers = limits or Limits(), workers
        self._stack: ExitStack | None = None
        self._pool: Any = None
        self._sessions: OrderedDict[tuple[Any, ...], tuple[Any, ExitStack]] = OrderedDict()
        self._lock = threading.RLock()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies of what holds a sandbox share this process's own.
        return shared_sandbox, (self.limits,)

    def close(self) -> None:
        """End the workers; a later call starts new ones."""
        with self._lock:
            for key in list(self._sessions):
                self._drop(key)
            if self._stack is not None:
                self._stack.close()
            self._stack = self._pool = None

    def run(
        self,
        texts: tuple[str, ...],
        call: str,
        inputs: Mapping[str, Any],
        *,
        steps: int = 1,
        heard: list[str] | None = None,
    ) -> Any:
        """Run ``call`` where ``texts`` were fed before, and return the value of its last line.

        Args:
            texts: definitions, numbered from 0 in the frames of errors.
            call: what to run now.
            inputs: names that it finds: numbers, strings, and lists, tuples and dicts of them.
            steps: how many steps the call works on, for its time.
            heard: receives at most the last two texts that the code wrote to its output.

        Raises:
            SandboxError: anything went wrong inside.
            MissingDependencyError: the interpreter is not installed.
        """
        # Sessions have their time fixed when they open; powers of two keep their number small.
        size = 1 << max(steps - 1, 0).bit_length()
        key = (size, texts)
        with self._lock:
            try:
                session = self._session(key)
                return session.feed_run(call, inputs=dict(inputs), print_callback=_listener(heard))
            except SandboxError:
                raise
            except Exception as error:
                found = _translated(error)
                if found.kind in _ENDED:
                    self._drop(key)
                raise found from error

    def ask(self, texts: tuple[str, ...], expression: str, *, steps: int = 1) -> Any:
        """Return a value from the session of ``texts``, or None when it is not open any more."""
        key = (1 << max(steps - 1, 0).bit_length(), texts)
        with self._lock:
            return self.run(texts, expression, {}, steps=steps) if key in self._sessions else None

    def _session(self, key: tuple[Any, ...]) -> Any:
        if key in self._sessions:
            self._sessions.move_to_end(key)
            return self._sessions[key][0]
        pool = self._started()
        while len(self._sessions) >= self.workers:
            self._drop(next(iter(self._sessions)))
        size, texts = key
        stack = ExitStack()
        session = stack.enter_context(
            pool.checkout(
                limits={
                    "max_feed_duration_secs": self.limits.seconds_for(size),
                    "max_memory": self.limits.memory,
                    "max_recursion_depth": self.limits.recursion,
                    "max_suspensions": 1,
                    "max_total_sleep_secs": 0.0,
                },
                # Nothing may differ between two runs of the same program.
                os_policy={"sleep": "zero", "random_start": {"seed": 0}},
            )
        )
        self._sessions[key] = (session, stack)
        try:
            for text in texts:
                session.feed_run(text, print_callback=_listener(None))
        except Exception:
            self._drop(key)
            raise
        return session

    def _drop(self, key: tuple[Any, ...]) -> None:
        entry = self._sessions.pop(key, None)
        if entry is not None:
            # A worker that is dead already has nothing to give back.
            with suppress(Exception):
                entry[1].close()

    def _started(self) -> Any:
        if self._pool is None:
            try:
                from pydantic_monty import Monty
            except ImportError as error:
                raise MissingDependencyError(
                    "Coded rewards run in a sandbox that is not installed: pip install "
                    "'ctrl[coded]' (or pydantic-monty)."
                ) from error
            self._stack = ExitStack()
            self._pool = self._stack.enter_context(
                Monty(max_processes=self.workers, feed_duration_limit_grace=_GRACE)
            )
        return self._pool


def shared_sandbox(limits: Limits) -> Sandbox:
    """Return this process's own sandbox of these limits; it ends with the process."""
    # A forked child must not talk to the workers of its parent.
    return _of_process(os.getpid(), limits)


@cache
def _of_process(process: int, limits: Limits) -> Sandbox:
    sandbox = Sandbox(limits)

    def close() -> None:
        if os.getpid() == process:
            sandbox.close()

    atexit.register(close)
    return sandbox


def _listener(heard: list[str] | None) -> Any:
    def listen(stream: str, text: str) -> None:
        if heard is not None:
            heard.append(text)
            del heard[:-2]

    return listen


def _translated(error: Exception) -> SandboxError:
    """Say in our words what the interpreter reports."""
    import pydantic_monty as monty

    if isinstance(error, monty.MontyCrashedError):
        return SandboxError(FaultKind.CRASH, f"the worker process died: {error}", [])
    if not isinstance(error, monty.MontyError):
        # A value that cannot be brought across, for example an integer of too many digits.
        return SandboxError(FaultKind.RETURN_TYPE, f"{type(error).__name__}: {error}", [])
    inner = error.exception()
    name, message = type(inner).__name__, str(inner)
    kind = _KINDS.get(name, FaultKind.EXCEPTION)
    # The message of a KeyError is the text of its key, in quotation marks.
    at = message.find(MARK)
    if 0 <= at <= 1:
        word, _, rest = message[at + len(MARK) :].partition(": ")
        if word in list(FaultKind):
            kind, message = FaultKind(word), rest.rstrip("'\"")
    frames = [_place(frame) for frame in getattr(error, "traceback", list)()]
    shown = message if kind not in (FaultKind.EXCEPTION, FaultKind.SYNTAX) else f"{name}: {message}"
    return SandboxError(kind, shown[:500], frames)


def _place(frame: Any) -> tuple[int, int]:
    digits = frame.filename.removeprefix("<python-input-").removesuffix(">")
    return (int(digits) if digits.isdigit() else -1), int(frame.line)
