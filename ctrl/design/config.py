"""What a design is made of: typed, frozen, the same in YAML, Python and at the prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from ctrl.config import (
    EnvConfig,
    TrainConfig,
    as_mapping,
    build_part,
    flat_options,
    known_keys,
    number,
    parse_config,
    typed_value,
    widened,
)
from ctrl.design.metric import AUTO
from reward_models.coded.program import as_convention
from reward_models.errors import UnknownNameError, UserError

BACKENDS = ("search", "openai", "replay", "script")
_TRAIN_FIELDS = ("env", "reward", "seed", "evaluation")


@dataclass(frozen=True)
class BackendConfig:
    """Who writes the programs.

    Attributes:
        name: ``search`` (no model), ``openai`` (any server with OpenAI's chat protocol),
            ``replay`` (a stored exchange), or ``script`` (prepared replies).
        temperature: of new programs, 0 or more.
        repair_temperature: of repairs.
        options: of the backend.
    """

    name: str = "search"
    temperature: float = 1.0
    repair_temperature: float = 0.3
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class InputsConfig:
    """What programs may read.

    Attributes:
        quantities: their names; None for the observation and all documented quantities of at most
            64 numbers.
        actions: names of the actions of a discrete space.
        samples: environment steps of a random policy that dry runs and ranges are taken from.
    """

    quantities: tuple[str, ...] | None = None
    actions: tuple[str, ...] | None = None
    samples: int = 512


@dataclass(frozen=True)
class JudgeConfig:
    """How the policy that a program trained is judged.

    Attributes:
        metric: ``success``, ``return``, a quantity (the share of episodes in which it was above 0),
            or ``auto``: success where the environment reports it, else the return.
        episodes: of the evaluation after training.
        every: environment steps between evaluations during training; 0 for none.
        best: score a program by the best evaluation during training instead of the last one; None
            for what its convention does (``components``: the best).
        deterministic: act by the mode of the policy.
        window: last steps of failed episodes that are described.
    """

    metric: str = AUTO
    episodes: int = 50
    every: int = 0
    best: bool | None = None
    deterministic: bool = True
    window: int = 20


@dataclass(frozen=True)
class CriticConfig:
    """How programs are reviewed before any training.

    Attributes:
        retries: repairs that a designer may make of one program.
        model: let the language model look at the logic of programs that run without a fault; its
            objection counts as a fault. Not with the search.
    """

    retries: int = 3
    model: bool = False


@dataclass(frozen=True)
class DesignConfig:
    """A design of a reward program.

    Attributes:
        env: the environment.
        task: what the agent has to do, in words; data for the designer.
        backend: who writes the programs.
        convention: ``signed``, ``components`` or ``scalar``; see `reward_models.coded.program`.
        rounds: how often programs are written, trained with and analysed.
        samples: programs in each round.
        baseline: train on the task reward alone first, for comparison and for the first facts.
        final_seeds: train with the best program again, with so many other seeds, at the end.
        task_weight: of the task reward beside the program.
        continue_training: start every training from the policy of the best attempt before it,
            instead of from a new one.
        inputs: what programs may read.
        judge: how programs are judged.
        critic: how they are reviewed.
        train: settings of the trainings: ``algo``, ``steps``, ``normalize_observations`` and
            whatever else ``ctrl train`` takes, but for environment, reward, evaluation and seed.
        seed: of everything that is random.
    """

    env: EnvConfig
    task: str
    backend: BackendConfig = field(default_factory=BackendConfig)
    convention: str = "signed"
    rounds: int = 3
    samples: int = 1
    baseline: bool = True
    final_seeds: int = 0
    task_weight: float = 0.0
    continue_training: bool = False
    inputs: InputsConfig = field(default_factory=InputsConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    critic: CriticConfig = field(default_factory=CriticConfig)
    train: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def name_parts(self) -> tuple[str, ...]:
        """What a new run folder is named after."""
        return (self.env.id.replace("/", "-"), "design", self.backend.name, f"seed{self.seed}")

    def as_dict(self) -> dict[str, Any]:
        """Return plain data that `parse_design` reads back to an equal configuration."""
        plain = asdict(self)
        for part in ("env", "backend"):
            plain[part] = flat_options(plain[part])
        for key in _LISTS:
            if plain["inputs"][key] is not None:
                plain["inputs"][key] = list(plain["inputs"][key])
        return plain

    def to_yaml(self) -> str:
        """Return the configuration as YAML text."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False)

    def training(
        self, reward: Mapping[str, Any], *, seed: int, start: Path | None = None
    ) -> TrainConfig:
        """Return the configuration of one training.

        Args:
            reward: its terms.
            seed: of the training.
            start: run whose policy it starts from; None for what ``train`` says.

        Raises:
            UserError: a setting in ``train`` that does not exist or cannot be.
        """
        return parse_config(
            {
                **self.train,
                **({} if start is None else {"start_from": str(start)}),
                "env": flat_options(asdict(self.env)),
                "reward": reward,
                "seed": seed,
                "evaluation": {"every": self.judge.every, "episodes": self.judge.episodes},
            }
        )


_LISTS = ("quantities", "actions")
_PARTS: dict[str, type] = {"judge": JudgeConfig, "critic": CriticConfig}
_PLAIN = (
    "task",
    "convention",
    "rounds",
    "samples",
    "baseline",
    "final_seeds",
    "task_weight",
    "continue_training",
    "seed",
)


def parse_design(data: Mapping[str, Any]) -> DesignConfig:
    """Check plain data and build the configuration.

    Raises:
        UnknownNameError: an unknown key or name, with the nearest valid one.
        UserError: a value of the wrong kind or out of range.
    """
    data = wide_design(data)
    known_keys("setting of a design", data, [f.name for f in fields(DesignConfig)])
    if "env" not in data:
        raise UserError("A design needs an environment: --env NAME, or env: NAME in the file.")
    if not isinstance(data.get("task"), str) or not data["task"].strip():
        raise UserError('A design needs a task in words: --task "Walk to the goal.".')
    train = dict(as_mapping("train", data.get("train") or {}))
    for key in _TRAIN_FIELDS:
        if key in train:
            raise UserError(f"train.{key} is set by the design itself; set {key} beside train.")
    config = DesignConfig(
        env=build_part(EnvConfig, "env", data["env"], open_options=True),
        backend=build_part(BackendConfig, "backend", data.get("backend", {}), open_options=True),
        inputs=_inputs(data.get("inputs") or {}),
        train=train,
        **{name: build_part(kind, name, data.get(name) or {}) for name, kind in _PARTS.items()},
        **{key: typed_value(key, _plain(key, data[key]), DesignConfig) for key in _PLAIN
           if key in data},
    )  # fmt: skip
    as_convention(config.convention)
    if config.backend.name not in BACKENDS:
        raise UnknownNameError("backend", config.backend.name, BACKENDS)
    for name, value, least in (
        ("rounds", config.rounds, 1),
        ("samples", config.samples, 1),
        ("final_seeds", config.final_seeds, 0),
        ("seed", config.seed, 0),
        ("inputs.samples", config.inputs.samples, 8),
        ("judge.episodes", config.judge.episodes, 1),
        ("judge.every", config.judge.every, 0),
        ("judge.window", config.judge.window, 1),
        ("critic.retries", config.critic.retries, 0),
        ("backend.temperature", config.backend.temperature, 0),
        ("backend.repair_temperature", config.backend.repair_temperature, 0),
    ):
        if value < least:
            raise UserError(f"{name} must be at least {least}, got {value}.")
    if config.critic.model and config.backend.name == "search":
        raise UserError(
            "critic.model asks a language model, and the search has none: take another backend."
        )
    config.training({"task": 1.0}, seed=config.seed)
    return config


def wide_design(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain data of a design in which every short form is written out."""
    wide = widened(data)
    if isinstance(wide.get("backend"), str):
        wide["backend"] = {"name": wide["backend"]}
    if isinstance(wide.get("train"), Mapping):
        wide["train"] = widened(wide["train"])
    return wide


def _plain(key: str, value: Any) -> Any:
    return value if key == "task" else number(value)


def _inputs(data: Any) -> InputsConfig:
    plain = dict(as_mapping("inputs", data))
    lists: dict[str, Any] = {}
    for key in _LISTS:
        value = plain.pop(key, None)
        if value is None:
            continue
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            raise UserError(f"inputs.{key} must be a list of names, got {value!r}.")
        lists[key] = tuple(value)
    known_keys("key in inputs", plain, [f.name for f in fields(InputsConfig)])
    samples = typed_value(
        "inputs.samples", number(plain.get("samples", 512)), InputsConfig, "samples"
    )
    return InputsConfig(samples=samples, **lists)
