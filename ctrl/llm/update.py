"""One rollout's optimiser steps: minibatches of whole sequences, cut into micro-batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from ctrl.llm.advantages import Estimate
from ctrl.llm.config import LanguageConfig
from ctrl.llm.policy import LanguagePolicy, TokenOutput
from ctrl.llm.sequences import Sequences
from ctrl.objectives.aggregation import Counts, aggregate
from ctrl.objectives.hooks import PolicyOutput, Source
from ctrl.objectives.kl import kl_estimate
from ctrl.objectives.objective import Objective
from ctrl.objectives.token_losses import (
    TokenLoss,
    clipped_loss,
    clipped_value_loss,
    clipped_weight_loss,
    reinforce_loss,
    sequence_clipped_loss,
)
from reward_models.errors import TrainingError
from reward_models.rollout import Rollout


@dataclass(frozen=True)
class Batch:
    """All that the update of one rollout needs, one column per episode.

    Attributes:
        sequences: tokens, ``[L, B]``.
        rollout: the record of tokens, ``[T, B]``; with ``ref_log_prob`` where a term reads it.
        rewards: of tokens, ``[T, B]``.
        estimate: advantages and returns.
        keep: tokens that the loss is over, ``[T, B]``.
    """

    sequences: Sequences
    rollout: Rollout
    rewards: Tensor
    estimate: Estimate
    keep: Bool[Tensor, "T B"]


def update_policy(
    batch: Batch,
    *,
    config: LanguageConfig,
    policy: LanguagePolicy,
    forward: Callable[..., Any],
    backward: Callable[[Tensor], None],
    optimizer: torch.optim.Optimizer,
    objective: Objective,
    generator: torch.Generator,
    total: Callable[[Tensor], Tensor] = lambda count: count,
) -> dict[str, float]:
    """Do ``epochs`` x ``minibatches`` optimiser steps and return mean metrics.

    The gradient of a minibatch is the same however it is cut into micro-batches: sums over tokens
    are divided by the whole minibatch's counts. Loss terms of the objective are means over what
    they are given, so they are weighted by its share of the kept tokens.

    Args:
        batch: the rollout.
        config: the learner.
        policy: being trained.
        forward: of the policy, through whatever shares gradients between processes.
        backward: of a loss.
        optimizer: of the policy and the objective.
        objective: loss terms.
        generator: draws the order of episodes.
        total: sums a count over processes.

    Raises:
        TrainingError: the gradient is not finite.
        ObjectiveError: a loss term broke its contract.
    """
    metrics: dict[str, list[float]] = defaultdict(list)
    columns = batch.sequences.B
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    size = columns // config.minibatches
    for _ in range(config.epochs):
        order = torch.randperm(columns, generator=generator)
        for chosen in order.split(size):
            kept = batch.keep[:, chosen]
            counts = _counts(kept, total)
            if not counts.tokens:
                continue
            optimizer.zero_grad(set_to_none=True)
            for part in chosen.split(config.micro_batch or size):
                loss, found = _loss(part, batch, config, policy, forward, objective, counts)
                backward(loss)
                share = float(batch.keep[:, part].sum()) / max(float(kept.sum()), 1.0)
                for name, (number, summed) in found.items():
                    metrics[name].append(number if summed else number * share)
                metrics["train/loss"].append(float(loss.detach()))
            norm = torch.nn.utils.clip_grad_norm_(parameters, config.max_grad_norm)
            if not bool(norm.isfinite()):
                raise TrainingError(
                    f"The gradient has norm {float(norm)}. Lower algo.learning_rate, or look at "
                    "the scale of the rewards."
                )
            optimizer.step()
            metrics["train/gradient_norm"].append(float(norm))
    steps = max(len(metrics.get("train/gradient_norm", ())), 1)
    # Parts of one minibatch add up; minibatches are averaged.
    return {name: sum(numbers) / steps for name, numbers in metrics.items()}


def _counts(kept: Tensor, total: Callable[[Tensor], Tensor]) -> Counts:
    own = Counts.of(kept)
    summed = total(torch.tensor([own.tokens, own.sequences, own.rows]))
    return Counts(*(int(number) for number in summed))


def _loss(  # noqa: PLR0917 - what a loss is made of
    part: Tensor, batch: Batch, config: LanguageConfig, policy: LanguagePolicy,
    forward: Callable[..., Any], objective: Objective, counts: Counts,
) -> tuple[Tensor, dict[str, tuple[float, bool]]]:  # fmt: skip
    """Return the loss of some columns, and metrics with whether they are sums already."""
    sequences = batch.sequences.columns(part)
    length = sequences.mask.shape[0]

    def cut(values: Tensor) -> Tensor:
        return values[:length, part].to(policy.device)

    keep = cut(batch.keep)
    output = policy.evaluate(sequences, forward=forward)
    old, advantage = cut(batch.rollout["log_prob"]), cut(batch.estimate.advantage)
    per_token, found = _token_loss(config, output, old, advantage, keep)

    def summed(values: Tensor) -> Tensor:
        return aggregate(
            values, keep, mode=config.aggregation, counts=counts, length=config.max_new_tokens
        )

    loss = summed(per_token)
    metrics = {f"train/{name}": (float(value), False) for name, value in found.items()}
    metrics["train/policy_loss"] = (float(loss.detach()), True)
    entropy = torch.where(keep, output.entropy.detach(), 0.0).sum() / counts.tokens
    metrics["train/entropy"] = (float(entropy), True)
    if config.kl_weight and config.kl_as == "loss":
        divergence = summed(
            kl_estimate(
                output.log_prob, cut(batch.rollout["ref_log_prob"]), keep,
                estimator=config.kl_estimator,
            )
        )  # fmt: skip
        loss = loss + config.kl_weight * divergence
        metrics["train/kl"] = (float(divergence.detach()), True)
    if batch.estimate.returns is not None and output.value is not None:
        errors = clipped_value_loss(
            output.value, cut(batch.rollout["value"]), cut(batch.estimate.returns), keep,
            clip=config.value_clip,
        )  # fmt: skip
        critic = torch.where(keep, errors, 0.0).sum() / counts.tokens
        loss = loss + config.value_weight * critic
        metrics["train/value_loss"] = (float(critic.detach()), True)
    if len(objective.terms):
        extra, numbers = objective.loss(
            batch.rollout.columns(part).first(length), _policy_output(part, batch, policy, output)
        )
        share = float(keep.sum()) / counts.tokens
        loss = loss + share * extra
        metrics.update({f"objective/{name}": (n, False) for name, n in numbers.items()})
    return loss, metrics


def _token_loss(
    config: LanguageConfig, output: TokenOutput, old: Tensor, advantage: Tensor, keep: Tensor
) -> TokenLoss:
    widths = {
        name: value
        for name, value in (("low", config.low), ("high", config.high))
        if value is not None
    }
    if config.loss == "reinforce":
        return reinforce_loss(output.log_prob, advantage, keep)
    if config.loss == "sequence_clip":
        return sequence_clipped_loss(output.log_prob, old, advantage, keep, **widths)
    if config.loss == "clipped_weight":
        return clipped_weight_loss(output.log_prob, old, advantage, keep, **widths)
    return clipped_loss(output.log_prob, old, advantage, keep, dual=config.dual, **widths)


def _policy_output(
    part: Tensor, batch: Batch, policy: LanguagePolicy, output: TokenOutput
) -> PolicyOutput:
    time = torch.arange(output.log_prob.shape[0]).unsqueeze(1).expand(output.log_prob.shape)
    column = part.unsqueeze(0).expand(output.log_prob.shape)
    return PolicyOutput(
        log_prob=output.log_prob,
        entropy=output.entropy,
        value=output.value,
        policy=policy,
        source=Source(
            rollout=batch.rollout, observation=batch.rollout.observation, total=batch.rewards,
            time=time, column=column,
        ),
        tag=output.tag,
        compute_logits=lambda: output.logits,
        compute_hidden=lambda: output.hidden,
    )  # fmt: skip
