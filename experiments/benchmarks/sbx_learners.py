"""Measure what ctrl adds to an update of SBX's SAC, and what SBX saves against SB3's.

    python experiments/benchmarks/sbx_learners.py --json experiments/benchmarks/sbx_learners.json

All learners are built and compiled first, in one process with one thread for torch and one for
JAX. Then each trains `--steps` steps in turn, in an order that moves on by one from turn to turn.
Every learner has networks of 128 x 128, minibatches of 128 and one update per step.

- ``plain_sbx``: SBX's SAC on SB3's own vector environment.
- ``ctrl_empty``: ``sbx_sac`` through ctrl, the task reward alone.
- ``ctrl_constant``: the same with one more term, so that every sampled reward is recomputed.
- ``plain_sb3``: the SAC of Stable-Baselines3, in torch.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from stable_baselines3 import SAC
from stable_baselines3.common.env_util import make_vec_env as sb3_make_vec_env

from ctrl.sb3 import find_algorithm, make_model
from ctrl.sb3.vec_env import make_vec_env
from reward_models import Constant

ENV = "HalfCheetah-v5"
NETWORKS = [128, 128]
SETTINGS = {"learning_starts": 100, "batch_size": 128, "buffer_size": 100_000, "seed": 0}
WARM_UP = 200
PACKAGES = ("ctrl", "gymnasium", "jax", "mujoco", "numpy", "sbx-rl", "stable_baselines3", "torch")


def main() -> None:
    """Run the measurement, print the medians and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    load_before = os.getloadavg()
    learners = {name: build(name) for name in ("plain_sbx", "ctrl_empty", "ctrl_constant")}
    learners["plain_sb3"] = build("plain_sb3")
    first = {name: learned(model, WARM_UP) for name, model in learners.items()}
    names = list(learners)
    turns: list[dict[str, float]] = []
    for repeat in range(options.repeats):
        start = repeat % len(names)
        order = names[start:] + names[:start]
        turns.append({name: learned(learners[name], options.steps) for name in order})
    report: dict[str, Any] = {
        "settings": {**SETTINGS, "env": ENV, "net_arch": NETWORKS, "warm_up": WARM_UP,
                     "repeats": options.repeats, "steps": options.steps},
        "versions": {name: version(name) for name in PACKAGES},
        "machine": {
            "cpus": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "load_before": load_before,
            "load_after": os.getloadavg(),
        },
        "seconds_of_the_first_steps": first,
        "seconds_per_1000_steps": {},
        "ratio_to_plain_sbx": {},
        "turns": turns,
    }  # fmt: skip
    for name in names:
        seconds = statistics.median(turn[name] for turn in turns) * 1000 / options.steps
        ratios = [turn[name] / turn["plain_sbx"] for turn in turns]
        report["seconds_per_1000_steps"][name] = seconds
        report["ratio_to_plain_sbx"][name] = {
            "median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)
        }  # fmt: skip
        print(
            f"{name:<14} {seconds:.3f} s per 1,000 steps, {statistics.median(ratios):.3f} times "
            f"plain SBX [{min(ratios):.3f}, {max(ratios):.3f}]; its first {WARM_UP} steps took "
            f"{first[name]:.1f} s",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def build(name: str) -> Any:
    """Build one of the learners that are compared."""
    settings = {**SETTINGS, "policy_kwargs": {"net_arch": NETWORKS}}
    if name == "plain_sb3":
        return SAC("MlpPolicy", sb3_make_vec_env(ENV), device="cpu", **settings)
    if name == "plain_sbx":
        kind: Any = find_algorithm("sbx_sac").load()
        return kind("MlpPolicy", sb3_make_vec_env(ENV), **settings)
    mix = {"constant": Constant()} if "constant" in name else None
    return make_model("sbx_sac", make_vec_env(ENV, n_envs=1), mix=mix, **settings)


def learned(model: Any, steps: int) -> float:
    """Return the seconds of training a learner so many steps further."""
    began = time.perf_counter()
    model.learn(steps, reset_num_timesteps=model.num_timesteps == 0)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
