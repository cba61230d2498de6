"""The command that learns a blend of rewards."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reward_models.errors import UserError

Outcome = tuple[int, dict[str, Any]]


def add_align(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``ctrl align``."""
    align = add(
        "align", align_command,
        "Learn how far to trust auxiliary rewards (BARFI) and write a run folder with the blend.",
    )  # fmt: skip
    align.add_argument(
        "words", nargs="*", metavar="FILE | key=value",
        help="a configuration file, and settings such as blend.penalty=0.01 or baseline=naive",
    )  # fmt: skip
    align.add_argument("--env", help="environment, see `ctrl list envs`")
    align.add_argument(
        "--reward", action="append", default=[], metavar="NAME[=WEIGHT]",
        help="add an auxiliary reward; may be repeated",
    )  # fmt: skip
    align.add_argument("--iterations", help="iterations (default: 500)")
    align.add_argument("--seed", help="seed (default: 0)")
    align.add_argument("--out", type=Path, help="run folder (default: a new one under runs/)")
    align.add_argument("--quiet", action="store_true", help="no progress bar")


def align_command(options: argparse.Namespace) -> Outcome:
    """Learn a blend and print the closing numbers."""
    from ctrl.cli.settings import merged
    from ctrl.search.barfi.config import parse_align, wide_align
    from ctrl.search.barfi.run import align

    data = merged(options, named={"env": "id"}, plain=("iterations", "seed"), widen=wide_align)
    result = align(parse_align(data), out=options.out, progress=False if options.quiet else None)
    return _report(result)


def resume_align_command(options: argparse.Namespace) -> Outcome:
    """Continue an alignment."""
    from ctrl.search.barfi.run import resume_align

    for name in ("steps", "budget", "ray", "processes"):
        if getattr(options, name) is not None:
            raise UserError(f"--{name} is not for alignments; an alignment takes --iterations.")
    result = resume_align(
        options.run_folder,
        iterations=options.iterations,
        progress=False if options.quiet else None,
        trust_code=options.trust_code,
    )
    return _report(result)


def _report(result: Any) -> Outcome:
    state = "finished" if result.finished else "interrupted"
    print(
        f"{state}: {result.iterations} iterations ({result.steps} steps) in {result.seconds:.1f} s"
    )
    print(f"task return {result.task_return:.4g}, learned discount {result.discount:.4f}")
    if result.no_signal:
        print(f"{result.no_signal} outer steps saw no task reward")
    folder = Path(result.run_folder)
    if not result.finished:
        print(f"Go on with: ctrl resume {folder}")
    elif (folder / "reward").is_dir():
        print(
            f"Train on it with: reward: {{task: 0, aligned: {{use: behaviour_alignment, "
            f"path: {folder / 'reward'}}}}}"
        )
    print(folder)
    return 0 if result.finished else 130, result.as_dict()
