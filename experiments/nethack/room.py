"""PPO in a MiniHack room, with and without a potential that sees the stairs.

    python experiments/nethack/room.py

The hero has 12 moves in a lit room of 5 x 5 squares to stand on the stairs down, which pays 1.
PPO from that reward alone is compared with PPO that also gets the change of a potential, minus a
tenth of the number of moves to the stairs in view, over the same seeds. What is compared is the
task's own success: by theory the potential leaves the best policy as it is.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from ctrl.config import TermConfig, TrainConfig, parse_config, read_config
from ctrl.evaluation import evaluate_run
from ctrl.plot import plot_runs
from ctrl.run_folder import RunFolder, versions
from ctrl.seeds import train_all
from ctrl.statistics import welch_test
from ctrl.tables import success_table

HERE = Path(__file__).resolve().parent
WEIGHT = 0.1


def main() -> None:
    """Train, evaluate, print one table, and write the result beside the learning curves."""
    parser = argparse.ArgumentParser(description="PPO in a room, with and without a potential.")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=None, help="environment steps of each run")
    parser.add_argument("--episodes", type=int, default=100, help="evaluation episodes of each run")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None, help="folder of the runs")
    parser.add_argument("--results", type=Path, default=None, help="folder for minihack_room.*")
    options = parser.parse_args()
    began = time.perf_counter()
    out = options.out or Path("runs") / f"room-{datetime.now():%Y%m%d-%H%M%S}"

    plain = parse_config(read_config(HERE / "room.yaml"))
    if options.steps is not None:
        plain = replace(plain, steps=options.steps)
    arms = {"task alone": plain, "with potential": with_potential(plain)}
    folders = {
        arm: [out / arm.replace(" ", "_") / f"seed_{seed}" for seed in range(options.seeds)]
        for arm in arms
    }
    jobs = [
        (replace(config, seed=seed), folder)
        for arm, config in arms.items()
        for seed, folder in enumerate(folders[arm])
    ]
    train_all(jobs, processes=options.processes, description="training")

    found = {
        arm: [evaluate_run(RunFolder.open(run), episodes=options.episodes) for run in runs]
        for arm, runs in folders.items()
    }
    success = {arm: [run["success_rate"] for run in runs] for arm, runs in found.items()}
    test = welch_test(success["with potential"], success["task alone"])
    table = success_table(success, options.episodes, heading="reward")
    print(f"\n{table}\n")
    print(
        f"Difference {test.difference.point:+.0%} "
        f"(p = {test.p_value:.2g}, one-sided {test.test} test over seeds)."
    )
    record = {
        "config": plain.as_dict(),
        "term": {"use": "potential:rewards.py:closeness", "weight": WEIGHT},
        "seeds": options.seeds,
        "episodes": options.episodes,
        "success": success,
        "p_value": test.p_value,
        "test": test.test,
        "seconds": time.perf_counter() - began,
        "versions": versions(),
    }
    picture = plot_runs([out], out=out / "learning_curves.png").path
    (out / "minihack_room.json").write_text(json.dumps(record, indent=1) + "\n")
    if options.results is not None:
        shutil.copy(out / "minihack_room.json", options.results / "minihack_room.json")
        shutil.copy(picture, options.results / "minihack_room.png")
    print(f"Learning curves: {picture}")
    print(f"Done in {time.perf_counter() - began:.0f} s.")


def with_potential(config: TrainConfig) -> TrainConfig:
    """Return the configuration with the potential."""
    term = TermConfig(use=f"potential:{HERE / 'rewards.py'}:closeness", weight=WEIGHT)
    return replace(config, reward={**config.reward, "closeness": term})


if __name__ == "__main__":
    main()
