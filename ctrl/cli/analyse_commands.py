"""``ctrl analyse``: rewards of Rocket League as pictures."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any


def add_analyse(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command."""
    analyse = add(
        "analyse", analyse_command,
        "Draw rewards over the Rocket League arena, over velocities and over recorded matches.",
    )  # fmt: skip
    analyse.add_argument(
        "words", nargs="*", metavar="REWARD | env.KEY=VALUE",
        help="a listed name, a shape function such as offensive_potential, FILE.py:FUNCTION or "
        "package.module:Class (default: Lucy-SKG's potential and all shape functions)",
    )  # fmt: skip
    analyse.add_argument(
        "--env", default="RocketLeague1v1-v0", help="(default: RocketLeague1v1-v0)"
    )
    analyse.add_argument(
        "--policy", type=Path, metavar="RUN", help="whose policy drives all cars (default: random)"
    )
    analyse.add_argument(
        "--record", type=Path, metavar="FILE", help="a saved record instead of new matches"
    )
    analyse.add_argument(
        "--steps", type=int, default=900, help="of every match, 15 a second (default: 900)"
    )
    analyse.add_argument("--gamma", type=float, default=0.995, help="(default: 0.995)")
    analyse.add_argument("--seed", type=int, default=0, help="(default: 0)")
    analyse.add_argument("--out", type=Path, metavar="FOLDER", help="(default: runs/analyse-ENV)")
    analyse.add_argument(
        "--trust-code", action="store_true",
        help="allow the environment code that the run folder names",
    )  # fmt: skip


def analyse_command(options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    """Write the pictures and the page, and print the numbers."""
    from ctrl.analysis.write import analyse_rewards

    settings = [word for word in options.words if word.startswith("env.") and "=" in word]
    result = analyse_rewards(
        [word for word in options.words if word not in settings],
        out=options.out or Path("runs") / f"analyse-{options.env.replace('/', '-')}",
        env=options.env, options=settings, run=options.policy, record=options.record,
        steps=options.steps, gamma=options.gamma, seed=options.seed,
        trust_code=options.trust_code,
    )  # fmt: skip
    for row in result.numbers:
        print(
            f"{row['reward']}: mean {row.get('mean', float('nan')):.4g}, "
            f"std {row.get('std', float('nan')):.4g} over {row['steps']} steps"
        )
    print(f"\n{len(result.pictures)} pictures and {result.page}")
    return 0, result.as_dict()
