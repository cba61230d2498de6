"""Measure how fast environments are stepped, ours against SB3's ``DummyVecEnv``.

    python experiments/benchmarks/stepping.py --json experiments/benchmarks/stepping.json

Two measurements per task, each with everything to compare side by side in one process and in turns,
so that a change in the machine's load meets all of them:

- raw stepping with random actions;
- PPO end to end with SB3's own class, whose trained weights must be equal bit for bit.

Ratios are medians over the repeats of (time of SB3) / (time of ours), from one turn each. On Linux
``other_cpus`` says how many processors other processes kept busy meanwhile: with two threads on two
processors, figures taken while that is far from 0 say little.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env as sb3_make_vec_env
from stable_baselines3.common.vec_env import VecEnv

from ctrl.benchmarks.timing import others_seconds
from ctrl.sb3.vec_env import make_vec_env
from envs.threads import available_cpus

PACKAGES = ("ctrl", "gymnasium", "mujoco", "numpy", "stable_baselines3", "torch")


def main() -> None:
    """Run both measurements for every task, print the ratios and write the JSON file."""
    options = parse()
    if options.torch_threads:
        torch.set_num_threads(options.torch_threads)
    report: dict[str, Any] = {
        "settings": {key: value for key, value in vars(options).items() if key != "json"},
        "versions": {name: version(name) for name in PACKAGES},
        "machine": {
            "cpus": available_cpus(),
            "python": platform.python_version(),
            "torch_threads": torch.get_num_threads(),
            "load_before": os.getloadavg(),
        },
        "tasks": {},
    }
    for task in options.tasks:
        report["tasks"][task] = {"stepping": stepping(task, options)}
        if not options.no_ppo:
            report["tasks"][task]["ppo"] = ppo(task, options)
    report["machine"]["load_after"] = os.getloadavg()
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=["HalfCheetah-v5", "Ant-v5"])
    parser.add_argument("--envs", type=int, default=16, help="parallel environments")
    parser.add_argument("--threads", type=int, default=available_cpus())
    parser.add_argument("--steps", type=int, default=100, help="raw steps per turn")
    parser.add_argument("--repeats", type=int, default=9, help="turns of raw stepping")
    parser.add_argument("--ppo-repeats", type=int, default=5, help="turns of PPO")
    parser.add_argument("--n-steps", type=int, default=256, help="PPO: steps per rollout")
    parser.add_argument("--batch-size", type=int, default=512, help="PPO: minibatch")
    parser.add_argument("--torch-threads", type=int, default=0, help="0: as torch chooses")
    parser.add_argument("--no-ppo", action="store_true")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    return parser.parse_args()


def build(kind: str, task: str, options: argparse.Namespace) -> VecEnv:
    """Make one of what is compared."""
    if kind == "sb3":
        return sb3_make_vec_env(task, options.envs, seed=0)
    threads = 1 if kind == "batched, 1 thread" else options.threads
    backend = "threads" if kind == "threads" else "batched"
    return make_vec_env(task, n_envs=options.envs, seed=0, threads=threads, backend=backend)


def stepping(task: str, options: argparse.Namespace) -> dict[str, Any]:
    """Time raw steps; actions are clipped normal noise, as of an untrained policy."""
    kinds = ("sb3", "threads", "batched, 1 thread", "batched")
    venvs = {kind: build(kind, task, options) for kind in kinds}
    shape = (options.steps, options.envs, *(venvs["sb3"].action_space.shape or ()))
    noise = np.random.default_rng(0).normal(size=shape)
    actions = np.clip(noise, -1, 1).astype(np.float32)

    def run(venv: VecEnv) -> None:
        for row in actions:
            venv.step(row)

    for venv in venvs.values():
        venv.reset()
        run(venv)
    turns = {name: functools.partial(run, venv) for name, venv in venvs.items()}
    result = in_turns(turns, options.repeats, options.steps * options.envs)
    for venv in venvs.values():
        venv.close()
    show(f"{task}, stepping", result)
    return result


def ppo(task: str, options: argparse.Namespace) -> dict[str, Any]:
    """Time SB3's PPO on its own and on our vector environment."""
    kinds = ("sb3", "batched", "batched, collecting on 1 torch thread")
    venvs = {kind: build(kind, task, options) for kind in kinds}
    per_turn = options.n_steps * options.envs
    models = {
        name: PPO(
            "MlpPolicy",
            venv,
            n_steps=options.n_steps,
            batch_size=options.batch_size,
            seed=0,
            device="cpu",
        )
        for name, venv in venvs.items()
    }
    callbacks = {name: OneTorchThread() if "1 torch" in name else None for name in models}
    weights: dict[str, Any] = {}

    def run(name: str) -> None:
        # All models draw from torch's and numpy's global generators: in turns they would see each
        # other's numbers, so each turn starts from the same.
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        models[name].learn(per_turn, callbacks[name], reset_num_timesteps=False)
        weights[name] = models[name].policy.state_dict()

    for name in models:
        run(name)
    turns = {name: functools.partial(run, name) for name in models}
    result = in_turns(turns, options.ppo_repeats, per_turn)
    result["weights_bit_equal"] = all(
        torch.equal(value, own[key])
        for own in weights.values()
        for key, value in weights["sb3"].items()
    )
    for venv in venvs.values():
        venv.close()
    show(f"{task}, PPO end to end (weights bit-equal: {result['weights_bit_equal']})", result)
    return result


class OneTorchThread(BaseCallback):
    """Give torch one thread while steps are collected.

    Between its operations torch's second thread waits actively, on the processor that the thread
    stepping the environments needs; the policy's forward pass is too small to gain from it.
    """

    def _on_training_start(self) -> None:
        self.threads = torch.get_num_threads()

    def _on_rollout_start(self) -> None:
        torch.set_num_threads(1)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        torch.set_num_threads(self.threads)


def in_turns(turns: Mapping[str, Callable[[], None]], repeats: int, steps: int) -> dict[str, Any]:
    """Time the turns one after the other, ``repeats`` times.

    Returns:
        ``steps_per_second``, per name the figures of all repeats, and ``ratio`` and ``ratios``,
        the speed over that of ``"sb3"``: median, and of every repeat; ``other_cpus``: see above.
    """
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    busy: list[float] = []
    for _ in range(repeats):
        before, began = others_seconds(), time.perf_counter()
        for name, turn in turns.items():
            start = time.perf_counter()
            turn()
            seconds[name].append(time.perf_counter() - start)
        if before is not None and (after := others_seconds()) is not None:
            busy.append(round((after - before) / (time.perf_counter() - began), 2))
    ratios = {
        name: [sb3 / own for sb3, own in zip(seconds["sb3"], times, strict=True)]
        for name, times in seconds.items()
    }
    return {
        "steps_per_second": {
            name: [round(steps / own, 1) for own in times] for name, times in seconds.items()
        },
        "ratio": {name: round(statistics.median(values), 3) for name, values in ratios.items()},
        "other_cpus": busy,
        "ratios": {name: [round(value, 3) for value in row] for name, row in ratios.items()},
    }


def show(title: str, result: dict[str, Any]) -> None:
    """Print one line per compared vector environment."""
    busy = result["other_cpus"]
    note = f"; other processes: {statistics.median(busy):.1f} cpus" if busy else ""
    print(title + note)
    for name, figures in result["steps_per_second"].items():
        median = statistics.median(figures)
        print(f"  {name:38s} {median:10,.0f} steps/s   {result['ratio'][name]:.2f} x SB3")


if __name__ == "__main__":
    main()
