"""A task with several right answers, in which entropy could stay and does not.

Six prompts; an answer has five positions of sixteen tokens, four of which are right, and is worth 1
when every position is right. The policy is one free table of logits, so that the probability of
being right is known exactly. Run by ``experiments/bars/policy-gradients.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ctrl.objectives.aggregation import aggregate, spread
from ctrl.objectives.entropy import entropy_of
from ctrl.objectives.group_advantages import group_advantages, leave_one_out_advantages
from ctrl.objectives.token_losses import clipped_loss
from reward_models.errors import UnknownNameError

PROMPTS, POSITIONS, TOKENS, RIGHT = 6, 5, 16, 4
ESTIMATORS = ("grpo", "dr_grpo", "rloo")


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train once and return the exact probability of a right answer and the entropy.

    Args:
        settings: ``estimator`` (one of ``ESTIMATORS``), ``low`` and ``high`` (clip widths),
            ``aggregation``, ``learning_rate``, ``group`` (answers per prompt), ``iterations``,
            ``updates`` (of all answers, per iteration).
        seed: of the table, the right tokens and the samples.

    Returns:
        ``success`` and ``entropy`` (nats; mean over prompts and positions) at the end, both at the
        ``start``, and their curves over iterations.
    """
    if settings["estimator"] not in ESTIMATORS:
        raise UnknownNameError("estimator", settings["estimator"], ESTIMATORS)
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(PROMPTS, POSITIONS, TOKENS, generator=generator).argsort(-1)
    right = torch.zeros(order.shape, dtype=torch.bool).scatter(-1, order[..., :RIGHT], True)
    noise = 0.5 * torch.randn(order.shape, generator=generator)
    table = (1.5 * right + noise).requires_grad_()
    optimizer = torch.optim.SGD([table], lr=settings["learning_rate"])
    group = torch.arange(PROMPTS).repeat_interleave(settings["group"])
    mask = torch.ones(POSITIONS, len(group), dtype=torch.bool)
    rows: list[tuple[float, float]] = [_measured(table, right)]
    for _ in range(settings["iterations"]):
        logits = table.detach()[group].transpose(0, 1)  # [T, B, V]
        flat = torch.softmax(logits, -1).reshape(-1, TOKENS)
        tokens = torch.multinomial(flat, 1, generator=generator).reshape(mask.shape)
        old = _log_prob(logits, tokens)
        correct = right[group].transpose(0, 1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1).all(0)
        advantage = spread(_advantages(settings["estimator"], correct.float(), group), mask)
        for _ in range(settings["updates"]):
            log_prob = _log_prob(table[group].transpose(0, 1), tokens)
            widths = {"low": settings["low"], "high": settings["high"]}
            loss, _ = clipped_loss(log_prob, old, advantage, mask, **widths)
            optimizer.zero_grad()
            aggregate(loss, mask, settings["aggregation"], length=POSITIONS).backward()
            optimizer.step()
        rows.append(_measured(table, right))
    steps = list(range(len(rows)))
    success, entropy = (list(column) for column in zip(*rows, strict=True))
    return {
        "success": success[-1],
        "entropy": entropy[-1],
        "start_success": success[0],
        "start_entropy": entropy[0],
        "curves": {"success": [steps, success], "entropy": [steps, entropy]},
    }


def _log_prob(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return torch.log_softmax(logits, -1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)


def _advantages(name: str, returns: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    if name == "rloo":
        return leave_one_out_advantages(returns, group)
    return group_advantages(returns, group, scale="group" if name == "grpo" else "none")


def _measured(table: torch.Tensor, right: torch.Tensor) -> tuple[float, float]:
    with torch.no_grad():
        correct = torch.where(right, torch.softmax(table, -1), 0.0).sum(-1).prod(-1)
        return float(correct.mean()), float(entropy_of(table).mean())
