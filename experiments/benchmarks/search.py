"""Measure evaluations per second of a search: one process, two processes, two nodes of Ray.

    python experiments/benchmarks/search.py --json experiments/benchmarks/search.json

Every row evaluates the same generations of random controllers in turns, in an order that
alternates. A ratio is the median over the turns of (seconds of one process) / (seconds of the row),
above 1 is faster. Processes, nodes and environments are started, and used once, before the clock
runs. The episodes of all rows are compared to the last bit. Both nodes of Ray, and both processes,
are on this machine; more than its processors they cannot use.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from contextlib import ExitStack
from dataclasses import fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ctrl.config import EnvConfig
from ctrl.search import Episodes
from ctrl.search.evaluation import Evaluator, Executor, LocalProcesses, RayCluster, Setting

WORLDS = {"PointWalker-v0": 4000, "HardMaze-v0": 400, "AntMazeGoal_UMaze-v0": 16}
"""Genomes of a generation: more for cheap episodes, so that every turn takes some seconds."""

PROCESSES = 2
ONE = "1 process"
PACKAGES = ("ctrl", "gymnasium", "mujoco", "numpy", "ray", "torch")


def main() -> None:
    """Run the measurements, print the table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=list(WORLDS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-ray", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    load = os.getloadavg()
    with ExitStack() as stack:
        address = None if options.no_ray else stack.enter_context(_Nodes()).address
        worlds = {name: _measure(name, options.repeats, address) for name in options.worlds}
    document = {
        "settings": {"repeats": options.repeats, "generation": WORLDS, "hidden": [5, 5]},
        "versions": {name: version(name) for name in PACKAGES},
        "machine": {
            "cpus": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "load_before": list(load),
            "load_after": list(os.getloadavg()),
        },
        "worlds": worlds,
    }
    print(f"{'':24}{'evaluations/s':>16}{'steps/s':>12}{'ratio':>8}")
    for name, rows in worlds.items():
        print(name)
        for row, found in rows.items():
            print(
                f"  {row:22}{found['evaluations_per_second']:16.1f}"
                f"{found['steps_per_second']:12.0f}{found['ratio']:8.2f}"
            )
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


class _Nodes:
    """Two nodes of Ray on this machine, with one processor each."""

    def __enter__(self) -> _Nodes:
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 1, "object_store_memory": 10**8, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=node)
        self._cluster.add_node(**node)
        self._cluster.wait_for_nodes()
        self.address: str = self._cluster.address
        return self

    def __exit__(self, *error: object) -> None:
        self._cluster.shutdown()


def _measure(name: str, repeats: int, address: str | None) -> dict[str, Any]:
    setting = Setting(env=EnvConfig(name, threads=1))
    with ExitStack() as stack:
        rows: dict[str, Executor] = {ONE: stack.enter_context(Evaluator(setting))}
        if name.startswith("Ant"):
            threaded = replace(setting, env=EnvConfig(name, threads=PROCESSES))
            rows[f"{ONE}, {PROCESSES} threads"] = stack.enter_context(Evaluator(threaded))
        pool = LocalProcesses(setting, processes=PROCESSES)
        rows[f"{PROCESSES} processes"] = stack.enter_context(pool)
        if address is not None:
            cluster = RayCluster(setting, address=address)
            rows["Ray, 2 nodes"] = stack.enter_context(cluster)
        rng = np.random.default_rng(0)
        size = WORLDS[name]
        seconds: dict[str, list[float]] = {row: [] for row in rows}
        steps: list[int] = []
        for turn in range(-1, repeats):
            genomes = rng.normal(size=(size, pool.genome.size))
            found: dict[str, Episodes] = {}
            # The turn before the first is for starting and filling caches.
            for row in list(rows)[:: 1 if turn % 2 else -1]:
                began = time.perf_counter()
                found[row] = rows[row].evaluate(genomes, (turn + 1) * size)
                if turn >= 0:
                    seconds[row].append(time.perf_counter() - began)
            _require_equal(found)
            if turn >= 0:
                steps.append(int(found[ONE].length.sum()))
    per_evaluation = statistics.median(steps) / size
    return {
        row: {
            "seconds": [round(value, 4) for value in values],
            "evaluations_per_second": round(size / statistics.median(values), 2),
            "steps_per_second": round(size * per_evaluation / statistics.median(values), 1),
            "ratio": round(
                statistics.median(one / own for one, own in zip(seconds[ONE], values, strict=True)),
                3,
            ),
        }
        for row, values in seconds.items()
    }


def _require_equal(found: dict[str, Episodes]) -> None:
    for row, episodes in found.items():
        for field in fields(Episodes):
            left, right = getattr(found[ONE], field.name), getattr(episodes, field.name)
            if left is not None and not np.array_equal(left, right):
                raise RuntimeError(f"{field.name} of {row} differs from that of {ONE}.")


if __name__ == "__main__":
    main()
