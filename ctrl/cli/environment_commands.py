"""Commands about environments: listing them, checking one, measuring how fast they step."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ctrl.cli.commands import Outcome
from reward_models.errors import UserError


def add_environments(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``check-env`` and ``bench``."""
    check = add(
        "check-env", check_env_command,
        "Check an environment against the contract and report every violation at once.",
    )  # fmt: skip
    check.add_argument("env", help="a name, see `ctrl list envs`, or package.module:Id-v0")
    check.add_argument("words", nargs="*", metavar="key=value", help="options of the environment")
    check.add_argument("--steps", type=int, default=1000, help="steps to record (default: 1000)")
    check.add_argument("--seed", type=int, default=0, help="(default: 0)")
    check.add_argument(
        "--resets", type=int, default=10_000, help="resets to look for leaks (default: 10000)"
    )

    bench = add("bench", bench_command, "Measure how fast environments are stepped.")
    bench.add_argument("what", choices=["envs"])
    bench.add_argument(
        "--families", nargs="+", metavar="FAMILY", help="only these (default: all; see the table)"
    )
    bench.add_argument(
        "--seconds", type=float, default=1.0, help="of each turn of each row (default: 1)"
    )
    bench.add_argument("--repeats", type=int, default=5, help="turns of each row (default: 5)")
    bench.add_argument("--out", type=Path, help="write the numbers to this JSON file")


def list_environments() -> Outcome:
    """Print every listed task under its family, and what has to be installed for it."""
    from envs.registry import FAMILIES
    from envs.text.tasks import FAMILIES as TEXT_FAMILIES

    families: dict[str, Any] = {}
    found: dict[str, str] = {}
    for family in (*FAMILIES, *TEXT_FAMILIES):
        missing = family.missing()
        pip = f'pip install "ctrl[{family.extra}]"' if family.extra else None
        print(family.title + (f"  (not installed: {missing}; {pip})" if missing else ""))
        width = max((len(task.name) for task in family.tasks), default=0)
        for task in sorted(family.tasks, key=lambda task: task.name):
            lacking = family.missing(task)
            mark = "-" if lacking else " "
            print(f" {mark} {task.name:<{width}}  {task.summary}".rstrip())
            found[task.name] = task.summary
        families[family.name] = {
            "title": family.title,
            "installed": missing is None,
            "install": pip,
            "tasks": [task.name for task in family.tasks],
        }
    if any(not family["installed"] for family in families.values()):
        print("Tasks with a dash need a simulator that is not installed.")
    print("Any other Gymnasium environment works by its own name, and package.module:Id-v0.")
    return 0, {"envs": found, "families": families}


def check_env_command(options: argparse.Namespace) -> Outcome:
    """Check an environment; exit code 1 when a rule is broken."""
    from ctrl.environment_checking import check_environment

    report = check_environment(
        options.env, steps=options.steps, seed=options.seed, resets=options.resets,
        options=options.words,
    )  # fmt: skip
    print(report)
    return 0 if report.ok else 1, report.as_dict()


def bench_command(options: argparse.Namespace) -> Outcome:
    """Measure steps per second of every family beside the engine's own loop."""
    from ctrl.environment_bench import bench_environments, bench_table

    if options.seconds <= 0 or options.repeats < 1:
        raise UserError("--seconds must be positive and --repeats at least 1.")
    document = bench_environments(
        families=options.families, seconds=options.seconds, repeats=options.repeats
    )
    print(bench_table(document))
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        print(options.out)
    return 0, document
