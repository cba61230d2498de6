"""``bench envs``: how fast every family is stepped, beside the engine's own loop."""

from __future__ import annotations

import importlib
import os
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch

from ctrl.benchmarks.timing import Group, measure
from envs.registry import FAMILIES
from envs.tasks import Family
from envs.threads import available_cpus
from reward_models.errors import UnknownNameError, UserError

_GROUPS = {
    "mujoco": "ctrl.benchmarks.mujoco:groups",
    "nethack": "ctrl.benchmarks.nethack:groups",
    "rocket_league": "ctrl.benchmarks.rocket_league:groups",
    "atari": "ctrl.benchmarks.atari:groups",
    "worlds": "ctrl.benchmarks.small:worlds",
    "classic": "ctrl.benchmarks.small:classic",
}
_PACKAGES = (
    "ale-py", "ctrl", "envpool", "gymnasium", "minihack", "mujoco", "nle", "numpy",
    "rlgym-rocket-league", "rocketsim", "stable-baselines3", "torch",
)  # fmt: skip


def bench_environments(
    *, families: Sequence[str] | None = None, seconds: float = 1.0, repeats: int = 5
) -> dict[str, Any]:
    """Measure steps per second.

    All rows of a group take turns within one process; ratios are taken within a turn.

    Args:
        families: names of families; None for all.
        seconds: of one turn of one row.
        repeats: turns of every row.

    Returns:
        ``groups``, each as `ctrl.benchmarks.timing.measure` returns it, ``settings``,
        ``versions`` and ``machine``: plain data.

    Raises:
        UnknownNameError: no family has such a name.
        UserError: seconds or repeats that are not positive.
    """
    if seconds <= 0 or repeats < 1:
        raise UserError(
            f"seconds must be positive and repeats at least 1, got {seconds} and {repeats}."
        )
    known = {family.name: family for family in FAMILIES}
    chosen = list(known) if families is None else list(families)
    for name in chosen:
        if name not in _GROUPS:
            raise UnknownNameError("family", name, list(_GROUPS))
    load = os.getloadavg()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = [
            measured
            for name in chosen
            for measured in _measured(known[name], seconds=seconds, repeats=repeats)
        ]
    finally:
        torch.set_num_threads(before)
    return {
        "groups": found,
        "settings": {"seconds": seconds, "repeats": repeats},
        "versions": _versions(),
        "machine": {
            "cpus": available_cpus(),
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            "load_before": load,
            "load_after": os.getloadavg(),
        },
    }


def _measured(family: Family, *, seconds: float, repeats: int) -> Iterator[dict[str, Any]]:
    missing = family.missing()
    if missing is not None:
        yield {
            "family": family.name,
            "title": family.title,
            "missing": f'{missing} is not installed: pip install "ctrl[{family.extra}]"',
        }
        return
    module, _, function = _GROUPS[family.name].partition(":")
    groups: Callable[[], Iterator[Group]] = getattr(importlib.import_module(module), function)
    for group in groups():
        yield measure(group, seconds=seconds, repeats=repeats)


def bench_table(document: dict[str, Any]) -> str:
    """Return what `bench_environments` found as text: medians, ranges and ratios."""
    lines = []
    for group in document["groups"]:
        title = f"{group['family']}: {group['title']}"
        if "missing" in group:
            lines += [f"{title}: {group['missing']}", ""]
            continue
        busy = group["other_cpus"]
        note = f" (other processes: {statistics.median(busy):.1f} cpus)" if busy else ""
        lines.append(title + note)
        lines.append(f"  {'':40} {group['unit'] + '/s':>14} {'range':>23} {'ratio':>7}")
        for name, row in group["rows"].items():
            if "missing" in row:
                lines.append(f"  {name:40} {row['missing']}")
                continue
            low, high = float(np.min(row["per_second"])), float(np.max(row["per_second"]))
            ratio = f"{row['ratio']:.2f}" if "ratio" in row else ""
            span = f"{low:,.0f} to {high:,.0f}"
            lines.append(f"  {name:40} {row['median']:14,.0f} {span:>23} {ratio:>7}")
        lines.append("")
    lines.append("Medians over the turns; ratios are to the first row, within a turn.")
    return "\n".join(lines)


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
