"""Which runs are seeds of the same training, and what tells the groups apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctrl.run_curves import RunCurves, section

# What may differ between two runs of the same training: it changes no number of the curve.
_INCIDENTAL = ("seed", "threads", "env.threads", "env.backend", "checkpoints", "evaluation",
               "diagnostics")  # fmt: skip
# More differing settings or terms than this make no readable label.
_MOST = 3


@dataclass(frozen=True)
class RunGroup:
    """Runs of the same training that differ in their seed.

    Attributes:
        label: what tells this group from the others of the same call, with its environment when
            there are several.
        method: the label without the environment.
        env: the environment's name.
        runs: by seed.
    """

    label: str
    method: str
    env: str
    runs: tuple[RunCurves, ...]


def group_runs(runs: Iterable[RunCurves]) -> tuple[list[RunGroup], list[str]]:
    """Gather runs that are equal in configuration up to the seed, and name the groups.

    A repetition of a run with the same seed is no further evidence: only the longest counts.

    Returns:
        The groups in order of appearance, and a note for each run that was left out.
    """
    gathered: dict[str, dict[Any, RunCurves]] = {}
    notes = []
    for run in runs:
        seeds = gathered.setdefault(_identity(run), {})
        key = run.path.resolve() if run.seed is None else run.seed
        other = seeds.get(key)
        if other is not None:
            left = min(run, other, key=lambda repeated: repeated.last_step)
            kept = other if left is run else run
            notes.append(f"{left.path} repeats seed {key} of {kept.path} and is left out.")
            seeds[key] = kept
        else:
            seeds[key] = run
    members = [
        tuple(seeds[key] for key in sorted(seeds, key=_order)) for seeds in gathered.values()
    ]
    methods = _methods([group[0] for group in members])
    envs = [group[0].env for group in members]
    several = len(set(envs)) > 1
    groups = [
        RunGroup(f"{env}: {method}" if several and env else method, method, env, group)
        for env, method, group in zip(envs, methods, members, strict=True)
    ]
    return groups, notes


def _methods(runs: list[RunCurves]) -> list[str]:
    """Name what each run does: learner, reward terms, and settings that differ between the runs.

    Settings are compared among runs with the same environment and learner, because other learners
    have other settings.
    """
    peers: dict[tuple[str, str], list[dict[str, Any]]] = {}
    flats = [_flat(run.config) for run in runs]
    for run, flat in zip(runs, flats, strict=True):
        peers.setdefault((run.env, _learner(run)), []).append(flat)
    many = [set(terms) for run in runs if len(terms := _terms(run.config)) > _MOST]
    common = set.intersection(*many) if many else set()
    methods = []
    for run, flat in zip(runs, flats, strict=True):
        if not run.config:
            methods.append(_plain_name(run.path))
            continue
        settings = _settings(flat, peers[run.env, _learner(run)])
        text = " + ".join([_learner(run), *_shown(_terms(run.config), common)])
        if len(settings) > _MOST:
            text += f" ({_plain_name(run.path)})"
        elif settings:
            text += f" ({', '.join(settings)})"
        methods.append(text)
    named = [(run.env, method) for run, method in zip(runs, methods, strict=True)]
    return [
        f"{method} ({run.path})" if named.count((run.env, method)) > 1 else method
        for run, method in zip(runs, methods, strict=True)
    ]


def _learner(run: RunCurves) -> str:
    return str(section(run.config, "algo", "name").get("name", "run"))


def _terms(config: Mapping[str, Any]) -> list[str]:
    """Name the reward terms with their weights; the task only where its weight is not 1."""
    reward = config.get("reward") or {}
    weights = {
        str(name): term.get("weight", 1.0) if isinstance(term, Mapping) else term
        for name, term in reward.items()
    }
    return [
        f"{name}={_short(weight)}"
        for name, weight in weights.items()
        if name != "task" or weight != 1
    ]


def _shown(terms: list[str], common: set[str]) -> list[str]:
    """Of many terms show those that not all runs with many have, and count the others."""
    if len(terms) <= _MOST:
        return terms
    own = [term for term in terms if term not in common]
    rest = len(terms) - len(own)
    return [*own, f"{rest} more"] if own and rest else own or [f"{rest} terms"]


def _settings(flat: Mapping[str, Any], peers: list[dict[str, Any]]) -> list[str]:
    """Return ``key=value`` of the settings in which a run differs from its peers."""
    settings = []
    for key in sorted({key for peer in peers for key in peer}):
        part, *rest = key.split(".")
        if key in ("env.id", "algo.name") or (part == "reward" and rest[-1:] == ["weight"]):
            continue
        # A term's settings are compared among the runs that have the term.
        prefix = f"reward.{rest[0]}." if part == "reward" and rest else ""
        having = [peer for peer in peers if any(name.startswith(prefix) for name in peer)]
        if len({_short(peer.get(key)) for peer in having}) > 1 and flat.get(key) is not None:
            name = ".".join(rest) if part in ("algo", "env", "reward") else key
            settings.append(f"{name}={_short(flat[key])}")
    return settings


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(
            f"{kind}({', '.join(map(_short, numbers))})" if isinstance(numbers, list)
            else f"{kind}: {_short(numbers)}"
            for kind, numbers in value.items()
        )  # fmt: skip
    if isinstance(value, float | int) and not isinstance(value, bool):
        return f"{value:g}"
    return str(value)


def _plain_name(path: Path) -> str:
    """Return the folder's name, for a folder of one seed that of the folder above."""
    path = path.resolve()
    return path.parent.name if re.fullmatch(r"seed[_-]?\d+", path.name) else path.name


def _identity(run: RunCurves) -> str:
    if not run.config:
        return f"{run.path.resolve().parent}/{_plain_name(run.path)}"
    return repr(sorted(_flat(run.config).items(), key=lambda item: item[0]))


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with dotted keys, without what changes no number."""
    wide = {**config, "env": section(config, "env", "id"), "algo": section(config, "algo", "name")}
    wide["reward"] = {"task": {"use": "task", "weight": 1.0}, **(config.get("reward") or {})}
    flat: dict[str, Any] = {}

    def visit(prefix: str, value: Any) -> None:
        if any(prefix == name for name in _INCIDENTAL) or value is None:
            return
        if isinstance(value, Mapping) and not prefix.endswith(".weight"):
            for key, item in value.items():
                visit(f"{prefix}.{key}" if prefix else str(key), item)
        else:
            flat[prefix] = value

    visit("", wide)
    return flat


def _order(seed: int | Path) -> tuple[bool, Any]:
    return isinstance(seed, Path), seed
