"""Supervised learning of expert episodes, before reinforcement learning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ctrl.llm.config import WarmUpConfig
from ctrl.llm.policy import LanguagePolicy
from ctrl.llm.sequences import Sequences


def warm_up(
    sequences: Sequences,
    *,
    config: WarmUpConfig,
    policy: LanguagePolicy,
    forward: Callable[..., Any],
    backward: Callable[[Tensor], None],
    generator: torch.Generator,
    max_grad_norm: float = 1.0,
    on_epoch: Callable[[int, float], None] = lambda epoch, loss: None,
) -> list[float]:
    """Minimise the mean of minus the log-probability of the expert's tokens.

    Texts of the environment are not learned. The optimiser is one of its own, so the later one
    begins without its moments.

    Args:
        sequences: expert episodes.
        config: epochs, batch size and learning rate.
        policy: being trained.
        forward: see ``ctrl.llm.update``.
        backward: likewise.
        generator: draws the order.
        max_grad_norm: gradients are clipped to it.
        on_epoch: called after every epoch with its number and mean loss.

    Returns:
        The mean loss of every epoch, in nats per token.
    """
    parameters = [p for p in policy.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=0.0)
    losses: list[float] = []
    for epoch in range(config.epochs):
        sums: list[float] = []
        count = 0
        for chosen in torch.randperm(sequences.B, generator=generator).split(config.batch_size):
            part = sequences.columns(chosen)
            output = policy.evaluate(part, forward=forward)
            tokens = int(part.mask.sum())
            loss = -output.log_prob.sum() / tokens
            optimizer.zero_grad(set_to_none=True)
            backward(loss)
            torch.nn.utils.clip_grad_norm_(parameters, max_grad_norm)
            optimizer.step()
            sums.append(float(loss.detach()) * tokens)
            count += tokens
        losses.append(sum(sums) / count)
        on_epoch(epoch, losses[-1])
    return losses


def draw_tasks(tasks: Sequence[int] | None, count: int, generator: torch.Generator) -> list[int]:
    """Draw task numbers with replacement: of a list, or any below 2**31 when None."""
    if tasks is None:
        return torch.randint(2**31 - 1, (count,), generator=generator).tolist()
    index = torch.randint(len(tasks), (count,), generator=generator).tolist()
    return [int(tasks[i]) for i in index]
