"""Bring the histories of finished designs into one file of numbers.

for name in minihack_lava half_cheetah_goal ball_touch lava_grid; do
    ctrl design experiments/design/$name.yaml --out runs/design/$name
done
python experiments/design/collect.py runs/design/* --out experiments/results/design-search.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ctrl.config import read_config
from ctrl.design.attempts import Attempt, read_history
from ctrl.design.config import parse_design


def numbers(attempt: Attempt) -> dict[str, Any]:
    """Return what is kept of an attempt: its score, its counts and why the program was written."""
    found: dict[str, Any] = {"round": attempt.round, "score": attempt.score}
    if attempt.tries:
        thoughts = attempt.tries[-1].reply.partition("```")[0].strip().split("\n")
        refused = sum(bool(one.faults) for one in attempt.tries)
        found |= {"thoughts": thoughts, "refused": refused, "sha256": attempt.sha256}
    if attempt.trial is not None:
        facts = attempt.trial.facts
        found |= {"death_rate": facts.death_rate, "length": facts.length, "causes": facts.causes}
    return found


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    document = {}
    for run in options.runs:
        config = parse_design(read_config(run / "config.yaml"))
        document[run.name] = {
            "env": config.env.id,
            "task": config.task,
            "metric": config.judge.metric,
            "episodes": config.judge.episodes,
            "steps": config.train["steps"],
            "seed": config.seed,
            "attempts": [numbers(attempt) for attempt in read_history(run / "history.jsonl")],
        }
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for name, part in document.items():
        scores = ", ".join(f"{attempt['score']}" for attempt in part["attempts"])
        print(f"{name}: task reward alone and programs by round: {scores}")


if __name__ == "__main__":
    main()
