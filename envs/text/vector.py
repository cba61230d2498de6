"""Many text environments at once, each at its own pace, in this process or spread over others.

A generator of text refills a finished column while the others go on, so every call names the
columns that it is about.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import socket
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, final

import gymnasium

from envs.text.environment import TextEnvironment
from envs.text.turns import TextTurn

MakeFunction = Callable[[], TextEnvironment]

# Runs in a fresh interpreter, which inherits nothing but one end of a socket.
_BOOT = (
    "import json, sys; path, descriptor = json.loads(sys.argv[1]); sys.path[:] = path\n"
    "from envs.text.worker import serve; serve(descriptor)"
)
_GRACE = 5.0


@final
class TextVector:
    """Columns of text environments.

    Args:
        make_functions: one for each column; with ``workers`` they are pickled, so they must be
            functions of a module, or `functools.partial` of such, not lambdas.
        workers: processes to spread the columns over; 0 steps them in this process, one after the
            other. The simulators are not thread-safe, so there are no threads.

    Attributes:
        observation_space: of one column.
        action_space: of one column.

    Raises:
        ValueError: no columns, a negative number of workers, or columns of different spaces.
        TypeError: a function that cannot be pickled.
    """

    def __init__(self, make_functions: Sequence[MakeFunction], workers: int = 0) -> None:
        if not make_functions or workers < 0:
            raise ValueError(
                "Expected at least one column and no negative number of workers, got "
                f"{len(make_functions)} and {workers}."
            )
        self._length = len(make_functions)
        count = min(workers, self._length)
        self._holders: list[_Local | _Remote] = []
        try:
            if count == 0:
                self._holders.append(_Local(dict(enumerate(make_functions))))
            for first in range(count):
                own = {i: make_functions[i] for i in range(first, self._length, count)}
                self._holders.append(_Remote(own))
            for holder in self._holders:
                holder.ask("spaces")
            found = [space for holder in self._holders for space in holder.answer()]
        except BaseException:
            self.close()
            raise
        if any(space != found[0] for space in found):
            self.close()
            raise ValueError(f"The columns must have the same spaces, got {found}.")
        self.observation_space: gymnasium.Space = found[0][0]
        self.action_space: gymnasium.Space = found[0][1]

    def __len__(self) -> int:
        return self._length

    def reset(
        self, column: int, *, seed: int | None = None, task: int | str | None = None
    ) -> TextTurn:
        """Begin an episode in one column; see `TextEnvironment.reset`."""
        return self.reset_many({column: (seed, task)})[column]

    def reset_many(
        self, starts: Mapping[int, tuple[int | None, int | str | None]]
    ) -> dict[int, TextTurn]:
        """Begin episodes in several columns at once.

        Args:
            starts: seed and task (either may be None) by column.
        """
        return self._everywhere("reset", starts)

    def step(self, commands: Mapping[int, str]) -> dict[int, TextTurn]:
        """Carry out a command in each of some columns.

        Args:
            commands: by column; columns that are not named stand still.

        Returns:
            A turn for each of those columns. An ended column stays ended until it is reset.
        """
        return self._everywhere("step", commands)

    def expert(self, columns: Iterable[int]) -> dict[int, str | None]:
        """Return the next command of the scripted expert in each of some columns."""
        return self._everywhere("expert", dict.fromkeys(columns))

    def snapshot(self, columns: Iterable[int]) -> dict[int, dict[str, Any]]:
        """Return the states of some columns; see `TextEnvironment.snapshot`."""
        return self._everywhere("snapshot", dict.fromkeys(columns))

    def restore(self, trees: Mapping[int, Mapping[str, Any]]) -> dict[int, TextTurn]:
        """Continue in some columns where snapshots were taken, also those of other columns."""
        return self._everywhere("restore", trees)

    def close(self) -> None:
        """Close all environments and end the processes; a second call changes nothing."""
        while self._holders:
            self._holders.pop().close()

    def _everywhere(self, method: str, arguments: Mapping[int, Any]) -> dict[int, Any]:
        if not self._holders:
            raise RuntimeError("The columns are closed; make new ones.")
        for column in arguments:
            if not 0 <= column < self._length:
                raise IndexError(f"There are the columns 0 to {self._length - 1}, got {column}.")
        asked = []
        for place, holder in enumerate(self._holders):
            count = len(self._holders)
            own = {i: value for i, value in arguments.items() if i % count == place}
            if own:
                holder.ask(method, own)
                asked.append(holder)
        answers: dict[int, Any] = {}
        failure: Exception | None = None
        for holder in asked:  # every answer is fetched, so that none is left for the next call
            try:
                answers.update(holder.answer())
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return {column: answers[column] for column in arguments}


def call(envs: Mapping[int, TextEnvironment], method: str, arguments: Any) -> Any:
    """Carry out a request to some columns.

    Args:
        envs: environments by column.
        method: ``"spaces"`` or a method of `TextVector`.
        arguments: by column.
    """
    if method == "spaces":
        return [(env.observation_space, env.action_space) for env in envs.values()]
    if method == "reset":
        return {i: envs[i].reset(seed=seed, task=task) for i, (seed, task) in arguments.items()}
    if method in ("step", "restore"):
        return {i: getattr(envs[i], method)(value) for i, value in arguments.items()}
    return {i: getattr(envs[i], method)() for i in arguments}


@final
class _Local:
    """Columns in this process; a request is carried out when its answer is fetched."""

    def __init__(self, functions: Mapping[int, MakeFunction]) -> None:
        self._envs = {column: make() for column, make in functions.items()}
        self._request: tuple[str, Any] = ("spaces", None)

    def ask(self, method: str, arguments: Any = None) -> None:
        self._request = (method, arguments)

    def answer(self) -> Any:
        return call(self._envs, *self._request)

    def close(self) -> None:
        for env in self._envs.values():
            env.close()


@final
class _Remote:
    """Columns in a process of their own; it ends with this object, also when that is killed."""

    def __init__(self, functions: Mapping[int, MakeFunction]) -> None:
        self._columns = sorted(functions)
        self._number = 0
        try:
            order = pickle.dumps(dict(functions))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise TypeError(
                "With worker processes the functions that make columns must be those of a module, "
                f"or functools.partial of such, such as partial(make_text, 'Countdown-v0'): {error}"
            ) from error
        path = [os.getcwd() if entry == "" else entry for entry in sys.path]
        ours, theirs = socket.socketpair()
        with theirs:
            words = json.dumps([path, theirs.fileno()])
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, words],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        self._link = Connection(ours.detach())
        self._end = weakref.finalize(self, _end, self._process, self._link)
        self._link.send_bytes(order)

    def ask(self, method: str, arguments: Any = None) -> None:
        self._number += 1
        try:
            self._link.send((self._number, method, arguments))
        except OSError:
            raise self._death() from None

    def answer(self) -> Any:
        number = -1
        while number != self._number:  # an interrupted caller may have left an answer behind
            try:
                number, worked, result = self._link.recv()
            except (EOFError, OSError):
                raise self._death() from None
            if not worked and number in (0, self._number):  # 0: the columns could not be made
                raise result
        return result

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._link.send((0, "close", None))
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
        self._end()

    def _death(self) -> RuntimeError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)
        return RuntimeError(
            f"The process of the columns {self._columns} of text environments ended with code "
            f"{self._process.poll()} (negative: a signal). With workers=0 the same commands show "
            "where it crashes."
        )


def _end(process: subprocess.Popen, link: Connection) -> None:
    """End a process for good; no zombie is left."""
    link.close()
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
