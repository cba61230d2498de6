"""What an alignment is made of: typed, frozen, the same in YAML, Python and at the prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import yaml

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
from ctrl.search.barfi.schedule import Schedule
from reward_models.errors import UserError

_LISTS = ("hidden", "start")


@dataclass(frozen=True)
class PolicyConfig:
    """The policy and how it learns.

    Attributes:
        features: of the observation, see `reward_models.blend.make_features`.
        hidden: sizes of tanh layers on them.
        optimizer: ``rmsprop``, ``adam`` or ``sgd``.
        learning_rate: its step size.
        entropy: weight of the policy's mean entropy in the inner objective.
        deviation: first standard deviation of a Gaussian policy, as a part of half the width of the
            action space.
        options: of the features.
    """

    features: str | None = None
    hidden: tuple[int, ...] = ()
    optimizer: str = "rmsprop"
    learning_rate: float = 1e-3
    entropy: float = 0.25
    deviation: float = 0.5
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BlendConfig:
    """The blended reward and how it learns.

    Attributes:
        features: of the observation, see `reward_models.blend.make_features`.
        hidden: sizes of tanh layers on them.
        fixed_task: keep ``phi_2 = 1``.
        start: first ``[phi_1, phi_2, phi_31, ...]``; the naive sum when None.
        optimizer: ``rmsprop``, ``adam`` or ``sgd``.
        learning_rate: its step size.
        penalty: ``l_r``, of the distance from the anchor.
        anchor: ``primary`` (the task reward alone) or ``zero``.
        options: of the features.
    """

    features: str | None = None
    hidden: tuple[int, ...] = ()
    fixed_task: bool = False
    start: tuple[float, ...] | None = None
    optimizer: str = "rmsprop"
    learning_rate: float = 5e-3
    penalty: float = 0.0
    anchor: str = "primary"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DiscountConfig:
    """The learned discount.

    Attributes:
        start: its first value; the paper's ``g = 4.6`` is 0.99005.
        learning_rate: of its logit; 0 keeps it.
        penalty: ``l_g``, of its size.
    """

    start: float = 0.99005
    learning_rate: float = 0.0
    penalty: float = 0.0


@dataclass(frozen=True)
class HypergradientConfig:
    """How the outer gradient is found.

    Attributes:
        name: ``neumann``, ``conjugate_gradient``, ``exact``, ``first_order``, or ``none`` for the
            regulariser alone.
        options: of it, see `ctrl.search.barfi.hypergradient`.
    """

    name: str = "neumann"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AlignCheckpoints:
    """Checkpoints of an alignment.

    Attributes:
        every: iterations between checkpoints; None for ten in the whole run, 0 for the end only.
        keep: how many of the newest stay.
    """

    every: int | None = None
    keep: int = 2


@dataclass(frozen=True)
class AlignConfig:
    """An alignment of a blend of rewards with the task.

    Attributes:
        env: the environment; one column per new episode, so ``n_envs`` is ``schedule.episodes``.
        reward: the auxiliary rewards as terms by name; ``task`` has weight 1 unless given.
        policy: the policy.
        blend: the blended reward.
        discount: the learned discount.
        hypergradient: the outer gradient.
        schedule: order and sizes of the steps.
        baseline: ``naive``, ``task`` or ``potential`` in place of a learned blend; None for BARFI.
        iterations: of the schedule, the warm ones included.
        gamma: discount of the task in the outer objective, of baselines and of potentials.
        seed: of everything that is random.
        threads: threads of torch.
        checkpoints: checkpoints during the run.
    """

    env: EnvConfig
    reward: dict[str, TermConfig] = field(default_factory=dict)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    blend: BlendConfig = field(default_factory=BlendConfig)
    discount: DiscountConfig = field(default_factory=DiscountConfig)
    hypergradient: HypergradientConfig = field(default_factory=HypergradientConfig)
    schedule: Schedule = field(default_factory=Schedule)
    baseline: str | None = None
    iterations: int = 500
    gamma: float = 0.99
    seed: int = 0
    threads: int = 1
    checkpoints: AlignCheckpoints = field(default_factory=AlignCheckpoints)

    @property
    def name_parts(self) -> tuple[str, ...]:
        """What a new run folder is named after."""
        return (self.env.id.replace("/", "-"), self.baseline or "barfi", f"seed{self.seed}")

    def as_dict(self) -> dict[str, Any]:
        """Return plain data that `parse_align` reads back to an equal configuration."""
        plain = asdict(self)
        for name in ("env", *_OPEN):
            plain[name] = flat_options(plain[name])
        plain["reward"] = {name: flat_options(term) for name, term in plain["reward"].items()}
        for name in ("policy", "blend"):
            for key in _LISTS:
                if plain[name].get(key) is not None:
                    plain[name][key] = list(plain[name][key])
        return plain

    def to_yaml(self) -> str:
        """Return the configuration as YAML text."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False)


