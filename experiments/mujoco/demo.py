"""The demo: PPO on a sparse MuJoCo task, with and without one shaping term.

    python experiments/mujoco/demo.py

A hopper is paid 1 for covering one metre without falling and 0 otherwise. PPO from that reward
alone is compared with PPO that also gets 0.01 times its forward speed, over the same seeds. What is
compared is the task's own success, which the term is no part of.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from tqdm import tqdm

from ctrl.config import TermConfig, TrainConfig, parse_config, read_config
from ctrl.evaluation import evaluate_run
from ctrl.plot import plot_runs
from ctrl.run_folder import RunFolder, versions
from ctrl.seeds import train_all
from ctrl.statistics import welch_test
from ctrl.tables import success_table

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Train, evaluate, print one table and say where the pictures lie."""
    parser = argparse.ArgumentParser(description="PPO with and without a shaping term.")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=None, help="environment steps of each run")
    parser.add_argument("--episodes", type=int, default=50, help="evaluation episodes of each run")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    began = time.perf_counter()
    out = options.out or Path("runs") / f"demo-{datetime.now():%Y%m%d-%H%M%S}"

    plain = parse_config(read_config(HERE / "sparse_hopper.yaml"))
    if options.steps is not None:
        plain = replace(plain, steps=options.steps)
    arms = {"without": plain, "with": shaped(plain)}
    print(
        f"{plain.env.id} with goal 1 m: PPO, {plain.steps} steps, {options.seeds} seeds, with and "
        "without the term 0.01 * forward speed."
    )
    folders = {arm: [out / arm / f"seed_{seed}" for seed in range(options.seeds)] for arm in arms}
    jobs = [
        (replace(config, seed=seed), folders[arm][seed])
        for arm, config in arms.items()
        for seed in range(options.seeds)
    ]
    train_all(jobs, processes=options.processes, description="training")

    success = {arm: judged(arm, folders[arm], options.episodes) for arm in arms}
    table = success_table(success, options.episodes, heading="shaping term")
    print(f"\n{table}\n")
    test = welch_test(success["with"], success["without"])
    print(
        f"Difference {test.difference.point:+.0%} "
        f"(p = {test.p_value:.2g}, one-sided {test.test} test over seeds)."
    )
    record = {
        "config": plain.as_dict(),
        "term": {"use": "velocity", "weight": 0.01},
        "seeds": options.seeds,
        "episodes": options.episodes,
        "success": success,
        "p_value": test.p_value,
        "test": test.test,
        "seconds": time.perf_counter() - began,
        "versions": versions(),
    }
    (out / "demo.json").write_text(json.dumps(record, indent=1) + "\n")
    picture = plot_runs([out], out=out / "learning_curves.png")
    print(f"Learning curves: {picture.path}")
    print(f"TensorBoard:     tensorboard --logdir {out}")
    print(f"Done in {time.perf_counter() - began:.0f} s.")


def shaped(config: TrainConfig) -> TrainConfig:
    """Return the configuration with the forward-speed term."""
    term = TermConfig(use=f"{HERE / 'rewards.py'}:velocity", weight=0.01)
    return replace(config, reward={**config.reward, "velocity": term})


def judged(arm: str, runs: list[Path], episodes: int) -> list[float]:
    """Return the success rate of each run's final policy by the task alone."""
    return [
        evaluate_run(RunFolder.open(run), episodes=episodes)["success_rate"]
        for run in tqdm(runs, desc=f"evaluating {arm}", unit="run", disable=None)
    ]


if __name__ == "__main__":
    main()
