"""Measure what rewards written as programs cost in the sandbox, per call and for whole rollouts.

    python experiments/benchmarks/coded.py --json experiments/benchmarks/coded.json

Three programs of growing appetite (one number; vectors with norms; memory of the episode) reward a
rollout of random numbers, with the transfer into the worker and back. ``batched`` is one call for
``--steps`` times ``--columns`` transitions, ``minibatch`` one for 256 single ones as a replay
buffer hands them out, ``stepwise`` one for each vector step of the columns, ``call`` one for every
transition. ``vectorised`` is the same program on numpy arrays in the process itself, where it needs
no memory. Times are microseconds per transition: ``wall`` is the median over the repeats, ``best``
the fastest, and ``cpu`` the time on processors of this process and of the worker together, with the
worker's start, which other work on the machine disturbs least.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from reward_models.coded.limits import Limits
from reward_models.coded.program import Convention, Program
from reward_models.coded.quantities import ProgramInputs
from reward_models.coded.runner import Runner
from reward_models.coded.sandbox import Sandbox
from reward_models.coded.stepper import Stepper
from reward_models.coded.vectorised import VectorisedRunner
from reward_models.rollout import Rollout

SIGNED = (
    "def sparse(prev_obs, action, obs, info, state):\n    return {sparse}\n"
    "def dense(prev_obs, action, obs, info, state):\n    return {dense}\n"
)
DISTANCE = "np.linalg.norm({0}['ball'] - {0}['car'])"
PROGRAMS = {
    "number": SIGNED.format(
        sparse="obs['distance'] < 0.1", dense="prev_obs['distance'] - obs['distance']"
    ),
    "vectors": SIGNED.format(
        sparse=f"{DISTANCE.format('obs')} < 0.1",
        dense=f"{DISTANCE.format('prev_obs')} - {DISTANCE.format('obs')}",
    ),
    "memory": SIGNED.format(
        sparse="obs['distance'] < 0.1",
        dense="(state.update(n=state.get('n', 0) + 1), state['n'] < 50)[1]",
    ),
}
VECTORISED = {
    "number": PROGRAMS["number"],
    "vectors": PROGRAMS["vectors"].replace("])", "], axis=-1)"),
}
PACKAGES = ("ctrl", "numpy", "pydantic-monty", "torch")


def main() -> None:
    """Run the measurements, print the table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=256)
    parser.add_argument("--columns", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    load = os.getloadavg()
    rows = [row for name in PROGRAMS for row in measured(name, options)]
    for row in rows:
        print(
            f"{row['program']:<10}{row['way']:<12}{row['wall']:>9.2f}{row['best']:>9.2f}{row['cpu']:>9.2f}"
        )
    report = {
        "settings": {
            "steps": options.steps,
            "columns": options.columns,
            "repeats": options.repeats,
        },
        "versions": {name: version(name) for name in PACKAGES},
        "machine": {
            "cpus": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "load_before": load,
        },
        "unit": "microseconds per transition",
        "rows": rows,
    }
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def measured(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows of one program."""
    names = {"distance": spaces.Box(0.0, 1.0, ())}
    names |= {key: spaces.Box(-1.0, 1.0, (3,)) for key in ("ball", "car")}
    inputs = ProgramInputs.from_spaces(spaces.Dict(names), spaces.Discrete(3))
    program = Program(PROGRAMS[name], Convention.SIGNED, inputs)
    rollout, minibatch = record(options.steps, options.columns), record(1, 256)
    step = record(1, options.columns)
    sizes = {"batched": options.steps * options.columns, "minibatch": 256}
    sizes |= {"stepwise": options.columns, "call": 1}
    values = {key: [0.1, 0.2, 0.3] if key != "distance" else 0.5 for key in names}
    ways: dict[str, Callable[[Sandbox], Callable[[], Any]]] = {
        "batched": lambda sandbox: partial(Runner(program, sandbox).run, rollout),
        "minibatch": lambda sandbox: partial(Runner(program, sandbox).run, minibatch),
        "stepwise": lambda sandbox: partial(Runner(program, sandbox).run, step),
        "call": lambda sandbox: partial(Stepper(program, sandbox), values, 0, values),
    }
    if name in VECTORISED:
        fast = Program(VECTORISED[name], Convention.SIGNED, inputs)
        ways["vectorised"] = lambda sandbox: partial(VectorisedRunner(fast).run, rollout)
        sizes["vectorised"] = sizes["batched"]
    return [
        {"program": name, "way": way, **timed(prepare, sizes[way], options.repeats)}
        for way, prepare in ways.items()
    ]


def timed(
    prepare: Callable[[Sandbox], Callable[[], Any]], transitions: int, repeats: int
) -> dict[str, float]:
    """Return median and best time and the processor time of one transition, in microseconds."""
    inner, times = max(1, 1024 // transitions), []
    before = processor_time()
    with Sandbox(Limits(), workers=1) as sandbox:
        run = prepare(sandbox)
        for _ in range(repeats):
            start = time.perf_counter()
            for _ in range(inner):
                run()
            times.append((time.perf_counter() - start) / (inner * transitions) * 1e6)
    # The worker has ended, so its time counts among that of this process's children.
    cpu = (processor_time() - before) / (repeats * inner * transitions) * 1e6
    return {
        "wall": round(statistics.median(times), 3),
        "best": round(min(times), 3),
        "cpu": round(cpu, 3),
    }


def processor_time() -> float:
    """Return the seconds on processors of this process and its ended children."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def record(steps: int, columns: int) -> Rollout:
    """Return random steps in episodes of 100."""
    random = np.random.default_rng(0)
    shapes = {"distance": (), "ball": (3,), "car": (3,)}
    series = {
        key: torch.as_tensor(random.normal(size=(steps + 1, columns, *shape)).astype(np.float32))
        for key, shape in shapes.items()
    }
    ends = torch.zeros(steps, columns, dtype=torch.bool)
    ends[99::100] = True
    return Rollout(
        observation={key: values[:-1] for key, values in series.items()},
        next_observation={key: values[1:] for key, values in series.items()},
        action=torch.as_tensor(random.integers(0, 3, size=(steps, columns))),
        reward=torch.zeros(steps, columns),
        terminated=ends,
        truncated=torch.zeros_like(ends),
    )


if __name__ == "__main__":
    main()
