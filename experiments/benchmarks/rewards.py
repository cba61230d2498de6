"""Measure what rewards cost: plain SB3 against ctrl, and a neural term against none.

    python experiments/benchmarks/rewards.py --json experiments/benchmarks/rewards.json

Everything compared runs in one process, on one torch thread, in turns whose order alternates. A
ratio is the median over the repeats of (time of ours) / (time of the other), both from one turn.

- ``plumbing_*``: ctrl with an empty mix against plain SB3, on SB3's own ``DummyVecEnv``.
- ``default_*``: the same, with the vector environment that ctrl takes by default; ``two_threads``
  gives plain SB3 two torch threads and ctrl the one it takes by default.
- ``ppo_rnd`` and ``sac_rnd``: one learning random-network-distillation term against none.
- ``relabel``: rewards of 1,000,000 stored transitions, against the bare network.
- ``import``: a fresh interpreter that imports ctrl, against one that imports torch.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_util import make_vec_env as sb3_make_vec_env

from ctrl.sb3 import books_of, make_model
from ctrl.sb3.vec_env import make_vec_env
from reward_models import RewardMix, Rollout, Term
from reward_models.curiosity import RND

ENV = "HalfCheetah-v5"
PPO_SETTINGS = {"n_steps": 256, "batch_size": 512, "device": "cpu", "seed": 0}
SAC_SETTINGS = {"learning_starts": 100, "device": "cpu", "seed": 0}
PACKAGES = ("ctrl", "gymnasium", "mujoco", "numpy", "stable_baselines3", "torch")


def main() -> None:
    """Run the measurements, print the ratios and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--ppo-steps", type=int, default=3 * 4096)
    parser.add_argument("--sac-steps", type=int, default=300)
    parser.add_argument("--transitions", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", help="some of the comparisons")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    report: dict[str, Any] = {
        "settings": {k: v for k, v in vars(options).items() if k != "json"},
        "versions": {name: version(name) for name in PACKAGES},
        "machine": {
            "cpus": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "load_before": os.getloadavg(),
        },
        "ratios": {},
    }
    ppo, sac = options.ppo_steps, options.sac_steps
    pairs: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
        "plumbing_ppo": (lambda: ours(PPO, ppo, "dummy"), lambda: plain(PPO, ppo)),
        "default_ppo": (lambda: ours(PPO, ppo), lambda: plain(PPO, ppo)),
        "default_ppo_ant": (
            lambda: ours(PPO, ppo, env_id="Ant-v5"),
            lambda: plain(PPO, ppo, env_id="Ant-v5"),
        ),
        "default_ppo_two_threads": (
            lambda: ours(PPO, ppo),
            lambda: plain(PPO, ppo, threads=2),
        ),
        "plumbing_sac": (lambda: ours(SAC, sac, "dummy"), lambda: plain(SAC, sac)),
        "ppo_rnd": (lambda: ours(PPO, ppo, rnd={}), lambda: ours(PPO, ppo)),
        "sac_rnd": (lambda: ours(SAC, sac, rnd={}), lambda: ours(SAC, sac)),
        "relabel": relabelling(options.transitions),
        "import": (lambda: imported("ctrl"), lambda: imported("torch")),
    }
    for name in options.only or pairs:
        first, second = pairs[name]
        first(), second()  # one turn that does not count
        turns = []
        for repeat in range(options.repeats):
            if repeat % 2:
                other = second()
                turns.append((first(), other))
            else:
                turns.append((first(), second()))
        ratios = [a / b for a, b in turns]
        report["ratios"][name] = {
            "median": statistics.median(ratios),
            "min": min(ratios),
            "max": max(ratios),
            "seconds_ours": statistics.median(a for a, _ in turns),
            "seconds_other": statistics.median(b for _, b in turns),
            "turns": turns,
        }
        found = report["ratios"][name]
        print(
            f"{name:<16} {found['median']:.3f}  [{found['min']:.3f}, {found['max']:.3f}]  "
            f"{found['seconds_ours']:.3f} s against {found['seconds_other']:.3f} s",
            flush=True,
        )
    report["machine"]["load_after"] = os.getloadavg()
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def columns(algorithm: type) -> int:
    """Return how many environments a learner is measured with."""
    return 16 if algorithm is PPO else 1


def settings(algorithm: type) -> dict[str, Any]:
    """Return the learner's settings."""
    return PPO_SETTINGS if algorithm is PPO else SAC_SETTINGS


def plain(algorithm: type, steps: int, *, env_id: str = ENV, threads: int = 1) -> float:
    """Return the seconds that plain SB3 trains."""
    torch.set_num_threads(threads)
    env = sb3_make_vec_env(env_id, n_envs=columns(algorithm))
    seconds = learned(algorithm("MlpPolicy", env, **settings(algorithm)), steps)
    torch.set_num_threads(1)
    return seconds


def ours(
    algorithm: type,
    steps: int,
    backend: str = "auto",
    *,
    rnd: dict[str, Any] | None = None,
    env_id: str = ENV,
) -> float:
    """Return the seconds that the learner trains through ctrl."""
    env = make_vec_env(env_id, n_envs=columns(algorithm), backend=backend)
    mix = None
    if rnd is not None:
        mix = {"rnd": Term(RND(observation_space=env.observation_space, **rnd), weight=0.1)}
    model = make_model(algorithm, env, policy="MlpPolicy", mix=mix, **settings(algorithm))
    seconds = learned(model, steps)
    if rnd is not None and not books_of(model).metrics:
        raise RuntimeError("the term was never evaluated")
    return seconds


def learned(model: Any, steps: int) -> float:
    """Return the seconds of one call of ``learn``."""
    began = time.perf_counter()
    model.learn(steps)
    seconds = time.perf_counter() - began
    model.env.close()
    return seconds


def relabelling(transitions: int) -> tuple[Callable[[], float], Callable[[], float]]:
    """Return the timing of relabelling through a mix and of the bare network."""
    env = make_vec_env(ENV, n_envs=1)
    model = RND(observation_space=env.observation_space)
    mix = RewardMix({"rnd": Term(model, weight=0.1)}, gamma=0.99)
    generator = np.random.default_rng(0)
    observation = generator.standard_normal((1, transitions, 17))
    flags = np.zeros((1, transitions), dtype=bool)
    rollout = Rollout(
        observation=observation,
        action=np.zeros((1, transitions, 6), dtype=np.float32),
        next_observation=observation,
        reward=np.zeros((1, transitions), dtype=np.float32),
        terminated=flags,
        truncated=flags,
    )

    def through_mix() -> float:
        began = time.perf_counter()
        mix.total(rollout)
        return time.perf_counter() - began

    def bare() -> float:
        began = time.perf_counter()
        model(rollout)
        return time.perf_counter() - began

    return through_mix, bare


def imported(package: str) -> float:
    """Return the seconds a fresh interpreter takes to import a package."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {package}"], check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
