"""What a training run is made of: typed, frozen, the same in YAML, Python and at the prompt."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from reward_models.errors import UnknownNameError, UserError, nearest_name

TASK = "task"


@dataclass(frozen=True)
class EnvConfig:
    """The environment.

    Attributes:
        id: its name, see ``ctrl list envs``.
        n_envs: parallel columns; None takes the learner's default.
        backend: how the columns are stepped: ``auto``, ``batched``, ``vector``, ``threads``,
            ``processes``, ``envpool`` or ``dummy`` (SB3's own); see docs/environments.md.
        threads: threads (or processes) that step the columns; None takes one per core.
        options: keyword arguments of the environment.
    """

    id: str
    n_envs: int | None = None
    backend: str = "auto"
    threads: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AlgoConfig:
    """The learner.

    Attributes:
        name: see ``ctrl list algos``.
        update_every: off-policy: the mix learns after this many new transitions.
        options: SB3's own settings.
    """

    name: str = "ppo"
    update_every: int = 256
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TermConfig:
    """One reward term.

    Attributes:
        use: a listed reward, ``file.py:name`` or ``package.module:name``.
        weight: a number, ``{linear: [start, end, steps]}``,
            ``{exponential: [start, half_life]}``, or ``{decay: [start, kappa, steps]}``.
        scale: ``none``, ``return_std`` or ``reward_std``; None takes the reward's own preference.
        gate: a reward whose value multiplies the term.
        options: keyword arguments of the reward.
    """

    use: str
    weight: float | dict[str, Any] = 1.0
    scale: str | None = None
    gate: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PartConfig:
    """One part of the objective: an advantage shaper or a loss term.

    Attributes:
        use: a listed part, ``file.py:Class`` or ``package.module:Class``.
        weight: multiplies a loss term; shapers have none.
        options: keyword arguments of the class.
    """

    use: str
    weight: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationConfig:
    """Evaluation by the task reward during training.

    Attributes:
        every: environment steps between evaluations; 0 for none.
        episodes: episodes of each evaluation.
    """

    every: int = 0
    episodes: int = 10


@dataclass(frozen=True)
class CheckpointConfig:
    """Checkpoints during training.

    Attributes:
        every: environment steps between checkpoints; None for ten in the whole run, 0 for none.
        keep: how many of the newest stay.
        replay_buffer: keep the replay buffer in them; without it an off-policy run resumes with an
            empty buffer.
    """

    every: int | None = None
    keep: int = 2
    replay_buffer: bool = True


@dataclass(frozen=True)
class CloningConfig:
    """Behaviour cloning before the first environment step.

    Attributes:
        demonstrations: folder of a data set, see ``ctrl demos``.
        episodes: use this many of its episodes, from the first on; None takes all.
        epochs: passes over the data, at most.
        batch_size: transitions in a minibatch.
        learning_rate: of Adam.
        weight_decay: of Adam, an L2 penalty.
        validation: share that is held out, in [0, 1); whole episodes where it comes to one.
        patience: epochs without a better held-out loss after which it ends.
    """

    demonstrations: str
    episodes: int | None = None
    epochs: int = 200
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    validation: float = 0.1
    patience: int = 20


@dataclass(frozen=True)
class DiagnosticsConfig:
    """Measurements of the learner that change nothing about it.

    Attributes:
        lipschitz: environment steps between measurements of the gradient norms of critic and
            actor; 0 for none.
        samples: transitions that each is taken over.
    """

    lipschitz: int = 0
    samples: int = 256


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        env: the environment.
        algo: the learner.
        reward: terms by name; ``task``, the environment's own reward, has weight 1 unless given.
        objective: advantage shapers and loss terms by name, in this order.
        steps: environment steps over all columns; 0 with behaviour cloning alone.
        seed: of everything that is random.
        start_from: folder of an elite of ``ctrl search``, or of a run, whose policy training starts
            from.
        normalize_observations: running mean and deviation for the policy; reward models always
            see raw observations.
        device: ``cpu``, ``cuda`` or ``auto``.
        threads: threads of torch; one is fastest for small networks.
        evaluation: evaluation during training.
        checkpoints: checkpoints during training.
        behaviour_cloning: fit the policy to demonstrations first; None for not.
        diagnostics: measurements of the learner during training.
    """

    env: EnvConfig
    algo: AlgoConfig = field(default_factory=AlgoConfig)
    reward: dict[str, TermConfig] = field(default_factory=dict)
    objective: dict[str, PartConfig] = field(default_factory=dict)
    steps: int = 100_000
    seed: int = 0
    start_from: str | None = None
    normalize_observations: bool = False
    device: str = "cpu"
    threads: int = 1
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    checkpoints: CheckpointConfig = field(default_factory=CheckpointConfig)
    behaviour_cloning: CloningConfig | None = None
    diagnostics: DiagnosticsConfig = field(default_factory=DiagnosticsConfig)

    @property
    def name_parts(self) -> tuple[str, ...]:
        """What a new run folder is named after."""
        terms = "_".join(name for name in self.reward if name != TASK)
        return (self.env.id.replace("/", "-"), self.algo.name, terms, f"seed{self.seed}")

    def as_dict(self) -> dict[str, Any]:
        """Return plain data that ``parse_config`` reads back to an equal configuration."""
        plain = asdict(self)
        for part in ("env", "algo"):
            plain[part] = flat_options(plain[part])
        for part in ("reward", "objective"):
            plain[part] = {name: flat_options(each) for name, each in plain[part].items()}
        return plain

    def to_yaml(self) -> str:
        """Return the configuration as YAML text."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False)


def read_config(path: str | Path) -> dict[str, Any]:
    """Read a YAML file as plain data.

    Raises:
        UserError: no such file (with the nearest one), or not a mapping.
    """
    path = Path(path)
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else Path()
        nearest = nearest_name(path.name, [file.name for file in folder.glob("*.y*ml")])
        hint = f" Did you mean {str(folder / nearest)!r}?" if nearest else ""
        raise UserError(f"There is no configuration file {str(path)!r}.{hint}")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise UserError(f"{path} must hold a mapping (env: ..., algo: ..., reward: ...).")
    return data


def apply_overrides(
    data: Mapping[str, Any],
    overrides: Iterable[str],
    widen: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Apply ``key.path=value`` texts to plain configuration data.

    Values are read as YAML, and numbers like ``1e5`` as numbers. Short forms (``algo: ppo``) are
    widened first, so ``algo.n_steps=128`` works on them.

    Args:
        data: of a training run.
        overrides: the texts.
        widen: writes out the short forms of another kind of configuration; `widened` when None.

    Raises:
        UserError: a text without ``=``, or a path through something that is no mapping.
    """
    widen = widen or widened
    wide = widen(data)
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise UserError(f"Expected key=value, for example steps=1000, got {text!r}.")
        *parents, leaf = path.split(".")
        level = wide
        for parent in parents:
            level = level.setdefault(parent, {})
            if not isinstance(level, dict):
                raise UserError(f"{path!r}: {parent!r} holds {level!r}, not a mapping.")
        try:
            level[leaf] = number(yaml.safe_load(value))
        except yaml.YAMLError as error:
            raise UserError(f"{path!r}: {value!r} is not valid YAML.") from error
        # `reward.rnd=0.1` is the short form of a whole term, as in a file.
        wide = widen(wide)
    return wide


def parse_config(data: Mapping[str, Any]) -> TrainConfig:
    """Check plain data and build the configuration.

    Raises:
        UnknownNameError: an unknown key, with the nearest valid one.
        UserError: a value of the wrong kind or out of range.
    """
    data = widened(data)
    known_keys("configuration key", data, [f.name for f in fields(TrainConfig)])
    if "env" not in data:
        raise UserError("A run needs an environment: --env NAME, or env: NAME in the file.")
    reward, cloning = data.get("reward", {}), data.get("behaviour_cloning")
    config = TrainConfig(
        env=build_part(EnvConfig, "env", data["env"], open_options=True),
        algo=build_part(AlgoConfig, "algo", data.get("algo", {}), open_options=True),
        reward={
            name: build_part(TermConfig, f"reward.{name}", term, open_options=True)
            for name, term in reward.items()
        },
        objective={
            name: build_part(PartConfig, f"objective.{name}", part, open_options=True)
            for name, part in data.get("objective", {}).items()
        },
        evaluation=build_part(EvaluationConfig, "evaluation", data.get("evaluation", {})),
        checkpoints=build_part(CheckpointConfig, "checkpoints", data.get("checkpoints", {})),
        behaviour_cloning=None
        if cloning is None
        else build_part(CloningConfig, "behaviour_cloning", cloning),
        diagnostics=build_part(DiagnosticsConfig, "diagnostics", data.get("diagnostics", {})),
        **{
            key: typed_value(key, number(data[key]), TrainConfig)
            for key in (
                "steps",
                "seed",
                "start_from",
                "normalize_observations",
                "device",
                "threads",
            )
            if key in data
        },
    )
    cloned = config.behaviour_cloning
    for name, value, least in (
        ("steps", config.steps, 1 if cloned is None else 0),
        ("seed", config.seed, 0),
        ("threads", config.threads, 1),
        ("env.n_envs", config.env.n_envs, 1),
        ("env.threads", config.env.threads, 1),
        ("algo.update_every", config.algo.update_every, 1),
        ("evaluation.every", config.evaluation.every, 0),
        ("evaluation.episodes", config.evaluation.episodes, 1),
        ("checkpoints.every", config.checkpoints.every, 0),
        ("checkpoints.keep", config.checkpoints.keep, 1),
        ("diagnostics.lipschitz", config.diagnostics.lipschitz, 0),
        ("diagnostics.samples", config.diagnostics.samples, 1),
    ):
        if value is not None and value < least:
            raise UserError(f"{name} must be at least {least}, got {value}.")
    if cloned is not None:
        _check_cloning(cloned)
    return config


def _check_cloning(config: CloningConfig) -> None:
    for name, least in (("episodes", 1), ("epochs", 1), ("batch_size", 1), ("patience", 1)):
        value = getattr(config, name)
        if value is not None and value < least:
            raise UserError(f"behaviour_cloning.{name} must be at least {least}, got {value}.")
    for name, fits, expected in (
        ("learning_rate", config.learning_rate > 0, "above 0"),
        ("weight_decay", config.weight_decay >= 0, "0 or more"),
        ("validation", 0 <= config.validation < 1, "in [0, 1)"),
    ):
        if not fits:
            value = getattr(config, name)
            raise UserError(f"behaviour_cloning.{name} must be {expected}, got {value}.")


def flat_options(part: dict[str, Any]) -> dict[str, Any]:
    """Write the options beside the other keys; a name both have stays apart."""
    options = part.pop("options")
    apart = {key: value for key, value in options.items() if key in part}
    flat = {**part, **{key: value for key, value in options.items() if key not in apart}}
    return {**flat, "options": apart} if apart else flat


def widened(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain configuration data in which every short form is written out.

    ``env: NAME`` becomes ``env: {id: NAME}``, ``reward: {rnd: 0.1}`` a whole term, and so on.
    """
    wide = {str(key): value for key, value in data.items()}
    if isinstance(wide.get("env"), str):
        wide["env"] = {"id": wide["env"]}
    if isinstance(wide.get("algo"), str):
        wide["algo"] = {"name": wide["algo"]}
    if isinstance(wide.get("behaviour_cloning"), str):
        wide["behaviour_cloning"] = {"demonstrations": wide["behaviour_cloning"]}
    if wide.get("behaviour_cloning", {}) is None:
        del wide["behaviour_cloning"]
    for part in ("env", "algo", "evaluation", "checkpoints", "behaviour_cloning", "diagnostics"):
        if part in wide:
            wide[part] = dict(as_mapping(part, wide[part]))
    if "objective" in wide:
        parts = as_mapping("objective", wide["objective"] or {})
        wide["objective"] = {str(name): _wide_part(str(name), part) for name, part in parts.items()}
    if "reward" in wide:
        terms = as_mapping("reward", wide["reward"] or {})
        wide["reward"] = {str(name): _wide_term(str(name), term) for name, term in terms.items()}
    return wide


def _wide_term(name: str, term: Any) -> dict[str, Any]:
    if isinstance(term, Mapping) and len(term) == 1 and next(iter(term)) in (
        "linear", "exponential", "decay",
    ):  # fmt: skip
        term = {"weight": dict(term)}
    if not isinstance(term, Mapping):
        term = {"weight": number(term)}
    wide = dict(term)
    wide.setdefault("use", name)
    if "weight" in wide:
        wide["weight"] = number(wide["weight"])
    return wide


def _wide_part(name: str, part: Any) -> dict[str, Any]:
    if part is None:
        part = {}
    wide = dict(part) if isinstance(part, Mapping) else {"weight": number(part)}
    return {"use": name, **wide}


def build_part(
    kind: type, place: str, data: Mapping[str, Any], *, open_options: bool = False
) -> Any:
    """Build one dataclass of a configuration from plain data.

    Args:
        kind: the dataclass; its fields without a default are required.
        place: where the data stands, for errors.
        data: its fields.
        open_options: unknown keys become its ``options`` instead of an error.

    Raises:
        UnknownNameError: an unknown key.
        UserError: a value of the wrong kind, or a required one is missing.
    """
    data = dict(as_mapping(place, data))
    names = [f.name for f in fields(kind) if f.name != "options"]
    known = {key: number(value) for key, value in data.items() if key in names}
    rest = {key: value for key, value in data.items() if key not in names}
    if open_options:
        options = dict(as_mapping(f"{place}.options", rest.pop("options", None) or {}))
        known["options"] = {str(key): number(value) for key, value in {**options, **rest}.items()}
    else:
        known_keys(f"key in {place}", rest, names)
    required = [
        f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING
    ]
    for key in required:
        if key not in known:
            raise UserError(f"{place} needs {key!r}.")
    for key, value in known.items():
        if key not in ("options", "weight"):
            known[key] = typed_value(f"{place}.{key}", value, kind, key)
    return kind(**known)


_KINDS = {
    "int": (int,), "int | None": (int, type(None)), "str": (str,), "bool": (bool,),
    "str | None": (str, type(None)), "bool | None": (bool, type(None)), "float": (float, int),
    "float | None": (float, int, type(None)),
}  # fmt: skip


def typed_value(place: str, value: Any, kind: type, name: str | None = None) -> Any:
    """Check one value against the field's annotation; integral floats pass as integers.

    Args:
        place: where it stands, for errors.
        value: what was given.
        kind: the dataclass.
        name: of its field; ``place`` when None.

    Raises:
        UserError: a value of another kind.
    """
    annotation = {f.name: str(f.type) for f in fields(kind)}[name or place]
    allowed = _KINDS[annotation]
    if int in allowed and isinstance(value, float) and value.is_integer():
        value = int(value)
    wrong_bool = isinstance(value, bool) and bool not in allowed
    if not isinstance(value, allowed) or wrong_bool:
        raise UserError(
            f"{place} must be {annotation.replace(' | None', ' or null')}, got {value!r}."
        )
    return value


def known_keys(what: str, data: Mapping[str, Any], valid: Iterable[str]) -> None:
    """Refuse keys that are none of the valid ones.

    Raises:
        UnknownNameError: such a key, with the nearest valid one.
    """
    valid = list(valid)
    for key in data:
        if key not in valid:
            raise UnknownNameError(what, str(key), valid)


def as_mapping(place: str, value: Any) -> Mapping[str, Any]:
    """Return the value when it is a mapping.

    Raises:
        UserError: it is none.
    """
    if not isinstance(value, Mapping):
        raise UserError(f"{place} must be a mapping, got {value!r}.")
    return value


def number(value: Any) -> Any:
    """Return a text like ``1e5``, which YAML 1.1 leaves as one, as a number; others as they are."""
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return value
        if not math.isfinite(number):
            return value
        return int(number) if number.is_integer() and "." not in value else number
    return value
