"""What a search is made of: typed, frozen, the same in YAML, Python and at the prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import yaml

import envs
from ctrl.config import (
    EnvConfig,
    TermConfig,
    as_mapping,
    build_part,
    flat_options,
    known_keys,
    number,
    typed_value,
    widened,
)
from reward_models.errors import UserError

_NAMED = ("method", "descriptor")


@dataclass(frozen=True)
class MethodConfig:
    """The search method.

    Attributes:
        name: see `ctrl.search.methods.METHODS`.
        options: its own settings.
    """

    name: str = "serene"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DescriptorConfig:
    """What an episode is described by.

    Attributes:
        name: see `ctrl.search.methods.DESCRIPTORS`; None takes the method's own: a learned code of
            pictures for TAXONS and STAX, the last sample for the others.
        options: its own settings.
    """

    name: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SearchCheckpoints:
    """Checkpoints of a search.

    Attributes:
        every: evaluations between checkpoints; None for twenty in the whole search, 0 for none.
        keep: how many of the newest stay.
    """

    every: int | None = None
    keep: int = 2


@dataclass(frozen=True)
class SearchConfig:
    """A search over whole policies.

    Attributes:
        env: the environment.
        method: the search method.
        descriptor: what an episode is described by.
        genome: kind of genome and its settings, see `ctrl.search.genomes.make_genome_kind`.
        reward: terms by name, whose sum over an episode is its reward; ``task`` has weight 1 unless
            given. Terms that learn are refused.
        budget: evaluations.
        seed: of everything that is random.
        gamma: discount of potentials in the mix.
        samples: moments at which an episode is looked at; the last is its end.
        observe: what is looked at, see `ctrl.search.evaluation.Setting`.
        place: two numbers that say where an episode ended, likewise.
        images: whether to take pictures; None where the descriptor reads them.
        bounds: ``[[x0, x1], [y0, y1]]`` of the places, for coverage; None for the world's own.
        areas: reward areas of the world; None for what is known of it.
        cells: cells of the coverage grid along each axis.
        columns: most episodes at once in a process.
        threads: threads of torch.
        checkpoints: checkpoints during the search.
    """

    env: EnvConfig
    method: MethodConfig = field(default_factory=MethodConfig)
    descriptor: DescriptorConfig = field(default_factory=DescriptorConfig)
    genome: dict[str, Any] = field(default_factory=lambda: {"kind": "controller"})
    reward: dict[str, TermConfig] = field(default_factory=dict)
    budget: int = 50_000
    seed: int = 0
    gamma: float = 1.0
    samples: int = 1
    observe: str | None = None
    place: str | None = None
    images: bool | None = None
    bounds: list[list[float]] | None = None
    areas: int | None = None
    cells: int = 50
    columns: int | None = None
    threads: int = 1
    checkpoints: SearchCheckpoints = field(default_factory=SearchCheckpoints)

    @property
    def name_parts(self) -> tuple[str, ...]:
        """What a new run folder is named after."""
        return (self.env.id.replace("/", "-"), self.method.name, f"seed{self.seed}")

    def as_dict(self) -> dict[str, Any]:
        """Return plain data that `parse_search` reads back to an equal configuration."""
        plain = asdict(self)
        for name in ("env", *_NAMED):
            plain[name] = flat_options(plain[name])
        plain["reward"] = {name: flat_options(term) for name, term in plain["reward"].items()}
        return plain

    def to_yaml(self) -> str:
        """Return the configuration as YAML text."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False)


def parse_search(data: Mapping[str, Any]) -> SearchConfig:
    """Check plain data and build the configuration.

    Raises:
        UnknownNameError: an unknown key, with the nearest valid one.
        UserError: a value of the wrong kind or out of range.
    """
    data = wide_search(data)
    known_keys("search setting", data, [f.name for f in fields(SearchConfig)])
    if "env" not in data:
        raise UserError("A search needs an environment: --env NAME, or env: NAME in the file.")
    plain = ("budget", "seed", "gamma", "samples", "observe", "place", "images", "areas",
             "cells",
             "columns", "threads")  # fmt: skip
    config = SearchConfig(
        env=build_part(EnvConfig, "env", data["env"], open_options=True),
        method=build_part(MethodConfig, "method", data.get("method", {}), open_options=True),
        descriptor=build_part(
            DescriptorConfig, "descriptor", data.get("descriptor", {}), open_options=True
        ),
        genome=dict(as_mapping("genome", data.get("genome", {"kind": "controller"}))),
        reward={
            name: build_part(TermConfig, f"reward.{name}", term, open_options=True)
            for name, term in data.get("reward", {}).items()
        },
        bounds=_bounds(data.get("bounds")),
        checkpoints=build_part(SearchCheckpoints, "checkpoints", data.get("checkpoints", {})),
        **{key: typed_value(key, number(data[key]), SearchConfig) for key in plain if key in data},
    )
    for name, value, least in (
        ("budget", config.budget, 1),
        ("seed", config.seed, 0),
        ("samples", config.samples, 1),
        ("areas", config.areas, 0),
        ("cells", config.cells, 1),
        ("columns", config.columns, 1),
        ("threads", config.threads, 1),
        ("checkpoints.every", config.checkpoints.every, 0),
        ("checkpoints.keep", config.checkpoints.keep, 1),
    ):
        if value is not None and value < least:
            raise UserError(f"{name} must be at least {least}, got {value}.")
    return config


def wide_search(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain data of a search in which every short form is written out."""
    wide = widened(data)
    for name in _NAMED:
        if isinstance(wide.get(name), str):
            wide[name] = {"name": wide[name]}
    if isinstance(wide.get("genome"), str):
        wide["genome"] = {"kind": wide["genome"]}
    if isinstance(wide.get("env"), dict) and isinstance(wide["env"].get("id"), str):
        wide["env"] = {**wide["env"], "id": full_name(wide["env"]["id"])}
    return wide


def full_name(name: str) -> str:
    """Return the id that a short name means: ``curling`` is ``Curling-v0``.

    A short name is a listed id without its version, in any case, where only one has it. Any other
    name is returned as it is.
    """
    listed = envs.names()
    if name in listed:
        return name
    short = name.lower().replace("_", "").replace("-", "")
    found = [
        full
        for full in listed
        if full.lower().rpartition("-v")[0].replace("_", "").replace("-", "") == short
    ]
    return found[0] if len(found) == 1 else name


def _bounds(value: Any) -> list[list[float]] | None:
    if value is None:
        return None
    try:
        rows = [[float(low), float(high)] for low, high in value]
    except (TypeError, ValueError):
        rows = []
    if len(rows) != 2 or any(not low < high for low, high in rows):
        raise UserError(
            f"bounds must be [[x0, x1], [y0, y1]] with x0 < x1, y0 < y1, got {value!r}."
        )
    return rows
