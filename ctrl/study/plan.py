"""What a study is: one file that names methods, environments, seeds, and the rules of a pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ctrl.config import TrainConfig, parse_config, read_config, widened
from ctrl.seeds import parse_seeds
from ctrl.study.rules import Rule, parse_rules
from reward_models.errors import UnknownNameError, UserError
from reward_models.registry import absolute_use

TRAIN = "train"
ONLY = "default"
"""The name of the environment of a study that names none."""

MEASURED = (
    "task_return", "success_rate", "episode_length", "training_task_return",
    "training_shaped_return", "training_success_rate", "task_return_area", "success_rate_area",
)  # fmt: skip
"""The numbers that every training has, some of them only where the environment tells successes."""


@dataclass(frozen=True)
class Cell:
    """One run of a study.

    Attributes:
        method: its name in the file.
        environment: its name in the file.
        seed: of everything random in it.
        settings: common settings, those of the environment and those of the method, laid over each
            other in this order.
    """

    method: str
    environment: str
    seed: int
    settings: dict[str, Any]

    @property
    def name(self) -> str:
        """The folder of the cell, relative to the study's."""
        return f"{self.method}/{self.environment}/seed_{self.seed}"


@dataclass(frozen=True)
class Study:
    """A grid of runs and what it should show.

    Attributes:
        name: short name, also of the result files.
        about: what is compared, one or two sentences.
        run: ``train`` for training configurations, or ``file.py:function`` for your own
            ``function(settings, seed) -> {name: number}``.
        seeds: the seeds of every method.
        settings: common to all cells.
        methods: settings of each method by name.
        environments: settings of each environment by name.
        episodes: evaluation episodes after a training.
        measures: further numbers of a training by name: the column of its log they are read from.
        metric: the number shown first.
        rules: what makes it a pass; may be empty.
        source: the file it was read from.
    """

    name: str
    run: str
    seeds: tuple[int, ...]
    methods: dict[str, dict[str, Any]]
    environments: dict[str, dict[str, Any]]
    settings: dict[str, Any] = field(default_factory=dict)
    about: str = ""
    episodes: int = 20
    measures: dict[str, str] = field(default_factory=dict)
    metric: str | None = None
    rules: tuple[Rule, ...] = ()
    source: Path | None = None

    def cells(self) -> list[Cell]:
        """Return every run, seeds innermost, so that whole methods are not finished last."""
        return [
            Cell(method, environment, seed, self._settings(method, environment))
            for seed in self.seeds
            for environment in self.environments
            for method in self.methods
        ]

    def _settings(self, method: str, environment: str) -> dict[str, Any]:
        layers = (self.settings, self.environments[environment], self.methods[method])
        merged: dict[str, Any] = {}
        for layer in layers:
            merged = _laid_over(merged, _wide_layer(layer) if self.run == TRAIN else layer)
        return widened(merged) if self.run == TRAIN else merged


_KEYS = {
    "study": "name", "about": "about", "run": "run", "seeds": "seeds", "settings": "settings",
    "methods": "methods", "environments": "environments", "episodes": "episodes",
    "measures": "measures", "metric": "metric", "pass": "rules",
}  # fmt: skip


def read_study(path: str | Path) -> Study:
    """Read and check a study file.

    Every cell's configuration is checked before anything runs.

    Raises:
        UserError: no such file, or a value that cannot work, with the cell that it is in.
        UnknownNameError: an unknown key, method or metric, with the nearest valid one.
    """
    path = Path(path)
    data = read_config(path)
    for key in data:
        if key not in _KEYS:
            raise UnknownNameError(f"key in {path}", key, _KEYS)
    for key in ("study", "methods"):
        if not data.get(key):
            raise UserError(f"{path} needs {key!r}: see docs/studies.md for a whole file.")
    given = {_KEYS[key]: value for key, value in data.items()}
    run = str(given.get("run", TRAIN))
    methods = {
        str(name): _mapping(f"methods.{name}", layer or {})
        for name, layer in _mapping("methods", given["methods"]).items()
    }
    environments = {
        str(name): _mapping(f"environments.{name}", layer or {})
        for name, layer in _mapping("environments", given.get("environments") or {ONLY: {}}).items()
    }
    for name in (*methods, *environments):
        if "/" in name or name.startswith("."):
            raise UserError(f"{path}: {name!r} names a folder; leave out slashes and a first dot.")
    study = Study(
        name=str(given["name"]),
        run=run if run == TRAIN else absolute_use(_beside(run, path)),
        seeds=tuple(_seeds(given.get("seeds", 5))),
        methods=methods,
        environments=environments,
        settings=_mapping("settings", given.get("settings") or {}),
        about=" ".join(str(given.get("about", "")).split()),
        episodes=int(given.get("episodes", 20)),
        measures=_measures(given.get("measures") or {}, run),
        metric=None if given.get("metric") is None else str(given["metric"]),
        rules=parse_rules(given.get("rules") or [], methods, environments),
        source=path,
    )
    if study.run == TRAIN:
        for cell in study.cells()[: len(methods) * len(environments)]:
            training(cell)
    return study


def training(cell: Cell) -> TrainConfig:
    """Return the configuration of a cell that trains.

    Raises:
        UserError: the settings are no configuration; the message names the cell.
    """
    try:
        return parse_config({**cell.settings, "seed": cell.seed})
    except UserError as error:
        raise UserError(f"{cell.method} on {cell.environment}: {error}") from error


def described(study: Study) -> dict[str, Any]:
    """Return the study as plain data, as far as results depend on it."""
    return {
        part.name: value if not isinstance(value, tuple) else list(value)
        for part in fields(study)
        if part.name not in ("rules", "source")
        for value in (getattr(study, part.name),)
    }


def _wide_layer(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Write out short forms, but leave `use` to the layers below where this one does not say it."""
    wide = widened(layer)
    for part in ("reward", "objective"):
        given = {str(name): term for name, term in (layer.get(part) or {}).items()}
        for name, term in wide.get(part, {}).items():
            if not (isinstance(given[name], Mapping) and "use" in given[name]):
                del term["use"]
    return wide


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        present = merged.get(key)
        nested = isinstance(present, Mapping) and isinstance(value, Mapping)
        merged[key] = _laid_over(present, value) if nested else value  # type: ignore[arg-type]
    return merged


def _mapping(place: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f"{place} must be a mapping, got {value!r}.")
    return {str(key): entry for key, entry in value.items()}


def _measures(value: Any, run: str) -> dict[str, str]:
    measures = _mapping("measures", value)
    if measures and run != TRAIN:
        raise UserError(
            "measures are columns of the log of a training; a function of your own returns its "
            f"numbers itself, so take them out or leave out run: {run}."
        )
    for name, column in measures.items():
        if name in MEASURED:
            raise UserError(f"measures.{name} is measured anyway; choose another name.")
        if not isinstance(column, str) or not column:
            raise UserError(
                f"measures.{name} must name a column of the log, for example "
                f"reward/rnd/mean, got {column!r}."
            )
    return measures


def _seeds(value: Any) -> list[int]:
    if not isinstance(value, list):
        return parse_seeds(str(value))
    different = len(set(map(str, value))) == len(value)
    if not value or not different or not all(isinstance(seed, int) for seed in value):
        raise UserError(f"seeds: expected a count, 'A-B' or different numbers, got {value}.")
    return value


def _beside(use: str, path: Path) -> str:
    """Return ``file.py:name`` with the file looked for beside the study's own file first."""
    place, colon, name = use.rpartition(":")
    near = path.parent / place
    return f"{near}{colon}{name}" if place.endswith(".py") and near.is_file() else use
