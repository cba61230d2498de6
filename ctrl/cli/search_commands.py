"""The command that searches over whole policies."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reward_models.errors import UserError

Outcome = tuple[int, dict[str, Any]]


def add_search(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``ctrl search``."""
    search = add(
        "search", search_command,
        "Search over whole policies (novelty search, SERENE, ...) and write a run folder.",
    )  # fmt: skip
    search.add_argument(
        "words", nargs="*", metavar="FILE | key=value",
        help="a configuration file, and settings such as method.sigma=0.5 or genome.hidden=[5]",
    )  # fmt: skip
    search.add_argument("--env", help="environment, see `ctrl list envs`; curling is Curling-v0")
    search.add_argument(
        "--method",
        help="random, novelty, serene, taxons, stax, map_elites or cma_me (default: serene)",
    )
    search.add_argument(
        "--reward", action="append", default=[], metavar="NAME[=WEIGHT]",
        help="add a reward term to what an episode is worth; may be repeated",
    )  # fmt: skip
    search.add_argument("--budget", help="evaluations (default: 50000)")
    search.add_argument("--seed", help="seed (default: 0)")
    search.add_argument("--out", type=Path, help="run folder (default: a new one under runs/)")
    search.add_argument(
        "--processes", type=int, default=1, metavar="P",
        help="evaluate on P processes, with equal results (default: 1)",
    )  # fmt: skip
    search.add_argument("--ray", metavar="ADDRESS", help="evaluate on this Ray cluster")
    search.add_argument("--quiet", action="store_true", help="no progress bar")


def search_command(options: argparse.Namespace) -> Outcome:
    """Search and print the closing numbers."""
    from ctrl.search.config import parse_search
    from ctrl.search.run import search

    result = search(
        parse_search(search_data(options)),
        out=options.out,
        processes=options.processes,
        ray_address=options.ray,
        progress=False if options.quiet else None,
    )
    print_result(result)
    return 0 if result.finished else 130, result.as_dict()


def search_data(options: argparse.Namespace) -> dict[str, Any]:
    """Return the plain data of the configuration that the options describe."""
    from ctrl.cli.settings import merged
    from ctrl.search.config import wide_search

    return merged(
        options, named={"env": "id", "method": "name"}, plain=("budget", "seed"), widen=wide_search
    )


def resume_search_command(options: argparse.Namespace) -> Outcome:
    """Continue a search."""
    from ctrl.search.run import resume_search

    for name in ("steps", "iterations"):
        if getattr(options, name) is not None:
            raise UserError(f"--{name} is not for searches; a search takes --budget.")
    result = resume_search(
        options.run_folder,
        budget=options.budget,
        processes=1 if options.processes is None else options.processes,
        ray_address=options.ray,
        progress=False if options.quiet else None,
        trust_code=options.trust_code,
    )
    print_result(result)
    return 0 if result.finished else 130, result.as_dict()


def print_result(result: Any) -> None:
    """Print what a search has found."""
    state = "finished" if result.finished else "interrupted"
    print(
        f"{state}: {result.evaluations} evaluations ({result.steps} steps) in "
        f"{result.seconds:.1f} s"
    )
    print(f"coverage {result.coverage:.3f} of the cells (kept: {result.archive_coverage:.3f})")
    best = ", ".join(f"{area}: {value:.3f}" for area, value in result.best.items())
    print(f"best reward of the areas {best} (mean {result.mean_best:.3f})")
    kept = ", ".join(f"{name} {size}" for name, size in result.kept.items())
    print(f"kept: {kept or 'nothing'}")
    if not result.finished:
        print(f"Go on with: ctrl resume {result.run_folder}")
    print(result.run_folder)
