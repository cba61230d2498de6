"""Rules on what an environment takes from the machine, and gives back."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from envs.checking.report import Finding, Note, Violation
from envs.checking.subject import Subject, action_source

# A leak is reported from this growth on, measured after warming up; allocators alone move memory
# by a few MB.
_MEMORY_FLOOR = 8 * 2**20
_MEMORY_PER_RESET = 1024
_HANDLES = 8
_SAMPLES = 24
_NO_DISPLAY = re.compile(r"gl\b|egl|glfw|osmesa|opengl|display|pygame|x11|render context", re.I)


@dataclass(frozen=True)
class Usage:
    """What this process holds.

    Attributes:
        memory: resident bytes, None where the system does not say.
        files: open file descriptors, None where the system does not say.
        threads: of Python.
        children: process ids of its children.
    """

    memory: int | None
    files: int | None
    threads: int
    children: frozenset[int]


@contextmanager
def only_new_garbage() -> Iterator[None]:
    """Let collections look only at objects made inside, which in a large process is far faster."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def usage() -> Usage:
    """Return what this process holds now, after collecting garbage."""
    gc.collect()
    _give_free_memory_back()
    memory = files = None
    if (statm := Path("/proc/self/statm")).exists():
        memory = int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    for folder in ("/proc/self/fd", "/dev/fd"):
        if os.path.isdir(folder):
            files = len(os.listdir(folder))
            break
    return Usage(memory, files, threading.active_count(), children_of(os.getpid()))


def _give_free_memory_back() -> None:
    """Let glibc return what was freed, so that resident memory is memory in use.

    Otherwise a process that has been large hides a leak: it fills what is still held from before.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def children_of(pid: int) -> frozenset[int]:
    """Return the process ids of the running children of a process; none where unknown."""
    with contextlib.suppress(OSError):
        # Linux lists them by the thread that started them; searching all processes is slow.
        lists = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")]
        if lists:
            return frozenset(
                int(child) for text in lists for child in text.split() if is_running(int(child))
            )
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it ended meanwhile
            continue
        if int(parent) == pid and state != "Z":
            found.add(int(stat.parent.name))
    return frozenset(found)


def leak(subject: Subject) -> Iterator[Finding]:
    """Memory, files, threads and processes stay level over many resets."""
    warm_up = max(5, subject.resets // 5)
    with subject.env() as env:
        draw = action_source(env.action_space, subject.seed)
        env.reset(seed=subject.seed)

        def episodes(count: int) -> None:
            for _ in range(count):
                env.reset()
                env.step(draw())

        episodes(warm_up)
        samples = [usage()]
        share = max(1, (subject.resets - warm_up) // _SAMPLES)
        while len(samples) <= _SAMPLES:
            episodes(share)
            samples.append(usage())
    resets = share * _SAMPLES
    if samples[0].memory is not None:
        slope = _slope([float(sample.memory or 0) for sample in samples]) / share
        if slope * resets > _MEMORY_FLOOR and slope > _MEMORY_PER_RESET:
            yield Violation(
                "leak",
                "memory to stay level over resets",
                f"{slope / 1024:.1f} KB more per reset, over {resets} resets after {warm_up} to "
                "warm up",
                "Free what an episode allocated, at the latest in the next reset().",
            )
    first, last = samples[0], samples[-1]
    counts = {
        "open files": (first.files or 0, last.files or 0),
        "threads": (first.threads, last.threads),
        "child processes": (len(first.children), len(last.children)),
    }
    for what, (before, after) in counts.items():
        if after - before >= min(_HANDLES, resets // 2):
            yield Violation(
                "leak",
                f"the number of {what} to stay level over resets",
                f"{before}, then {after} after {resets} more resets",
                "Close what an episode opened, at the latest in the next reset().",
            )


def _slope(values: list[float]) -> float:
    """Return the median of the slopes of all pairs (Theil-Sen): single jumps do not move it."""
    pairs = [
        (values[j] - values[i]) / (j - i)
        for i in range(len(values))
        for j in range(i + 1, len(values))
    ]
    return float(np.median(pairs))


def close_rule(subject: Subject) -> Iterator[Finding]:
    """``close()`` gives everything back, and a second call changes nothing."""
    before = children_of(os.getpid())
    counts = []
    for _ in range(_HANDLES + 1):
        env = subject.make()
        env.reset(seed=subject.seed)
        env.close()
        try:
            env.close()
        except Exception as error:
            yield Violation(
                "close",
                "a second close() to change nothing",
                f"{type(error).__name__}: {error}",
                "Return early when it is closed already.",
            )
            return
        counts.append(usage())
    left = children_of(os.getpid()) - before
    if left:
        yield Violation(
            "close",
            "close() to end the processes that it started",
            f"{len(left)} of them still run",
            "End and wait for them in close().",
        )
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    # What the first instance loads stays open and is not counted.
    for what, first, last in (
        ("open files", counts[0].files or 0, counts[-1].files or 0),
        ("threads", counts[0].threads, counts[-1].threads),
    ):
        if last - first >= _HANDLES:
            yield Violation(
                "close",
                f"close() to give back its {what}",
                f"{last - first} more after {_HANDLES} instances were made and closed",
                "Free them in close().",
            )


def render_rule(subject: Subject) -> Iterator[Finding]:
    """``render()`` returns a picture where ``rgb_array`` is claimed."""
    with subject.env() as env:
        modes = env.metadata.get("render_modes") or []
    if "rgb_array" not in modes:
        yield Note("render", "no render mode rgb_array, so it cannot be filmed.")
        return
    if subject.command is None:
        return
    # In a process of its own: without a display some libraries end the process they are used in.
    done = _run_apart(_PICTURE, subject.command)
    lines = done.stdout.splitlines()
    came = lines[-1] if done.returncode == 0 and lines else None
    if came == "picture":
        return
    if came is None:
        said = " ".join(done.stderr.split()[-40:])
        if "NotImplementedError" not in said and _NO_DISPLAY.search(done.stderr):
            yield Note("render", f"cannot be tried on this machine (... {said[-100:]}).")
            return
        came = f"exit code {done.returncode}: ... {said[-200:]}"
    yield Violation(
        "render",
        "a picture, uint8 [H, W, 3]",
        came,
        "Return one from render(), or take rgb_array out of metadata['render_modes'].",
    )


def _run_apart(
    program: str, command: tuple[str, dict[str, Any]]
) -> subprocess.CompletedProcess[str]:
    display = {} if "DISPLAY" in os.environ else {"MUJOCO_GL": "egl", "SDL_VIDEODRIVER": "dummy"}
    return subprocess.run(
        _command(program, command),
        capture_output=True,
        text=True,
        check=False,
        env={**display, "SDL_AUDIODRIVER": "dummy", **os.environ},
    )


def _command(program: str, command: tuple[str, dict[str, Any]]) -> list[str]:
    """Return how to run a program in a fresh interpreter that finds the same modules."""
    name, options = command
    path = [os.getcwd() if entry == "" else entry for entry in sys.path]
    given = json.dumps({"path": path, "name": name, "options": options}, default=str)
    return [sys.executable, "-c", _START + program, given]


_START = """
import json, os, sys
given = json.loads(sys.argv[1])
sys.path[:] = given["path"]
import envs
"""
_PICTURE = """
import numpy as np
env = envs.make(given["name"], render_mode="rgb_array", **given["options"])
env.reset(seed=0)
found = env.render()
if not isinstance(found, np.ndarray):
    print(f"a {type(found).__name__}")
