"""``ctrl report`` and ``ctrl heatmap``: runs and rewards as pictures."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reward_models.errors import UserError

Outcome = tuple[int, dict[str, Any]]


def add_report(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the two commands."""
    report = add(
        "report", report_command,
        "Write one HTML page about runs: numbers, curves, alarms, an episode, heat maps.",
    )  # fmt: skip
    report.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    report.add_argument(
        "--out", type=Path, metavar="FILE.html", help="(default: report.html in the first RUN)"
    )
    report.add_argument("--metric", default="auto", help="a column of progress.csv")
    report.add_argument("--episode", type=int, default=0, help="of the ledger (default: 0)")
    report.add_argument("--seed", type=int, default=10_000, help="(default: 10000)")
    report.add_argument("--no-video", action="store_true", help="film nothing")
    _axes(report)
    _trust(report)

    maps = add(
        "heatmap", heatmap_command,
        "Draw rewards, or the terms of a run, over two axes of observation, action or state.",
    )  # fmt: skip
    maps.add_argument(
        "words", nargs="+", metavar="RUN | REWARD | env.KEY=VALUE",
        help="one run folder, or rewards as for `ctrl train --reward` with options of ENV",
    )  # fmt: skip
    maps.add_argument("--env", help="environment of the rewards, see `ctrl list envs`")
    _axes(maps)
    maps.add_argument("--grid", type=int, default=60, help="values along each axis (default: 60)")
    maps.add_argument(
        "--at", type=int, metavar="STEP",
        help="hold all else as in this recorded step (default: the mean over --over of them)",
    )  # fmt: skip
    maps.add_argument(
        "--over", type=int, default=16, metavar="N",
        help="recorded transitions to average over (default: 16)",
    )  # fmt: skip
    maps.add_argument(
        "--x-range", type=float, nargs=2, metavar=("LOW", "HIGH"), help="(default: as recorded)"
    )
    maps.add_argument(
        "--y-range", type=float, nargs=2, metavar=("LOW", "HIGH"), help="(default: as recorded)"
    )
    maps.add_argument("--gamma", type=float, default=0.99, help="of REWARD (default: 0.99)")
    maps.add_argument(
        "--steps", type=int, default=512,
        help="of the random policy around which REWARD is drawn (default: 512)",
    )  # fmt: skip
    maps.add_argument("--episode", type=int, default=0, help="of RUN's policy (default: 0)")
    maps.add_argument(
        "--seed", type=int, help="of the environment (default: 10000 for RUN, 0 for REWARD)"
    )
    maps.add_argument(
        "--out", type=Path, metavar="FILE.png",
        help="(default: heatmap.png in RUN, or runs/heatmap-ENV.png)",
    )  # fmt: skip
    _trust(maps)


def report_command(options: argparse.Namespace) -> Outcome:
    """Write the page and print the table of final values."""
    from ctrl.heatmap import HeatMapSettings
    from ctrl.report.episodes import EpisodeSettings
    from ctrl.report.write import write_report
    from ctrl.tables import summary_table

    settings = EpisodeSettings(
        episode=options.episode, seed=options.seed, video=not options.no_video,
        maps=HeatMapSettings(x=options.x, y=options.y), trust_code=options.trust_code,
    )  # fmt: skip
    result = write_report(options.runs, out=options.out, metric=options.metric, settings=settings)
    if result.groups:
        print(summary_table(result.groups))
    for note in result.notes:
        print(f"Warning: {note}")
    print(f"\n{result.path}")
    return 0, {"run_folders": [str(path) for path in options.runs], **result.as_dict()}


def heatmap_command(options: argparse.Namespace) -> Outcome:
    """Draw the maps and print what could not be drawn."""
    from ctrl.heatmap import HeatMapSettings
    from ctrl.heatmap_sources import reward_maps, run_maps
    from ctrl.ledger import play_episode
    from ctrl.pictures.heatmap import draw_heat_maps
    from ctrl.pictures.style import save_png
    from ctrl.run_folder import RunFolder

    settings = HeatMapSettings(
        x=options.x, y=options.y, grid=options.grid, at=options.at, over=options.over,
        x_range=_pair(options.x_range), y_range=_pair(options.y_range),
    )  # fmt: skip
    words = options.words
    if options.env is None:
        if len(words) != 1:
            raise UserError("Give one run folder, or rewards with --env.")
        run = RunFolder.open(Path(words[0]))
        played = play_episode(
            run, episode=options.episode, trust_code=options.trust_code,
            seed=10_000 if options.seed is None else options.seed,
        )  # fmt: skip
        found = run_maps(played, run.path.name, settings)
        out = options.out or run.path / "heatmap.png"
    else:
        extra = [word for word in words if word.startswith("env.") and "=" in word]
        found = reward_maps(
            [word for word in words if word not in extra], env=options.env, settings=settings,
            options=extra, gamma=options.gamma, steps=options.steps, seed=options.seed or 0,
        )  # fmt: skip
        out = options.out or Path("runs") / f"heatmap-{options.env.replace('/', '-')}.png"
    for note in found.notes:
        print(f"Note: {note}")
    if not found.maps:
        raise UserError("None of these rewards can be drawn.")
    for one in found.maps:
        print(f"{one.name}: {one.x_name} and {one.y_name}, {one.held}")
    picture = save_png(draw_heat_maps(found), out)
    print(f"\n{picture}")
    axes = {one.name: [one.x_name, one.y_name] for one in found.maps}
    return 0, {"heatmap": str(picture), "axes": axes, "notes": list(found.notes)}


def _axes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--x", metavar="AXIS",
        help="such as observation.3, blstats.0, x_velocity, action.0 (default: for each reward "
        "the two axes that move it most)",
    )  # fmt: skip
    parser.add_argument("--y", metavar="AXIS", help="see --x")


def _trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust-code", action="store_true",
        help="allow the reward or environment code that the run folder names",
    )  # fmt: skip


def _pair(numbers: list[float] | None) -> tuple[float, float] | None:
    return None if numbers is None else (numbers[0], numbers[1])