_OPEN: dict[str, type] = {
    "policy": PolicyConfig,
    "blend": BlendConfig,
    "hypergradient": HypergradientConfig,
}
_CLOSED: dict[str, type] = {
    "discount": DiscountConfig,
    "schedule": Schedule,
    "checkpoints": AlignCheckpoints,
}
_PLAIN = ("baseline", "iterations", "gamma", "seed", "threads")


def parse_align(data: Mapping[str, Any]) -> AlignConfig:
    """Check plain data and build the configuration.

    Raises:
        UnknownNameError: an unknown key, with the nearest valid one.
        UserError: a value of the wrong kind or out of range.
    """
    data = wide_align(data)
    known_keys("setting of an alignment", data, [f.name for f in fields(AlignConfig)])
    if "env" not in data:
        raise UserError("An alignment needs an environment: --env NAME, or env: NAME in the file.")
    config = AlignConfig(
        env=build_part(EnvConfig, "env", data["env"], open_options=True),
        reward={
            name: build_part(TermConfig, f"reward.{name}", term, open_options=True)
            for name, term in data.get("reward", {}).items()
        },
        **{
            name: _part(kind, name, data.get(name) or {}, open_options=True)
            for name, kind in _OPEN.items()
        },
        **{name: build_part(kind, name, data.get(name) or {}) for name, kind in _CLOSED.items()},
        **{key: typed_value(key, number(data[key]), AlignConfig) for key in _PLAIN if key in data},
    )
    for name, value, least in (
        ("iterations", config.iterations, 1),
        ("seed", config.seed, 0),
        ("threads", config.threads, 1),
        ("checkpoints.every", config.checkpoints.every, 0),
        ("checkpoints.keep", config.checkpoints.keep, 1),
    ):
        if value is not None and value < least:
            raise UserError(f"{name} must be at least {least}, got {value}.")
    for name, rate in (
        ("policy.learning_rate", config.policy.learning_rate),
        ("policy.entropy", config.policy.entropy),
        ("blend.learning_rate", config.blend.learning_rate),
        ("discount.learning_rate", config.discount.learning_rate),
    ):
        if not 0.0 <= rate < float("inf"):
            raise UserError(f"{name} must be at least 0 and finite, got {rate}.")
    if not 0.0 < config.gamma <= 1.0:
        raise UserError(f"gamma must lie in (0, 1], got {config.gamma}.")
    if config.env.n_envs not in (None, config.schedule.episodes):
        raise UserError(
            f"env.n_envs is {config.env.n_envs}, but an alignment has one column for each of its "
            f"schedule.episodes ({config.schedule.episodes}); leave n_envs out."
        )
    return config


def wide_align(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain data of an alignment in which every short form is written out."""
    wide = widened(data)
    if isinstance(wide.get("hypergradient"), str):
        wide["hypergradient"] = {"name": wide["hypergradient"]}
    return wide


def _part(kind: type, place: str, data: Any, *, open_options: bool) -> Any:
    """Build a part that may have lists of numbers."""
    plain = dict(as_mapping(place, data))
    names = {f.name for f in fields(kind)}
    given = {key: plain.pop(key) for key in _LISTS if key in plain and key in names}
    built = build_part(kind, place, plain, open_options=open_options)
    lists: dict[str, Any] = {}
    for key, value in given.items():
        whole = key == "hidden"
        numbers = [number(item) for item in value] if isinstance(value, list | tuple) else None
        kinds = int if whole else int | float
        if value is None and not whole:
            lists[key] = None
        elif numbers is None or not all(
            isinstance(item, kinds) and not isinstance(item, bool) for item in numbers
        ):
            what = "whole numbers" if whole else "numbers"
            raise UserError(f"{place}.{key} must be a list of {what}, got {value!r}.")
        else:
            lists[key] = tuple(item if whole else float(item) for item in numbers)
    return replace(built, **lists)
