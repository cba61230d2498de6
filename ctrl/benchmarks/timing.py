"""Timing several things in turns, so that a change in the machine's load meets all of them."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class UnavailableError(Exception):
    """A row cannot be measured here; the message says what is missing."""


@dataclass(frozen=True)
class Stepper:
    """Something that is stepped.

    Attributes:
        run: does a few milliseconds of work and returns how many things were done.
        close: frees it.
    """

    run: Callable[[], int]
    close: Callable[[], Any] = lambda: None


@dataclass(frozen=True)
class Measurement:
    """One row of the table.

    Attributes:
        name: what is stepped.
        build: makes it; raises `UnavailableError`, or an ``ImportError`` of a missing simulator.
    """

    name: str
    build: Callable[[], Stepper]


@dataclass(frozen=True)
class Group:
    """Rows that are measured side by side and compared with the first one.

    Attributes:
        family: of environments.
        title: what is stepped, and how many at once.
        unit: what is counted.
        rows: the first is the engine's own loop.
    """

    family: str
    title: str
    unit: str
    rows: Sequence[Measurement]


def measure(group: Group, *, seconds: float, repeats: int) -> dict[str, Any]:
    """Measure a group in turns.

    Args:
        group: what to measure.
        seconds: of one turn of one row.
        repeats: turns of every row.

    Returns:
        ``rows``: by name ``per_second`` (of all repeats), ``median``, and ``ratio`` and ``ratios``,
        the speed over that of the first row within the same repeat: median, and of every repeat;
        or ``missing``. ``other_cpus``: how many processors other processes kept busy meanwhile, by
        repeat (on Linux); with figures far from 0 the absolute numbers say little.
    """
    rows: dict[str, dict[str, Any]] = {}
    busy: list[float] = []
    with ExitStack() as stack:
        steppers: dict[str, Stepper] = {}
        for row in group.rows:
            try:
                stepper = row.build()
            except (UnavailableError, ImportError) as error:
                rows[row.name] = {"missing": str(error)}
                continue
            stack.callback(stepper.close)
            stepper.run()  # what happens once only is not measured
            steppers[row.name], rows[row.name] = stepper, {"per_second": []}
        for _ in range(repeats):
            before, began = others_seconds(), time.perf_counter()
            for name, stepper in steppers.items():
                rows[name]["per_second"].append(speed(stepper, seconds))
            if before is not None and (after := others_seconds()) is not None:
                busy.append(round((after - before) / (time.perf_counter() - began), 2))
    base = rows[group.rows[0].name].get("per_second")
    for name in steppers:
        figures = rows[name]["per_second"]
        rows[name]["median"] = statistics.median(figures)
        if base:
            ratios = [own / raw for own, raw in zip(figures, base, strict=True)]
            rows[name]["ratio"] = statistics.median(ratios)
            rows[name]["ratios"] = ratios
    return {
        "family": group.family,
        "title": group.title,
        "unit": group.unit,
        "rows": _rounded(rows),
        "other_cpus": busy,
    }


def speed(stepper: Stepper, seconds: float) -> float:
    """Return how many things per second are done, over at least ``seconds``."""
    done, start = 0, time.perf_counter()
    while True:
        done += stepper.run()
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return done / elapsed


def others_seconds() -> float | None:
    """Return the processor time of all other processes since the start, None if unknown."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system = (int(field) for field in stat.read_text().split()[1:4])
    own = os.times()
    return (
        (user + nice + system) / os.sysconf("SC_CLK_TCK")
        - own.user - own.system - own.children_user - own.children_system
    )  # fmt: skip


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return round(value, 3 if abs(value) < 100 else 1) if isinstance(value, float) else value
