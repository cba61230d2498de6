"""What else a report reads from run folders: alarms and versions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ctrl.run_curves import RunCurves
from ctrl.run_folder import RunFolder


def read_alarms(run: RunCurves) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the alarms of a run by step, and a warning where some lines are damaged."""
    path = RunFolder(run.path).alarms_file
    if not path.is_file():
        return [], []
    rows, damaged = [], 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
            rows.append({
                "step": int(row["step"]), "kind": str(row["kind"]), "term": str(row["term"]),
                "message": str(row["message"]),
            })  # fmt: skip
        except (ValueError, KeyError, TypeError):
            damaged += 1
    warning = f"{path} has {damaged} damaged line{'s' if damaged > 1 else ''}, left out."
    return sorted(rows, key=lambda row: row["step"]), [warning] if damaged else []


def read_versions(runs: Sequence[RunCurves]) -> tuple[dict[str, str], list[str]]:
    """Return version by package over several runs, differing ones side by side; and warnings."""
    found: dict[str, dict[str, None]] = {}
    warnings = []
    for run in runs:
        path = run.path / "versions.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            items = list(data.items())
        except FileNotFoundError:
            continue
        except (OSError, ValueError, AttributeError) as error:
            warnings.append(f"{path} cannot be read: {error}")
            continue
        for name, version in items:
            if version is not None:
                found.setdefault(str(name), {})[str(version)] = None
    return {name: " | ".join(versions) for name, versions in found.items()}, warnings
