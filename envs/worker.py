"""Stepping some columns in a process of its own; the other end is `ctrl.sb3.process_vec_env`.

The process is a fresh interpreter that imports gymnasium, numpy and the simulator, and no learner.
Observations, rewards and flags go through memory that both processes map; everything else through a
socket, whose end tells either side that the other one is gone.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import json
import mmap
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium import spaces

import envs

# Runs in the new interpreter, before any module of the project can be found.
BOOT = "import sys, json; options = json.loads(sys.argv[1]); sys.path[:] = options.pop('path')\n"
BOOT += "from envs.worker import main; main(**options)"

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
_ALIGNMENT = 64


@final
class StepMemory:
    """What all columns exchange at every step, in memory that several processes map.

    Args:
        descriptor: an open file; the creating process gives it its size.
        observation_space: of one column: anything with a fixed shape, or a Dict or Tuple of those.
        action_space: of one column.
        num_envs: columns, B.
        create: give the file its size first.

    Attributes:
        observation: by key (None without a Dict or Tuple), ``[B, ...]``: what the policy sees next.
        successor: the same for the true next observations, also where an episode ended.
        action: ``[B, ...]``.
        reward: float32 ``[B]``.
        terminated: bool ``[B]``.
        truncated: bool ``[B]``.

    Raises:
        TypeError: a space whose values have no fixed shape.
    """

    def __init__(
        self,
        descriptor: int,
        observation_space: gymnasium.Space,
        action_space: gymnasium.Space,
        num_envs: int,
        *,
        create: bool = False,
    ) -> None:
        parts = dict(parts_of(observation_space))
        actions = dict(parts_of(action_space))
        if list(actions) != [None]:
            raise TypeError(f"Stable-Baselines3 takes no actions of {action_space}.")
        wanted: list[tuple[tuple[int, ...], Any]] = [
            *parts.values(), *parts.values(), actions[None],
            ((), np.float32), ((), np.bool_), ((), np.bool_),
        ]  # fmt: skip
        places, size = [], 0
        for shape, dtype in wanted:
            places.append(size)
            count = num_envs * int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            size += -(-max(count, 1) // _ALIGNMENT) * _ALIGNMENT
        if create:
            os.ftruncate(descriptor, size)
        memory = mmap.mmap(descriptor, size)
        arrays: list[np.ndarray] = [
            np.ndarray((num_envs, *shape), dtype, buffer=memory, offset=place)
            for (shape, dtype), place in zip(wanted, places, strict=True)
        ]
        keys = list(parts)
        self.observation = dict(zip(keys, arrays, strict=False))
        self.successor = dict(zip(keys, arrays[len(keys) :], strict=False))
        self.action, self.reward, self.terminated, self.truncated = arrays[2 * len(keys) :]


def parts_of(space: gymnasium.Space) -> Iterator[tuple[Any, tuple[tuple[int, ...], Any]]]:
    """Yield key, shape and dtype of every array in a value of ``space``; the key may be None.

    Raises:
        TypeError: a value without a fixed shape.
    """
    inner: Any = {None: space}
    if isinstance(space, spaces.Dict):
        inner = space.spaces
    elif isinstance(space, spaces.Tuple):
        inner = dict(enumerate(space.spaces))
    for key, part in inner.items():
        if part.shape is None or part.dtype is None or part.dtype.kind not in "biuf":
            raise TypeError(f"Expected a space of arrays with one shape, got {part}.")
        yield key, (part.shape, part.dtype)


@final
class _Columns:
    """Some columns, with the bookkeeping that SB3's ``Monitor`` does about their episodes."""

    def __init__(self, name: str, columns: list[int], options: Mapping[str, Any]) -> None:
        self.columns = columns
        self.envs = [envs.make(name, **options) for _ in columns]
        self._memory: StepMemory | None = None
        self._rewards: list[list[float]] = [[] for _ in columns]
        self._needs_reset = [True] * len(columns)
        self._began = time.time()

    def describe(self) -> dict[str, Any]:
        env = self.envs[0]
        return {
            "observation_space": env.observation_space,
            "action_space": env.action_space,
            "render_mode": env.render_mode,
        }

    def attach(self, descriptor: int, num_envs: int) -> None:
        env = self.envs[0]
        self._memory = StepMemory(descriptor, env.observation_space, env.action_space, num_envs)

    @property
    def memory(self) -> StepMemory:
        if self._memory is None:
            raise RuntimeError("The memory of the steps was not attached.")
        return self._memory

    def reset(self, seeds: list[Any], options: list[Any]) -> list[dict[str, Any]]:
        infos = []
        for row, env in enumerate(self.envs):
            given = {"options": options[row]} if options[row] else {}
            observation, info = env.reset(seed=seeds[row], **given)
            self._begin(row)
            self._write(self.memory.observation, row, observation)
            infos.append(info)
        return infos

    def step(self, actions: np.ndarray | None) -> tuple[list[dict[str, Any]], dict[int, Any]]:
        """Step all columns; ``actions`` are in the memory unless they have another type."""
        infos: list[dict[str, Any]] = []
        reset_infos: dict[int, Any] = {}
        taken = self.memory.action[self.columns] if actions is None else actions
        for row, env in enumerate(self.envs):
            if self._needs_reset[row]:
                raise RuntimeError("Tried to step an environment that needs reset")
            observation, reward, terminated, truncated, info = env.step(taken[row])
            column = self.columns[row]
            self.memory.reward[column] = reward
            self.memory.terminated[column] = terminated
            self.memory.truncated[column] = truncated
            self._rewards[row].append(float(reward))
            self._write(self.memory.successor, row, observation)
            info["TimeLimit.truncated"] = truncated and not terminated
            if terminated or truncated:
                info["episode"] = {
                    "r": round(sum(self._rewards[row]), 6),
                    "l": len(self._rewards[row]),
                    "t": round(time.time() - self._began, 6),
                }
                info["terminal_observation"] = observation
                info = copy.deepcopy(info)  # the reset may write into its arrays
                observation, reset_infos[row] = env.reset()
                self._begin(row)
            self._write(self.memory.observation, row, observation)
            infos.append(info)
        return infos, reset_infos

    def _begin(self, row: int) -> None:
        self._rewards[row] = []
        self._needs_reset[row] = False

    def _write(self, arrays: dict[Any, np.ndarray], row: int, observation: Any) -> None:
        for key, rows in arrays.items():
            rows[self.columns[row]] = observation if key is None else observation[key]

    def snapshot(self) -> list[dict[str, Any]]:
        return [
            {
                "environment": envs.snapshot(env),
                "rewards": np.array(self._rewards[row]),
                "needs_reset": self._needs_reset[row],
                "elapsed_seconds": time.time() - self._began,
            }
            for row, env in enumerate(self.envs)
        ]

    def restore(self, saved: list[dict[str, Any]]) -> None:
        for row, (env, tree) in enumerate(zip(self.envs, saved, strict=True)):
            envs.restore(env, tree["environment"])
            self._rewards[row] = np.asarray(tree["rewards"], dtype=np.float64).tolist()
            self._needs_reset[row] = bool(tree["needs_reset"])
            self._began = time.time() - tree["elapsed_seconds"]

    def seed_actions(self, seeds: list[int]) -> None:
        for env, seed in zip(self.envs, seeds, strict=True):
            env.action_space.seed(seed)

    def get(self, rows: list[int], name: str) -> list[Any]:
        return [self.envs[row].get_wrapper_attr(name) for row in rows]

    def set(self, rows: list[int], name: str, value: Any) -> None:
        for row in rows:
            self.envs[row].set_wrapper_attr(name, value)

    def call(
        self, rows: list[int], name: str, positional: tuple[Any, ...], keywords: dict[str, Any]
    ) -> list[Any]:
        return [self.envs[row].get_wrapper_attr(name)(*positional, **keywords) for row in rows]

    def wrapped(self, rows: list[int], wrapper: str) -> list[bool]:
        return [wrapper in _wrappers(self.envs[row]) for row in rows]

    def close(self) -> None:
        for env in self.envs:
            env.close()


