"""What a study found: numbers by method, verdicts, a table, a picture, and the file of record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctrl.run_folder import versions
from ctrl.statistics import (
    bootstrap_interval,
    interquartile_mean,
    probability_of_improvement,
)
from ctrl.study.plan import ONLY, TRAIN, Study, described
from ctrl.study.rules import Samples, Verdict, judge
from ctrl.tables import markdown_table
from reward_models.errors import UnknownNameError


@dataclass(frozen=True)
class Findings:
    """The results of all finished cells.

    Attributes:
        study: the study.
        cells: results of the finished cells, in the study's order.
        verdicts: of the rules; empty while cells are missing.
        missing: names of the cells without a result.
    """

    study: Study
    cells: tuple[dict[str, Any], ...]
    verdicts: tuple[Verdict, ...]
    missing: tuple[str, ...]

    @property
    def passed(self) -> bool | None:
        """Whether every rule held; None without rules, or while cells are missing."""
        if self.missing or not self.study.rules:
            return None
        return all(verdict.passed for verdict in self.verdicts)

    @property
    def metrics(self) -> list[str]:
        """Names of the numbers that every finished cell has, the study's own first.

        A number that a rule is about need only be there for the methods that the rule names.
        """
        common = [
            name
            for name in (self.cells[0]["metrics"] if self.cells else ())
            if all(name in cell["metrics"] for cell in self.cells)
        ]
        ruled = [
            rule.metric
            for rule in self.study.rules
            if all(
                rule.metric in cell["metrics"]
                for cell in self.cells
                if cell["method"] in rule.methods and cell["environment"] in rule.on
            )
        ]
        first = [name for name in (self.study.metric,) if name in common]
        return list(dict.fromkeys([*first, *ruled, *common]))

    def samples(self, metric: str) -> dict[tuple[str, str], list[float]]:
        """Return the values over seeds by (method, environment)."""
        found: dict[tuple[str, str], list[float]] = {}
        for cell in self.cells:
            if metric in cell["metrics"]:
                key = (cell["method"], cell["environment"])
                found.setdefault(key, []).append(cell["metrics"][metric])
        return found


def findings(study: Study, cells: Sequence[dict[str, Any]], missing: Sequence[str]) -> Findings:
    """Judge the rules of a study on its finished cells.

    Raises:
        UnknownNameError: a rule or the study asks for a number that the cells do not have.
    """
    plain = Findings(study, tuple(cells), (), tuple(missing))
    if missing:
        return plain
    for metric in filter(None, (study.metric, *(rule.metric for rule in study.rules))):
        if metric not in plain.metrics:
            raise UnknownNameError("metric of the study", metric, plain.metrics)
    verdicts: list[Verdict] = []
    for rule in study.rules:
        samples: Samples = plain.samples(rule.metric)
        verdicts += judge(rule, samples)
    return Findings(study, tuple(cells), tuple(verdicts), ())


def table(found: Findings, *, metrics: int = 4) -> str:
    """Return one row per method and environment: mean, and 95 % interval of the first metrics."""
    rows = []
    shown = found.metrics[:metrics]
    for environment in found.study.environments:
        for method in found.study.methods:
            row: dict[str, Any] = {"method": method}
            if [*found.study.environments] != [ONLY]:
                row["environment"] = environment
            row["seeds"] = 0
            for metric in shown:
                values = found.samples(metric).get((method, environment))
                if not values:
                    row[metric] = "no result"
                    continue
                row["seeds"] = len(values)
                row[metric] = _with_interval(values)
            rows.append(row)
    return markdown_table(rows, list(rows[0]))


def _with_interval(values: list[float]) -> str:
    interval = bootstrap_interval(np.array(values), np.mean)
    if len(values) == 1:
        return f"{interval.point:.4g} (one seed: no interval)"
    return f"{interval.point:.4g} [{interval.low:.4g}, {interval.high:.4g}]"


def document(found: Findings) -> dict[str, Any]:
    """Return everything worth keeping as plain data."""
    study = found.study
    summaries = []
    for metric in found.metrics:
        for (method, environment), values in found.samples(metric).items():
            interval = bootstrap_interval(np.array(values), np.mean)
            summaries.append(
                {
                    "metric": metric,
                    "method": method,
                    "environment": environment,
                    "seeds": len(values),
                    "mean": interval.point,
                    "iqm": float(interquartile_mean(values)),
                    "interval": None if len(values) == 1 else [interval.low, interval.high],
                    "values": values,
                }
            )
    first = next(iter(study.methods))
    comparisons = [
        {
            "metric": metric,
            "method": method,
            "against": first,
            "environment": environment,
            "probability_of_improvement": probability_of_improvement(
                values, found.samples(metric)[first, environment]
            ),
        }
        for metric in found.metrics
        for (method, environment), values in found.samples(metric).items()
        if method != first and (first, environment) in found.samples(metric)
    ]
    return {
        **described(study),
        "run": study.run if study.run == TRAIN else Path(study.run).name,
        "file": None if study.source is None else study.source.name,
        "sources": _hashes(study),
        "passed": found.passed,
        "verdicts": [asdict(verdict) for verdict in found.verdicts],
        "missing": list(found.missing),
        "summaries": summaries,
        "comparisons": comparisons,
        "cells": [
            {key: value for key, value in cell.items() if key not in ("settings", "curves")}
            for cell in found.cells
        ],
        "versions": versions(),
    }


def write(found: Findings, folder: Path) -> tuple[Path, Path]:
    """Write ``<name>.json`` and ``<name>.png`` and return their paths."""
    from ctrl.study.picture import draw

    folder.mkdir(parents=True, exist_ok=True)
    data, picture = folder / f"{found.study.name}.json", folder / f"{found.study.name}.png"
    data.write_text(json.dumps(document(found), indent=1) + "\n", encoding="utf-8")
    draw(found, picture)
    return data, picture


def _hashes(study: Study) -> dict[str, str]:
    """Return the SHA-256 of the study's file and of the code that it runs."""
    files = [] if study.source is None else [study.source]
    place = Path(study.run.rpartition(":")[0])
    if place.suffix == ".py":
        files.append(place)
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()
    }
