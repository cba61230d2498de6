"""Writing the page: everything about a set of runs, in one file that needs no network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from ctrl.report import sections
from ctrl.report.episodes import EpisodeSettings, episodes
from ctrl.report.html import element, page, together
from ctrl.run_curves import readable_runs
from ctrl.run_groups import RunGroup, group_runs
from ctrl.run_summary import AUTO, GroupSummary, choose_metric, shortfalls, summarise
from reward_models.errors import UserError

_LEVEL = 0.95


@final
@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        path: the page.
        groups: final values per group that has any.
        notes: what a reader must know: folders and seeds left out, runs that ended early.
    """

    path: Path
    groups: tuple[GroupSummary, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return path, numbers and notes as plain data."""
        return {
            "report": str(self.path),
            "groups": [asdict(group) for group in self.groups],
            "notes": list(self.notes),
        }


def write_report(
    paths: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    metric: str = AUTO,
    settings: EpisodeSettings | None = None,
) -> Report:
    """Write one page of HTML about runs; it opens without a network and runs no script.

    Numbers, learning curves, reward terms and alarms come from the logs of all runs. Of the first
    seed of each group the policy acts for one episode: ledger, video and heat maps of its terms.

    Args:
        paths: run folders, or folders with run folders in them; one that cannot be read is skipped
            and named.
        out: the page, or a folder for ``report.html``; by default the first of ``paths``.
        metric: ``auto`` or a column of ``progress.csv``; see `ctrl.run_summary.choose_metric`.
        settings: the episode, by default the first of seed 10000.

    Raises:
        UserError: no such folder, no run that can be read, or the page cannot be written.
    """
    settings = settings or EpisodeSettings()
    if settings.episode < 0:
        raise UserError(f"--episode counts from 0, got {settings.episode}.")
    target = _target(paths, out)
    runs, notes = readable_runs(paths, configured=True)
    groups, repeated = group_runs(runs)
    notes += repeated
    environments: list[tuple[str, str, list[RunGroup]]] = []
    found: list[tuple[RunGroup, GroupSummary | None]] = []
    for env in dict.fromkeys(group.env for group in groups):
        members = [group for group in groups if group.env == env]
        key = _metric(members, metric, notes)
        if key is None:
            found += [(group, None) for group in members]
            continue
        environments.append((env, key, members))
        for group in members:
            notes += shortfalls(group, key)
            found.append((group, summarise(group, key, level=_LEVEL)))
    ordered = [run for group in groups for run in group.runs]
    alarms, damaged = sections.alarms(ordered)
    settled, unfinished = sections.configuration(groups)
    notes += [*damaged, *unfinished]
    shown, maps = episodes(groups, settings)
    warnings = together(element("p", note, class_="warning") for note in notes)
    numbers = element("div", sections.summary(found, _LEVEL), class_="card")
    steep = sections.steepness(groups, _LEVEL)
    names = ", ".join(dict.fromkeys(group.env or "unknown environment" for group in groups))
    text = page(
        f"Training report: {names}",
        f"{_count(len(ordered), 'run')}, {_count(len(groups), 'method')}",
        [
            ("summary", "Summary", together([warnings, numbers])),
            ("curves", "Learning curves", sections.curves(environments, _LEVEL)),
            ("terms", "Reward terms over training", sections.terms(groups)),
            *([("steepness", "Steepness", steep)] if steep is not None else []),
            ("alarms", "Alarms", alarms),
            ("episode", "One episode", shown),
            ("maps", "Heat maps", maps),
            ("configuration", "Configuration", settled),
        ],
    )
    _write(text, target)
    return Report(target, tuple(one for _, one in found if one is not None), tuple(notes))


def _metric(members: list[RunGroup], metric: str, notes: list[str]) -> str | None:
    try:
        return choose_metric(members, metric)
    except UserError as error:
        if metric != AUTO:
            raise
        notes.append(f"{', '.join(group.label for group in members)}: {error}")
        return None


def _target(paths: Sequence[str | Path], out: str | Path | None) -> Path:
    if out is None:
        first = Path(paths[0])
        return (first if first.is_dir() else first.parent) / "report.html"
    path = Path(out)
    if path.is_dir() or not path.suffix:
        return path / "report.html"
    if path.suffix.lower() not in (".html", ".htm"):
        name = path.with_suffix(".html")
        raise UserError(f"Reports are HTML files; name {name} instead of {path}.")
    return path


def _write(text: str, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        writing = target.with_name(f".{target.name}.writing")
        writing.write_text(text, encoding="utf-8", errors="backslashreplace")
        os.replace(writing, target)
    except OSError as error:
        raise UserError(f"Cannot write the report {target}: {error}.") from error


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