elif found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3:
    print("picture")
else:
    print(f"{found.dtype} {list(found.shape)}")
"""
_HELD = """
import time
from envs.checking.resources import children_of
env = envs.make(given["name"], **given["options"])
env.reset(seed=0)
print(*children_of(os.getpid()), flush=True)
time.sleep(600)
"""


def starts_processes(subject: Subject) -> bool:
    """Return whether an instance starts processes of its own."""
    before = children_of(os.getpid())
    with subject.env() as env:
        env.reset(seed=subject.seed)
        return bool(children_of(os.getpid()) - before)


def workers(subject: Subject) -> Iterator[Finding]:
    """The processes that an environment starts end with the process that made it."""
    if subject.command is None:
        yield Note(
            "workers",
            "it starts processes; whether they end with their parent is only tried for an "
            "environment that is checked by name.",
        )
        return
    parent = subprocess.Popen(_command(_HELD, subject.command), stdout=subprocess.PIPE, text=True)
    with parent:
        line = parent.stdout.readline() if parent.stdout else ""
        pids = [int(pid) for pid in line.split()]
        parent.kill()
    deadline = time.monotonic() + 5.0
    while (left := [pid for pid in pids if is_running(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    if left:
        yield Violation(
            "workers",
            "processes that end with their parent, also when that is killed",
            f"{len(left)} of {len(pids)} still ran 5 s after it was",
            "Let them end when the pipe to the parent closes, or ask the kernel to end them "
            "(PR_SET_PDEATHSIG on Linux).",
        )


def is_running(pid: int) -> bool:
    """Return whether a process exists and is no zombie, on Linux."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


RULES: dict[str, Callable[[Subject], Iterator[Finding]]] = {
    "leak": leak,
    "close": close_rule,
    "render": render_rule,
    "workers": workers,
}
