"""``ctrl compare``: distances between rewards without training."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reward_models.errors import UserError

_FORMS = ("val", "minimal", "epic", "dard", "val_potential", "minimal_potential", "none")
_NORMS = ("2", "1", "inf", "weighted_1", "weighted_2", "weighted_inf")


def add_compare(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command."""
    compare = add(
        "compare", compare_command,
        "Measure how differently rewards order policies, without training any.",
    )  # fmt: skip
    compare.add_argument(
        "words", nargs="+", metavar="REWARD | env.KEY=VALUE",
        help="task, a listed name, FILE.py:FUNCTION, package.module:Class or "
        "potential:FILE.py:FUNCTION; NAME=FACTOR scales it and + adds: task+mine.py:bonus=0.5",
    )  # fmt: skip
    compare.add_argument("--env", required=True, help="environment, see `ctrl list envs`")
    compare.add_argument(
        "--canonical", choices=_FORMS, default="val", help="canonical form (default: val)"
    )
    compare.add_argument(
        "--norm", choices=(*_NORMS, "0"), default="2",
        help="what forms are scaled by, 0 for nothing (default: 2)",
    )  # fmt: skip
    compare.add_argument(
        "--distance", choices=(*_NORMS, "pearson"), default="2",
        help="how differences are measured; pearson is as published for EPIC and DARD (default: 2)",
    )  # fmt: skip
    compare.add_argument("--gamma", type=float, default=0.99, help="(default: 0.99)")
    compare.add_argument(
        "--samples", type=int, default=1000, metavar="N",
        help="states in which rewards are compared (default: 1000)",
    )  # fmt: skip
    compare.add_argument(
        "--actions", type=int, default=8, metavar="K",
        help="actions tried in each state; 1 needs no saving of the state (default: 8)",
    )  # fmt: skip
    compare.add_argument(
        "--successors", type=int, default=None, metavar="M",
        help="times each action is tried (default: 4 where the dynamics are random, else 1)",
    )  # fmt: skip
    compare.add_argument(
        "--steps", type=int, default=20_000,
        help="steps of the random policy whose values level the rewards (default: 20000)",
    )  # fmt: skip
    compare.add_argument("--seed", type=int, default=0, help="(default: 0)")
    compare.add_argument(
        "--by-samples", action="store_true", help="estimate on a tabular world too"
    )
    compare.add_argument(
        "--out", type=Path, metavar="FOLDER",
        help="where compare.json and compare.png go (default: runs/compare-ENV)",
    )  # fmt: skip


def compare_command(options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    """Print the distance matrix, and write it as JSON and as a picture."""
    from ctrl.compare_report import comparison_table, plot_comparison
    from ctrl.comparing import compare_rewards

    settings = [word for word in options.words if word.startswith("env.") and "=" in word]
    rewards = [word for word in options.words if word not in settings]
    result = compare_rewards(
        rewards, env=options.env, canonical=options.canonical, norm=options.norm,
        distance=options.distance, gamma=options.gamma, samples=options.samples,
        actions=options.actions, successors=options.successors, steps=options.steps,
        seed=options.seed, options=settings, by_samples=options.by_samples,
    )  # fmt: skip
    out = options.out or Path("runs") / f"compare-{options.env.replace('/', '-')}"
    picture = plot_comparison(result, out / "compare.png")
    document = {**result.as_dict(), "out": str(out), "plot": str(picture)}
    file = out / "compare.json"
    try:
        file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"Cannot write {file}: {error}.") from error
    print(comparison_table(result))
    for note in result.notes:
        print(f"Note: {note}")
    print(f"\n{picture}")
    return 0, document
