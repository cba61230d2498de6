"""``ctrl match``: skill measured by matches between policies."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reward_models.errors import UserError


def add_match(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command."""
    match = add(
        "match", match_command,
        "Let policies play against each other, each pair on both sides, and rate them.",
    )  # fmt: skip
    match.add_argument(
        "runs", nargs="+", metavar="RUN[@STEPS]",
        help="run folders; @STEPS takes the policy after so many steps of training",
    )  # fmt: skip
    match.add_argument(
        "--snapshots", type=int, metavar="N",
        help="of every RUN without @, N snapshots evenly over its training",
    )  # fmt: skip
    match.add_argument(
        "--minutes", type=float, default=10.0, help="game time of every pair (default: 10)"
    )
    match.add_argument(
        "--matches", type=int, default=16, help="side by side, an even number (default: 16)"
    )
    match.add_argument(
        "--start", default="kickoff", metavar="NAME | FILE",
        help="kickoff, random, or a file of recorded moments (default: kickoff)",
    )  # fmt: skip
    match.add_argument("--seed", type=int, default=0, help="(default: 0)")
    match.add_argument("--deterministic", action="store_true", help="act by the mode")
    match.add_argument(
        "--record", type=Path, metavar="FILE.safetensors",
        help="write moments of play, one every two seconds, to begin episodes from (env.start)",
    )  # fmt: skip
    match.add_argument("--out", type=Path, metavar="FILE.json", help="write the results")
    match.add_argument("--quiet", action="store_true", help="no progress bar")
    match.add_argument(
        "--trust-code", action="store_true", help="allow the environment code that runs name"
    )


def match_command(options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    """Play, and print the tables."""
    from ctrl.self_play.tournament import find_entrants, tournament, tournament_table

    entrants = find_entrants(options.runs, snapshots=options.snapshots)
    document = tournament(
        entrants, minutes=options.minutes, matches=options.matches, seed=options.seed,
        start=options.start, deterministic=options.deterministic, record=options.record,
        trust_code=options.trust_code, progress=False if options.quiet else None,
    )  # fmt: skip
    if options.out is not None:
        text = json.dumps(document, indent=1)
        try:
            options.out.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"Cannot write {options.out}: {error}.") from error
    print(tournament_table(document))
    return 0, document
