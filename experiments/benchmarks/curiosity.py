"""Measure what the curiosity rewards cost, beside those of the exploration toolkit RLeXplore.

    python experiments/benchmarks/curiosity.py --json experiments/benchmarks/curiosity.json
    python experiments/benchmarks/curiosity.py --peer-python TOOLKIT/bin/python

Every listed curiosity model gives the rewards of one rollout (``forward``) and learns from it
(``update``; ``both`` is their sum), with discrete and with continuous actions, on one torch
thread. With ``--peer-python``, an interpreter in which the package ``rllte-core`` is installed, the
toolkit's module of the same name does the same (``compute``, ``update``) on the same numbers, in
turns with ours whose order alternates. Batch size, features, hidden units and epochs are equal on
both sides, and both start from a rollout in memory.

Times are CPU time of the measured process in microseconds per transition, medians over the turns
(and in the file the best turn, which other work on the machine disturbed least). A ratio is the
median over the turns of (time of the toolkit) / (time of ours), above 1 is faster.
``products`` are the matrix products alone that a method asks of its networks, in the sizes of the
comparison and in the same turns: what no way of writing the rest can go below.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from reward_models import RewardModel, Rollout
from reward_models.registry import REWARDS, build_reward, load_reward

PEERS = {
    "rnd": "RND",
    "icm": "ICM",
    "disagreement": "Disagreement",
    "e3b": "E3B",
    "pseudo_counts": "PseudoCounts",
    "ngu": "NGU",
    "ride": "RIDE",
    "re3": "RE3",
}
"""The toolkit's class for a listed name."""

ACTIONS = ("discrete", "continuous")
OPERATIONS = {"forward": "compute", "update": "update"}
SIZES = {"latent_size": 128, "batch_size": 256, "learning_rate": 1e-3, "epochs": 1}
PEER_NAMES = {"latent_size": "latent_dim", "batch_size": "batch_size", "learning_rate": "lr"}
UNTRAINED_PEERS = ("RE3",)
SAME_METHOD = {"ride": {"episodic": "pseudo_counts"}}
"""Options that make ours what the toolkit's is, where its default is another one."""
OBSERVATION_SIZE, CHOICES, EPISODE = 17, 6, 100
HIDDEN, LATENT = 256, SIZES["latent_size"]
ENCODER = ((OBSERVATION_SIZE, HIDDEN), (HIDDEN, LATENT))
DYNAMICS = ((LATENT + CHOICES, HIDDEN), (HIDDEN, LATENT))
INVERSE = ((2 * LATENT, HIDDEN), (HIDDEN, CHOICES))
PRODUCTS: dict[str, dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]]] = {
    # operation -> networks evaluated only, networks trained; the encoder reads numbers, so that
    # nothing flows into its input. A rollout's observations are encoded once in ICM's forward.
    "rnd": {"forward": ((ENCODER, ENCODER), ()), "update": ((ENCODER,), (ENCODER,))},
    "icm": {
        "forward": ((ENCODER, DYNAMICS), ()),
        "update": ((), (ENCODER, ENCODER, DYNAMICS, INVERSE)),
    },
}
PACKAGES = ("ctrl", "gymnasium", "numpy", "torch")


