"""The command that runs a grid of methods, environments and seeds."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

Outcome = tuple[int, dict[str, Any]]


def add_study(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``ctrl study``."""
    study = add(
        "study", study_command,
        "Run methods x environments x seeds from one file, or go on with it, and judge its rules.",
    )  # fmt: skip
    study.add_argument("file", type=Path, metavar="FILE", help="see docs/studies.md")
    study.add_argument("--out", type=Path, help="folder of the runs (default: runs/studies/NAME)")
    study.add_argument(
        "--results", type=Path,
        help="where NAME.json and NAME.png go (default: a folder `results` beside the folder of "
        "FILE where there is one, else OUT)",
    )  # fmt: skip
    study.add_argument("--seeds", metavar="N | A-B | A,B,C", help="instead of those of the file")
    study.add_argument("--processes", type=int, help="at once (default: one per core)")
    study.add_argument("--ray", metavar="ADDRESS", help="run on this Ray cluster")
    study.add_argument("--quiet", action="store_true", help="no progress bar")


def study_command(options: argparse.Namespace) -> Outcome:
    """Run a study; 0 when its rules hold or it has none, else 1."""
    from ctrl.seeds import parse_seeds
    from ctrl.study.plan import read_study
    from ctrl.study.results import document, table, write
    from ctrl.study.run import run_study

    study = read_study(options.file)
    out = options.out or Path("runs") / "studies" / study.name
    found, failures = run_study(
        study,
        out=out,
        processes=options.processes,
        ray_address=options.ray,
        seeds=None if options.seeds is None else parse_seeds(options.seeds),
        quiet=options.quiet,
    )
    for name, reason in failures.items():
        print(f"FAILED {name}: {reason.rstrip()}")
    plain = document(found)
    if not found.cells:
        return 1, plain
    print(table(found))
    if found.missing:
        print(f"\n{len(found.missing)} runs are missing. The same command goes on with them.")
        return 1, plain
    for verdict in found.verdicts:
        print(verdict)
    beside = options.file.resolve().parent.parent / "results"
    folder = options.results or (beside if beside.is_dir() else out)
    data, picture = write(found, folder)
    if found.passed is not None:
        print(f"\n{study.name}: {'pass' if found.passed else 'SHORT OF THE BAR'}")
    print(f"{data}\n{picture}")
    return 0 if found.passed in (True, None) else 1, plain
