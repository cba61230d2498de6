"""``ctrl demos``: demonstrations of a trained policy, recorded or described."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reward_models.errors import UserError

Outcome = tuple[int, dict[str, Any]]


def add_demos(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command."""
    demos = add(
        "demos", demos_command,
        "Record episodes of a trained policy as demonstrations, or say what a data set holds.",
    )  # fmt: skip
    demos.add_argument("run_folder", type=Path, nargs="?", metavar="RUN")
    demos.add_argument("--show", type=Path, metavar="DIR", help="describe this data set instead")
    demos.add_argument("--episodes", type=int, default=20, help="to play (default: 20)")
    demos.add_argument(
        "--out", type=Path, metavar="DIR", help="new folder (default: RUN/demonstrations)"
    )
    demos.add_argument("--seed", type=int, default=10_000, help="(default: 10000)")
    demos.add_argument("--best", action="store_true", help="the best evaluated policy of the run")
    how = demos.add_mutually_exclusive_group()
    how.add_argument("--deterministic", action="store_true", help="act by the mode (the default)")
    how.add_argument("--stochastic", action="store_true", help="sample actions")
    demos.add_argument(
        "--minimum-return", type=float, metavar="R", help="keep only episodes that reach R"
    )
    demos.add_argument("--name", help="Minari's name (default: ctrl/ENVIRONMENT/LEARNER-v0)")
    demos.add_argument(
        "--trust-code", action="store_true",
        help="allow the environment code that the run folder names",
    )  # fmt: skip


def demos_command(options: argparse.Namespace) -> Outcome:
    """Record or describe a data set, and print what it holds."""
    from ctrl.checkpoint import refuse_pickles
    from ctrl.demonstrations import describe, record_run, summarise
    from ctrl.run_folder import RunFolder

    if (options.run_folder is None) == (options.show is None):
        raise UserError("Name a run folder to record from, or a data set with --show DIR.")
    if options.show is not None:
        found = summarise(options.show)
    else:
        if options.run_folder.is_file():
            refuse_pickles(options.run_folder)
        found = record_run(
            RunFolder.open(options.run_folder), episodes=options.episodes, out=options.out,
            seed=options.seed, best=options.best, deterministic=not options.stochastic,
            minimum_return=options.minimum_return, dataset_id=options.name,
            trust_code=options.trust_code,
        )  # fmt: skip
        _list_episodes(found)
    for line in describe(found):
        print(line)
    print(found["folder"])
    return 0, found


def _list_episodes(found: dict[str, Any]) -> None:
    print(f"{'seed':>8}  {'task return':>12}  {'length':>6}  end")
    for row in found["played"]:
        dropped = "" if row["kept"] else "  (dropped)"
        print(
            f"{row['seed']:>8}  {row['task_return']:>12.2f}  {row['length']:>6}  "
            f"{row['end']}{dropped}"
        )
    if found["dropped"]:
        print(f"dropped {found['dropped']} episodes below the minimum return")