def main() -> None:
    """Run the measurements, print the table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--steps", type=int, default=256)
    parser.add_argument("--columns", type=int, default=16)
    parser.add_argument("--only", nargs="+", help="some of the listed names")
    parser.add_argument("--peer-python", type=Path, help="an interpreter with rllte-core")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    report: dict[str, Any] = {
        "settings": {
            "repeats": options.repeats,
            "steps": options.steps,
            "columns": options.columns,
            "observation_size": OBSERVATION_SIZE,
            "actions": CHOICES,
            "mean_episode_steps": EPISODE,
            "hidden_units": HIDDEN,
            **SIZES,
        },
        "versions": {name: version(name) for name in PACKAGES},
        "machine": {
            "cpus": len(os.sched_getaffinity(0)),
            "processor": processor(),
            "python": platform.python_version(),
            "load_before": os.getloadavg(),
        },
        "rows": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "arrays.npz"
        drawn = draw(options.steps, options.columns)
        np.savez(arrays, **drawn)
        peer = None if options.peer_python is None else Peer(options.peer_python, arrays)
        if peer is not None:
            report["versions"]["peer"] = peer.ask({"versions": True})
        print(f"{'':<28}{'ours':>9}{'products':>10}{'peer':>9}{'ratio':>8}   over the turns")
        for name in options.only or listed():
            for actions in ACTIONS:
                turns = alternate(name, actions, drawn, peer, options.repeats)
                for found in summary(turns, options.steps * options.columns):
                    row = {"model": name, "actions": actions, **found}
                    report["rows"].append(row)
                    print(line(row), flush=True)
        if peer is not None:
            peer.close()
    report["machine"]["load_after"] = os.getloadavg()
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def listed() -> list[str]:
    """Return the names of the curiosity models."""
    found = [name for name, one in REWARDS.items() if ".curiosity." in one.path]
    return sorted(found, key=lambda name: ([*PEERS, name].index(name), name))


def draw(steps: int, columns: int) -> dict[str, np.ndarray]:
    """Return the numbers of one rollout: noise, in episodes of 100 steps on average."""
    rng = np.random.default_rng(0)
    size = (steps, columns)
    observation = rng.standard_normal((steps + 1, columns, OBSERVATION_SIZE), dtype=np.float32)
    ended = rng.random(size) < 1 / EPISODE
    terminated = ended & (rng.random(size) < 0.5)
    after = observation[1:].copy()
    after[ended] = rng.standard_normal((int(ended.sum()), OBSERVATION_SIZE), dtype=np.float32)
    return {
        "observation": observation[:-1],
        "next_observation": after,
        "action_discrete": rng.integers(0, CHOICES, size),
        "action_continuous": rng.uniform(-1, 1, (*size, CHOICES)).astype(np.float32),
        "choices": np.asarray(CHOICES),
        "terminated": terminated,
        "truncated": ended & ~terminated,
    }


def built(name: str, actions: str) -> RewardModel:
    """Return a listed model with the sizes of the comparison, where it has them."""
    parameters = inspect.signature(load_reward(name)).parameters
    return build_reward(
        name,
        observation_space=spaces.Box(-np.inf, np.inf, (OBSERVATION_SIZE,), np.float32),
        action_space=(
            spaces.Discrete(CHOICES) if actions == "discrete" else spaces.Box(-1, 1, (CHOICES,))
        ),
        gamma=0.99,
        options={
            **{key: value for key, value in SIZES.items() if key in parameters},
            **SAME_METHOD.get(name, {}),
        },
    )


def rollout_of(drawn: dict[str, np.ndarray], actions: str) -> Rollout:
    """Return the drawn numbers as a record that goes on from the turn before, as the toolkit's."""
    return Rollout(
        continued=np.ones(drawn["terminated"].shape[1], bool),
        observation=drawn["observation"],
        action=drawn[f"action_{actions}"],
        next_observation=drawn["next_observation"],
        reward=np.zeros(drawn["terminated"].shape, np.float32),
        terminated=drawn["terminated"],
        truncated=drawn["truncated"],
    )


def alternate(
    name: str, actions: str, drawn: dict[str, np.ndarray], peer: Peer | None, repeats: int
) -> list[dict[str, dict[str, Any]]]:
    """Return the times of each turn: of ``ours``, of the ``products`` and of the ``peer``."""
    model, rollout = built(name, actions), rollout_of(drawn, actions)

    def ours() -> dict[str, float]:
        began = time.process_time()
        model(rollout)
        rewarded = time.process_time()
        model.update(rollout)
        return {"forward": rewarded - began, "update": time.process_time() - rewarded}

    def bare() -> dict[str, float]:
        rows = rollout.T * rollout.B
        return {key: products(*which, rows) for key, which in PRODUCTS.get(name, {}).items()}

    def theirs() -> dict[str, Any]:
        if peer is None or name not in PEERS:
            return {}
        answer = peer.measure(PEERS[name], actions)
        return {key: answer.get(its, answer.get("error")) for key, its in OPERATIONS.items()}

    sides = {"ours": ours, "products": bare, "peer": theirs}
    turns = []
    for repeat in range(repeats + 1):
        order = list(sides) if repeat % 2 else list(reversed(sides))
        turns.append({side: with_both(sides[side]()) for side in order})
    return turns[1:]  # the first does not count


