"""A car that learns to reach and touch the ball, by self-play with a shaped reward.

    python experiments/rocket_league/touch.py

PPO drives both cars of one-against-one matches. Besides the task reward (goals) it is paid for
touches, for speed towards the ball and for facing it (`rewards.py`, `touch.yaml`). The policy
before its first update and the trained one then play kick-offs against themselves; what is
compared is how often the ball is touched, and how often a goal falls, per minute of game time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ctrl.build import acting_config, build_env, build_model
from ctrl.config import EnvConfig, TrainConfig, parse_config, read_config
from ctrl.evaluation import load_policy
from ctrl.plot import plot_runs
from ctrl.run_folder import RunFolder, versions
from ctrl.seeds import train_all
from ctrl.statistics import bootstrap_interval, welch_test
from ctrl.tables import markdown_table

HERE = Path(__file__).resolve().parent
SECONDS_PER_STEP = 8 / 120
MATCHES = 16
MEASURES = ("touches", "goals")


def main() -> None:
    """Train, measure before and after, print one table and write the results."""
    parser = argparse.ArgumentParser(description="PPO by self-play learns to touch the ball.")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=None, help="steps of all cars of each run")
    parser.add_argument("--minutes", type=float, default=30.0, help="game time of each measurement")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--results", type=Path, default=None, help="folder for the JSON and PNG")
    options = parser.parse_args()
    began = time.perf_counter()
    out = options.out or Path("runs") / f"touch-{datetime.now():%Y%m%d-%H%M%S}"
    config = configuration(options.steps)
    runs = [out / f"seed_{seed}" for seed in range(options.seeds)]
    # Runs that are there already are only measured again.
    jobs = [
        (replace(config, seed=seed), run)
        for seed, run in enumerate(runs)
        if not RunFolder(run).result_file.is_file()
    ]
    if jobs:
        train_all(jobs, processes=options.processes, description="training")
    torch.set_num_threads(config.threads)
    played: dict[str, list[dict[str, float]]] = {"before": [], "after": []}
    for seed, run in enumerate(tqdm(runs, desc="measuring", unit="run", disable=None)):
        first = build_model(acting_config(replace(config, seed=seed, reward={})))
        trained, _ = load_policy(RunFolder.open(run))
        played["before"].append(measured(first, config, options.minutes, seed=10_000 + seed))
        played["after"].append(measured(trained, config, options.minutes, seed=10_000 + seed))
    print(f"\n{table(played)}\n")
    record: dict[str, Any] = {
        "config": portable(config),
        "seeds": options.seeds,
        "game_minutes_per_measurement": options.minutes,
        "per_minute": {
            arm: {name: [rates[name] for rates in found] for name in MEASURES}
            for arm, found in played.items()
        },
    }
    for name in MEASURES:
        before, after = ([rates[name] for rates in played[arm]] for arm in ("before", "after"))
        test = welch_test(after, before)
        record[f"{name}_test"] = asdict(test)
        print(
            f"{name} per minute: {np.mean(before):.2f} -> {np.mean(after):.2f} "
            f"(p = {test.p_value:.2g}, one-sided {test.test} test over seeds)."
        )
    results = [json.loads(RunFolder(run).result_file.read_text()) for run in runs]
    record["training_seconds"] = [result["seconds"] for result in results]
    record["versions"] = versions()
    (out / "touch.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    picture = plot_runs([out], out=out / "touch.png", metric="reward/touch/mean", smooth=4)
    if options.results is not None:
        options.results.mkdir(parents=True, exist_ok=True)
        for kind in ("json", "png"):
            shutil.copy(out / f"touch.{kind}", options.results / f"rocket_league_touch.{kind}")
    print(f"Learning curves: {picture.path}")
    print(f"TensorBoard:     tensorboard --logdir {out}")
    print(f"Done in {time.perf_counter() - began:.0f} s.")


def configuration(steps: int | None) -> TrainConfig:
    """Return the training of ``touch.yaml``, with the reward file named from anywhere."""
    data = read_config(HERE / "touch.yaml")
    for term in data["reward"].values():
        if isinstance(term, dict):
            term["use"] = term["use"].replace("experiments/rocket_league", str(HERE))
    config = parse_config(data)
    return config if steps is None else replace(config, steps=steps)


def portable(config: TrainConfig) -> dict[str, Any]:
    """Return the configuration as plain data, with the reward file named from the project."""
    text = json.dumps(config.as_dict())
    return json.loads(text.replace(str(HERE), "experiments/rocket_league"))


def measured(model: Any, config: TrainConfig, minutes: float, *, seed: int) -> dict[str, float]:
    """Let a policy play kick-offs against itself, and count.

    Args:
        model: the learner; it acts as in training, by sampling.
        config: names the task; starts and time limits are the task's own.
        minutes: game time over all matches.
        seed: of the matches.

    Returns:
        Touches and goals of both cars together, per minute of game time.
    """
    env = build_env(EnvConfig(config.env.id, threads=1), n_envs=2 * MATCHES, seed=seed)
    model.set_random_seed(seed)
    observation = env.reset()
    counts = dict.fromkeys(MEASURES, 0.0)
    steps = max(1, round(minutes * 60 / SECONDS_PER_STEP / MATCHES))
    for _ in range(steps):
        actions, _ = model.predict(observation)
        observation, *_ = env.step(actions)
        happened = env.info_columns()
        counts["touches"] += float(happened["touch"].sum())
        counts["goals"] += float(happened["team_goal"].sum())
    env.close()
    return {
        name: count / (steps * MATCHES * SECONDS_PER_STEP / 60) for name, count in counts.items()
    }


def table(played: dict[str, list[dict[str, float]]]) -> str:
    """Return the comparison as a table."""
    rows = []
    for arm, found in played.items():
        row: dict[str, Any] = {"policy": f"{arm} training", "seeds": len(found)}
        for name in MEASURES:
            rates = np.array([rates[name] for rates in found])
            interval = bootstrap_interval(rates, np.mean)
            row[f"{name} per minute"] = f"{rates.mean():.2f}"
            row[f"95 % interval, {name}"] = f"{interval.low:.2f} to {interval.high:.2f}"
        row["touches per seed"] = ", ".join(f"{rates['touches']:.1f}" for rates in found)
        rows.append(row)
    return markdown_table(rows, list(rows[0]))


if __name__ == "__main__":
    main()
