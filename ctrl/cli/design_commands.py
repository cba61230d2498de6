"""The command that designs a reward program."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reward_models.errors import UserError

Outcome = tuple[int, dict[str, Any]]


def add_design(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``ctrl design``."""
    parser = add(
        "design", design_command,
        "Let a language model or a search write reward programs, train with each, keep the best.",
    )  # fmt: skip
    parser.add_argument(
        "words", nargs="*", metavar="FILE | key=value",
        help="a configuration file, and settings such as train.steps=100000 or judge.metric=touch",
    )  # fmt: skip
    parser.add_argument("--env", help="environment, see `ctrl list envs`")
    parser.add_argument("--task", help="what the agent has to do, in words")
    parser.add_argument("--rounds", help="rounds of writing, training and analysis (default: 3)")
    parser.add_argument("--samples", help="programs in each round (default: 1)")
    parser.add_argument(
        "--backend", help="who writes: search, openai, replay or script (default: search)"
    )
    parser.add_argument(
        "--convention", help="of the programs: signed, components or scalar (default: signed)"
    )
    parser.add_argument("--steps", help="environment steps of each training (default: 100000)")
    parser.add_argument("--seed", help="seed (default: 0)")
    parser.add_argument(
        "--out", type=Path,
        help="run folder; one with the same design is gone on with (default: a new one in runs/)",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(reward=[])


def design_command(options: argparse.Namespace) -> Outcome:
    """Design a reward program and print the closing numbers."""
    from ctrl.cli.settings import merged
    from ctrl.design.config import parse_design, wide_design
    from ctrl.design.run import design

    task, options.task = options.task, None
    data = merged(
        options,
        named={"env": "id", "backend": "name"},
        plain=("rounds", "samples", "convention", "seed"),
        widen=wide_design,
    )
    if task is not None:
        # As it is: a text may look like a number or hold an equals sign.
        data["task"] = task
    if options.steps is not None:
        data.setdefault("train", {})["steps"] = options.steps
    result = design(parse_design(data), out=options.out, progress=False if options.quiet else None)
    return _report(result)


def resume_design_command(options: argparse.Namespace) -> Outcome:
    """Go on with a design."""
    from ctrl.design.run import resume_design

    for name in ("steps", "budget", "iterations", "ray", "processes"):
        if getattr(options, name) is not None:
            raise UserError(f"--{name} is not for designs; a design takes --rounds.")
    result = resume_design(
        options.run_folder, rounds=options.rounds, progress=False if options.quiet else None
    )
    return _report(result)


def _report(result: Any) -> Outcome:
    state = "finished" if result.finished else "interrupted"
    print(
        f"{state}: {result.rounds} rounds in {result.seconds:.1f} s; {result.accepted} programs "
        f"accepted, {result.refused} texts refused"
    )
    if result.baseline is not None:
        print(f"task reward alone: {result.baseline:.4g}")
    if result.best is None:
        print("no program could be run")
    else:
        print(f"best program: {result.best:.4g} (round {result.best_round})")
    if result.final:
        print(f"with other seeds: {', '.join(f'{score:.4g}' for score in result.final)}")
    if result.usage.requests:
        print(
            f"{result.usage.requests} requests, {result.usage.prompt_tokens} + "
            f"{result.usage.completion_tokens} tokens, cost {result.usage.cost:.4g}"
        )
    if not result.finished:
        print(f"Go on with: ctrl resume {result.run_folder}")
    elif result.best is not None:
        print(f"Train with it: ctrl train --reward {result.run_folder}/best.py:program ...")
    print(f"{result.run_folder}/history.html")
    return 0 if result.finished else 130, result.as_dict()