def with_both(found: dict[str, Any]) -> dict[str, Any]:
    """Add ``both``, the time of all operations, or the error of the first that has one."""
    errors = [value for value in found.values() if isinstance(value, str)]
    if found:
        found["both"] = errors[0] if errors else sum(filter(None, found.values()))
    return found


def products(evaluated: tuple[Any, ...], trained: tuple[Any, ...], rows: int) -> float:
    """Return the seconds of the products of networks with layers ``(inputs, outputs)``."""
    seconds = 0.0
    size = SIZES["batch_size"]
    for index, network in enumerate((*trained, *evaluated)):
        for inputs, outputs in network:
            x, weight, y = (torch.randn(s) for s in ((size, inputs), (inputs, outputs), (size, 1)))
            gradient = y.expand(size, outputs).contiguous()
            needed: list[Any] = [(x, weight)]
            if index < len(trained):
                needed.append((x.t(), gradient))
                if inputs != OBSERVATION_SIZE:
                    needed.append((gradient, weight.t()))
            began = time.process_time()
            for _ in range(rows // size):
                for first, second in needed:
                    first @ second
            seconds += time.process_time() - began
    return seconds


def summary(turns: list[dict[str, dict[str, Any]]], transitions: int) -> list[dict[str, Any]]:
    """Return a row for each operation: microseconds per transition, and the peer's over ours."""
    rows = []
    for operation in (*OPERATIONS, "both"):
        times = {
            side: [turn[side][operation] for turn in turns if turn[side].get(operation) is not None]
            for side in ("ours", "products", "peer")
        }
        row: dict[str, Any] = {"operation": operation}
        errors = [value for value in times["peer"] if isinstance(value, str)]
        if errors:
            row["peer_error"] = errors[0]
            times["peer"] = []
        for side, values in times.items():
            if values:
                row[f"{side}_microseconds"] = 1e6 * statistics.median(values) / transitions
                row[f"{side}_best"] = 1e6 * min(values) / transitions
        if times["peer"]:
            ratios = [other / own for own, other in zip(times["ours"], times["peer"], strict=True)]
            row["ratio"] = statistics.median(ratios)
            row["ratio_min"], row["ratio_max"] = min(ratios), max(ratios)
        rows.append(row)
    return rows


def line(row: dict[str, Any]) -> str:
    """Return a row as a line of the table."""
    text = f"{row['model']:<16}{row['actions'][:4]:<5}{row['operation']:<7}"
    text += f"{row['ours_microseconds']:>9.2f}"
    bare = row.get("products_microseconds")
    text += f"{'' if bare is None else f'{bare:.2f}':>10}"
    if "peer_error" in row:
        return f"{text}{'fails':>9}{'':>11}{row['peer_error'][:60]}"
    if "ratio" not in row:
        return text
    text += f"{row['peer_microseconds']:>9.2f}{row['ratio']:>8.2f}"
    return f"{text}   [{row['ratio_min']:.2f}, {row['ratio_max']:.2f}]"


class Peer:
    """The toolkit in its own interpreter, answering one request at a time."""

    def __init__(self, python: Path, arrays: Path) -> None:
        self.arrays = arrays
        script = Path(__file__).resolve().parent / "curiosity_peer.py"
        self.process = subprocess.Popen(
            [str(python), str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def measure(self, module: str, actions: str) -> dict[str, Any]:
        """Return the seconds of ``compute`` and ``update`` of one of its modules."""
        sizes = {PEER_NAMES[key]: SIZES[key] for key in PEER_NAMES}
        if module in UNTRAINED_PEERS:
            sizes = {"latent_dim": sizes["latent_dim"]}
        request = {"module": module, "actions": actions, "options": sizes}
        return self.ask({**request, "arrays": str(self.arrays)})

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the peer has no pipes")
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the peer's interpreter ended with code {self.process.wait()}")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()


def processor() -> str:
    """Return the processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [entry.partition(":")[2].strip() for entry in lines if entry.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