def class_path(kind: type) -> str:
    """Return ``module.Class``."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _wrappers(env: gymnasium.Env) -> set[str]:
    found: set[str] = set()
    while isinstance(env, gymnasium.Wrapper):
        found.update(class_path(kind) for kind in type(env).__mro__)
        env = env.env
    return found


def main(*, connection: int, memory: int, parent: int, bound: bool) -> None:
    """Answer requests until told to end, or until the parent is gone.

    Args:
        connection: descriptor of the socket.
        memory: descriptor of what `StepMemory` maps.
        parent: process id of the parent.
        bound: let the kernel end this process with its parent. Linux does so when the *thread* that
            started it ends, so this is for processes started by a main thread.
    """
    # Ctrl-C reaches all processes of a terminal; it is the parent's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if bound and sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the line above
            os._exit(0)
    columns: _Columns | None = None
    with Connection(connection) as link, contextlib.suppress(EOFError, ConnectionError):
        while True:
            number, command, arguments = link.recv()
            if command == "close":
                break
            try:
                result: Any
                if command == "make":
                    columns = _Columns(*arguments)
                    result = columns.describe()
                elif command == "attach":
                    _require(columns).attach(memory, *arguments)
                    result = None
                else:
                    call: Callable[..., Any] = getattr(_require(columns), command)
                    result = call(*arguments)
                answer = pickle.dumps((number, True, result), protocol=5)
            except BaseException as error:  # sys.exit() in an environment is an error, too
                answer = pickle.dumps((number, False, _described(error)), protocol=5)
            link.send_bytes(answer)
    if columns is not None:
        columns.close()


def _require(columns: _Columns | None) -> _Columns:
    if columns is None:
        raise RuntimeError("The environments were not made.")
    return columns


def _described(error: BaseException) -> dict[str, str]:
    """Return an exception as text, so that the parent need not be able to unpickle it."""
    return {
        "module": type(error).__module__,
        "name": type(error).__qualname__,
        "message": str(error),
        "traceback": "".join(traceback.format_exception(error)),
    }


def start_options(connection: int, memory: int, *, bound: bool) -> str:
    """Return the argument of `BOOT`: what `main` takes, and where modules are found."""
    path = [os.getcwd() if entry == "" else entry for entry in sys.path]
    return json.dumps(
        {
            "path": path,
            "connection": connection,
            "memory": memory,
            "parent": os.getpid(),
            "bound": bound,
        }
    )
