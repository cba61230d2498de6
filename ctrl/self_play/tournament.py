"""Everybody against everybody: results, ratings, and a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ctrl.checkpoint import REST
from ctrl.config import EnvConfig
from ctrl.opponents import FrozenPolicy
from ctrl.run_folder import RunFolder, versions
from ctrl.self_play.matches import Encounter, play_matches, save_recorded, teams
from ctrl.self_play.ratings import RatingModel
from ctrl.statistics import bootstrap_interval
from ctrl.tables import markdown_table
from envs.rocket_league.starts import Start
from reward_models.errors import UserError

_SAME = ("observation", "max_cars", "previous_actions", "actions", "tick_skip", "action_delay")


@dataclass(frozen=True)
class Entrant:
    """One policy that takes part.

    Attributes:
        name: unique among the entrants.
        run: its run folder.
        folder: of a snapshot or checkpoint of it; None: the final policy.
    """

    name: str
    run: RunFolder
    folder: Path | None = None


def find_entrants(words: Sequence[str], *, snapshots: int | None = None) -> list[Entrant]:
    """Return who is meant.

    Args:
        words: run folders, each with ``@STEPS`` for the policy after so many steps.
        snapshots: take this many snapshots of every run without ``@``, evenly over training, the
            final policy among them.

    Raises:
        UserError: no such run or snapshot, or fewer than two entrants.
    """
    found: list[Entrant] = []
    for word in words:
        path, at, steps = word.partition("@")
        run = RunFolder.open(path)
        kept = _kept(run)
        if at:
            name = f"step_{int(steps):012d}" if steps.isdigit() else steps
            if name not in kept:
                listed = ", ".join(str(int(each.removeprefix("step_"))) for each in kept)
                raise UserError(f"{path} has no snapshot at {steps} steps. It has: {listed}.")
            found.append(Entrant(word, run, kept[name]))
        elif snapshots is None:
            found.append(Entrant(word, run))
        else:
            if snapshots < 2:
                raise UserError(f"--snapshots must be at least 2, got {snapshots}.")
            names = list(kept)
            places = np.unique(np.linspace(0, len(names), snapshots).round().astype(int))
            for place in places.tolist():
                if place < len(names):
                    label = f"{path}@{int(names[place].removeprefix('step_'))}"
                    found.append(Entrant(label, run, kept[names[place]]))
                else:
                    found.append(Entrant(path, run))
    if len(found) < 2 or len({each.name for each in found}) < len(found):
        raise UserError(
            "A match needs two different players or more: name run folders, RUN@STEPS, or one run "
            "with --snapshots N."
        )
    return found


def _kept(run: RunFolder) -> dict[str, Path]:
    """Return the snapshots and the checkpoints of a run by name, oldest first."""
    folders = [*run.checkpoints.glob("step_*"), *run.opponents.glob("step_*")]
    return {
        path.name: path for path in sorted(folders, key=lambda p: p.name) if (path / REST).is_file()
    }


def common_env(entrants: Sequence[Entrant], *, start: Any = None) -> EnvConfig:
    """Return the task in which all of them can play.

    Args:
        entrants: trained on the same task, with the same observations and actions.
        start: in which state episodes begin; None: kick-off.

    Raises:
        UserError: they were not, with the option that differs.
    """
    configs = [entrant.run.config().env for entrant in entrants]
    first = configs[0]
    teams(first)
    for entrant, config in zip(entrants, configs, strict=True):
        for name in ("id", *_SAME):
            ours, theirs = (
                each.id if name == "id" else each.options.get(name) for each in (first, config)
            )
            if ours != theirs:
                raise UserError(
                    f"{entrants[0].name} and {entrant.name} cannot meet: env.{name} is {ours!r} "
                    f"for one and {theirs!r} for the other."
                )
    options = {name: first.options[name] for name in _SAME if name in first.options}
    if start is not None:
        options["start"] = start
    return EnvConfig(first.id, options=options)


def tournament(
    entrants: Sequence[Entrant],
    *,
    minutes: float = 10.0,
    matches: int = 16,
    seed: int = 0,
    start: Any = None,
    deterministic: bool = False,
    record: Path | None = None,
    trust_code: bool = False,
    progress: bool | None = False,
) -> dict[str, Any]:
    """Let every pair play, and rate the players by all results.

    Args:
        entrants: two or more.
        minutes: game time of every pair.
        matches: side by side, an even number.
        seed: of everything random.
        start: see `common_env`.
        deterministic: act by the mode of the policy; otherwise sample from it.
        record: write moments of play to this file, for ``env.start``.
        trust_code: allow code that the runs name.
        progress: show a bar; None shows it on a terminal only.

    Returns:
        ``players`` with their ratings, best first, ``encounters``, and how it was played.

    Raises:
        UserError: players that cannot meet, or a file that cannot be written.
    """
    env = common_env(entrants, start=start)
    ratings = RatingModel()
    players = {
        each.name: FrozenPolicy(
            each.run.path, folder=each.folder, deterministic=deterministic, trust_code=trust_code
        )
        for each in entrants
    }
    moments: list[Start] | None = None if record is None else []
    pairs = list(combinations(players, 2))
    disable = None if progress is None else not progress
    bar = tqdm(pairs, desc="matches", unit="pair", disable=disable)
    found = [
        play_matches(
            (one, players[one]), (two, players[two].fresh()), env, minutes=minutes,
            matches=matches, seed=seed + number, record=moments,
        )
        for number, (one, two) in enumerate(bar)
    ]  # fmt: skip
    if record is not None and moments is not None:
        save_recorded(record, moments, env)
    rated = ratings.rate(players, _interleaved(found))
    order = sorted(rated, key=lambda name: -rated[name].mean)
    return {
        "env": {"id": env.id, **{k: str(v) for k, v in env.options.items()}},
        "minutes_per_pair": minutes,
        "seed": seed,
        "deterministic": deterministic,
        "players": [_standing(name, rated[name], found) for name in order],
        "encounters": [_as_dict(each) for each in found],
        "versions": versions(),
    }


def tournament_table(document: dict[str, Any]) -> str:
    """Return two readable tables: players by rating, and the pairs."""
    players = [
        {
            "player": each["name"],
            "rating": f"{each['rating']:.1f} +- {each['deviation']:.1f}",
            "won/drawn/lost": "/".join(map(str, each["counts"])),
            "goals per minute": f"{each['goals_per_minute']:.2f}",
            "touches per minute": f"{each['touches_per_minute']:.2f}",
        }
        for each in document["players"]
    ]
    pairs = [
        {
            "first": each["first"],
            "second": each["second"],
            "won/drawn/lost": "/".join(map(str, each["counts"])),
            "score of the first": "-" if each["score"] is None else f"{each['score']:.2f}",
            "95 % interval": "-"
            if each["score_interval"] is None
            else "{:.2f} to {:.2f}".format(*each["score_interval"]),
        }
        for each in document["encounters"]
    ]
    return "\n\n".join(markdown_table(rows, list(rows[0])) for rows in (players, pairs))


def _interleaved(found: Sequence[Encounter]) -> list[tuple[str, str, int]]:
    """Return all results, one of each pair in turn: ratings depend on the order a little."""
    columns = [[(each.first, each.second, result) for result in each.results] for each in found]
    return [row for rows in zip_longest(*columns) for row in rows if row is not None]


def _standing(name: str, rating: Any, found: Sequence[Encounter]) -> dict[str, Any]:
    counts, minutes = np.zeros(3, dtype=int), 0.0
    happened = dict.fromkeys(("touches", "goals"), 0.0)
    for each in found:
        if name not in (each.first, each.second):
            continue
        side = int(name == each.second)
        counts += each.counts if side == 0 else each.counts[::-1]
        minutes += each.minutes
        for key in happened:
            happened[key] += each.rates[key][side] * each.minutes
    return {
        "name": name,
        "rating": rating.mean,
        "deviation": rating.deviation,
        "rating_lower": rating.lower,
        "counts": counts.tolist(),
        **{f"{key}_per_minute": total / minutes for key, total in happened.items()},
    }


def _as_dict(each: Encounter) -> dict[str, Any]:
    scores = (np.array(each.results) + 1) / 2
    interval = bootstrap_interval(scores, np.mean) if len(scores) else None
    return {
        "first": each.first,
        "second": each.second,
        "counts": list(each.counts),
        "score": float(scores.mean()) if len(scores) else None,
        "score_interval": None if interval is None else [interval.low, interval.high],
        "minutes": each.minutes,
        **{f"{key}_per_minute": list(pair) for key, pair in each.rates.items()},
    }
