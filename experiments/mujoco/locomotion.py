"""PPO on HalfCheetah-v5, with and without a shaping term that keeps the torso level.

    python experiments/mujoco/locomotion.py

A cheetah on its back can slide forwards, and following its speed alone PPO often learns to. The
term pays 0.05 * (cos(pitch) - 1) per step. Both arms use the settings of ``locomotion.yaml`` and
the same seeds; what is compared is the task's own return, which the term is no part of.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ctrl.config import TermConfig, TrainConfig, parse_config, read_config
from ctrl.evaluation import evaluate_run
from ctrl.plot import plot_runs
from ctrl.run_folder import RunFolder, versions
from ctrl.seeds import train_all
from ctrl.statistics import bootstrap_interval, welch_test
from ctrl.tables import markdown_table

HERE = Path(__file__).resolve().parent
TERM, WEIGHT = "upright", 0.05
# Task returns to compare with, after 1 million steps.
PUBLISHED = {
    "CleanRL PPO, HalfCheetah-v4, default settings": 1443,
    "RL Zoo PPO, HalfCheetah-v3, tuned settings, one run": 5819,
}


def main() -> None:
    """Train, evaluate, print one table and say where the record and the picture lie."""
    parser = argparse.ArgumentParser(description="PPO on HalfCheetah with and without a term.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=None, help="environment steps of each run")
    parser.add_argument("--episodes", type=int, default=20, help="evaluation episodes of each run")
    parser.add_argument("--processes", type=int, default=1, help="runs at once")
    parser.add_argument("--out", type=Path, default=None, help="runs; finished ones are kept")
    parser.add_argument("--record", type=Path, default=None, help="folder of the JSON and the PNG")
    options = parser.parse_args()
    out = options.out or Path("runs") / f"locomotion-{datetime.now():%Y%m%d-%H%M%S}"
    record = options.record or out

    plain = parse_config(read_config(HERE / "locomotion.yaml"))
    if options.steps is not None:
        plain = replace(plain, steps=options.steps)
    arms = {"without": plain, "with": shaped(plain)}
    folders = {arm: [out / arm / f"seed_{seed}" for seed in range(options.seeds)] for arm in arms}
    jobs = [
        (replace(config, seed=seed), folders[arm][seed])
        for seed in range(options.seeds)
        for arm, config in arms.items()
        if not (folders[arm][seed] / "result.json").is_file()
    ]
    if jobs:
        train_all(jobs, processes=options.processes, description="training")
    found = {arm: [judged(run, options.episodes) for run in tqdm(runs, desc=f"evaluating {arm}")]
             for arm, runs in folders.items()}  # fmt: skip

    print(f"\n{table(found, plain.steps, options.episodes)}\n")
    test = welch_test(returns(found["with"]), returns(found["without"]), alternative="two-sided")
    print(
        f"Difference {test.difference.point:+.0f} "
        f"(p = {test.p_value:.2g}, two-sided {test.test} test over seeds)."
    )
    document = {
        "config": plain.as_dict(),
        "term": {"use": TERM, "weight": WEIGHT},
        "seeds": options.seeds,
        "episodes": options.episodes,
        "evaluations": found,
        "difference": test.difference.point,
        "p_value": test.p_value,
        "test": test.test,
        "published_after_1M_steps": PUBLISHED,
        "versions": versions(),
    }
    record.mkdir(parents=True, exist_ok=True)
    path = record / "mujoco_locomotion.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    picture = plot_runs([out], out=record / "mujoco_locomotion.png")
    print(f"Record: {path}   Curves: {picture.path}   TensorBoard: tensorboard --logdir {out}")


def shaped(config: TrainConfig) -> TrainConfig:
    """Return the configuration with the term."""
    term = TermConfig(use=f"{HERE / 'rewards.py'}:{TERM}", weight=WEIGHT)
    return replace(config, reward={**config.reward, TERM: term})


def judged(run: Path, episodes: int) -> dict[str, Any]:
    """Return the evaluation of a run's final policy by the task alone."""
    summary = evaluate_run(RunFolder.open(run), episodes=episodes)
    return {key: summary[key] for key in ("task_return_mean", "task_return_std", "episodes")}


def returns(evaluations: list[dict[str, Any]]) -> list[float]:
    """Return the mean task return of each run."""
    return [evaluation["task_return_mean"] for evaluation in evaluations]


def table(found: dict[str, list[dict[str, Any]]], steps: int, episodes: int) -> str:
    """Return the comparison as a table."""
    rows = []
    for arm, evaluations in found.items():
        means = np.array(returns(evaluations))
        interval = bootstrap_interval(means, np.mean)
        rows.append(
            {
                "shaping term": arm,
                "seeds": len(means),
                f"task return after {steps} steps": f"{means.mean():.0f}",
                "95 % interval": f"{interval.low:.0f} to {interval.high:.0f}",
                f"per seed ({episodes} episodes)": ", ".join(f"{mean:.0f}" for mean in means),
            }
        )
    return markdown_table(rows, list(rows[0]))


if __name__ == "__main__":
    main()
