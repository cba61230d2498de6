"""The Montezuma configuration in small: does it run, what does it pay, and what does it need?

    python experiments/atari/smoke.py
    python experiments/atari/smoke.py --columns 64 --steps 8192 --batch-size 2048 --epochs 1

The second line is one whole rollout of the full configuration with one epoch of PPO, for its memory
and its processor time. Written is one JSON file: for each rollout what curiosity paid and the rooms
that were seen, and of the whole run the seconds, the processor time and the most memory. Run from
the root of the repository, whose path the configuration's room counter is named by.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ctrl.benchmarks.timing import others_seconds
from ctrl.config import apply_overrides, parse_config, read_config, widened
from ctrl.run_folder import versions
from ctrl.training import train
from envs.threads import available_cpus

HERE = Path(__file__).resolve().parent
COLUMNS = {
    "steps": "time/total_timesteps",
    "seconds": "time/time_elapsed",
    "paid_share": "reward/curiosity/nonzero",
    "rooms": "reward/rooms/ever",
}
# What a rollout taught is logged beside the next one.
LEARNED = {
    "raw_reward": "reward/curiosity/raw_reward",
    "reconstruction": "reward/curiosity/reconstruction",
    "invariance": "reward/curiosity/invariance",
}


def main() -> None:
    """Train, print what was found, and write it down."""
    parser = argparse.ArgumentParser(description="The Montezuma configuration in small.")
    parser.add_argument("--game", default="montezuma", help="montezuma or bank_heist")
    parser.add_argument("--steps", type=int, default=4096)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=4, help="of PPO")
    parser.add_argument("--json", type=Path, default=None, help="file to write, or to add to")
    parser.add_argument("--name", default="smoke", help="of the entry in that file")
    options = parser.parse_args()
    found = measure(options)
    print(json.dumps(found, indent=1))
    if options.json is not None:
        path: Path = options.json
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        text = json.dumps({**known, options.name: found}, indent=1)
        path.write_text(text + "\n", encoding="utf-8")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the run's configuration, its rollouts, and what it needed."""
    changes = [
        f"steps={options.steps}",
        f"env.n_envs={options.columns}",
        f"algo.batch_size={options.batch_size}",
        f"algo.n_epochs={options.epochs}",
        "device=cpu",
        "checkpoints.every=0",
    ]
    data = apply_overrides(read_config(HERE / f"{options.game}.yaml"), changes, widened)
    config = parse_config(data)
    load, others, began = os.getloadavg(), others_seconds(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = train(config, out=Path(folder) / "run", progress=None)
        rollouts = progress(Path(folder) / "run" / "progress.csv")
    wall, others_after = time.perf_counter() - began, others_seconds()
    own, workers = (resource.getrusage(who) for who in _WHO)
    return {
        "config": config.as_dict(),
        "rollouts": rollouts,
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "processor_seconds": round(own.ru_utime + own.ru_stime, 1),
        "processor_seconds_of_workers": round(workers.ru_utime + workers.ru_stime, 1),
        "peak_gigabytes": round(own.ru_maxrss * _MAXRSS_UNIT / 1e9, 2),
        "peak_gigabytes_of_a_worker": round(workers.ru_maxrss * _MAXRSS_UNIT / 1e9, 2),
        "machine": {
            "cpus": available_cpus(),
            "load_before": load,
            "load_after": os.getloadavg(),
            "other_cpus": None
            if others is None or others_after is None
            else round((others_after - others) / wall, 2),
        },
        "versions": versions(),
    }


def progress(path: Path) -> list[dict[str, float | None]]:
    """Return what a run's table says of each rollout; None where it has no number."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        {**numbers(row, COLUMNS), **numbers(following, LEARNED)}
        for row, following in zip(rows, [*rows[1:], {}], strict=True)
        if row.get(COLUMNS["paid_share"])
    ]


def numbers(row: dict[str, str], names: dict[str, str]) -> dict[str, float | None]:
    """Return the named numbers of a row."""
    return {name: float(row[key]) if row.get(key) else None for name, key in names.items()}


_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


if __name__ == "__main__":
    main()
