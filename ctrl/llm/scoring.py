"""The mix's rewards of a rollout of episodes, spread over tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ctrl.llm.record import turn_ends
from reward_models.mix import MixedReward, RewardMix, column_metrics
from reward_models.rollout import Rollout


@dataclass(frozen=True)
class Scored:
    """Rewards of the policy's tokens.

    Attributes:
        rewards: total of the mix, on the last token of every turn (or on every token, where the mix
            saw tokens); float32 ``[T, B]``.
        keep: false on tokens that leave every loss, baseline and statistic, ``[T, B]``.
        mixed: the table of terms, in the shape of what the mix saw.
        seen: what the mix saw.
        metrics: numbers to log.
    """

    rewards: Float[Tensor, "T B"]
    keep: Bool[Tensor, "T B"]
    mixed: MixedReward
    seen: Rollout
    metrics: dict[str, float]


def score(mix: RewardMix, tokens: Rollout, turns: Rollout | None, *, steps: int) -> Scored:
    """Let the mix reward a rollout and learn from it.

    Args:
        mix: the reward terms.
        tokens: the record of tokens, ``[T, B]``.
        turns: the record of turns, ``[N, B]``, for a mix that sees turns; None for one of tokens.
        steps: environment steps so far, for schedules.

    Raises:
        RewardError: a term broke its contract.
    """
    seen = tokens if turns is None else turns
    mixed, learned = mix.collect(seen, steps=steps)
    total = torch.where(seen.mask, mixed.total, 0.0).float()
    kept = seen.mask if mixed.keep is None else seen.mask & mixed.keep
    if turns is None:
        rewards, keep = total, kept
    else:
        ends = turn_ends(tokens["turn"], tokens.mask)
        rewards = torch.where(ends, total.gather(0, tokens["turn"]), 0.0)
        keep = tokens.mask & kept.gather(0, tokens["turn"])
    metrics = {f"reward/{key}": value for key, value in column_metrics(mixed, seen.mask).items()}
    metrics.update({f"reward/{key}": value for key, value in learned.items()})
    metrics.update(_returns(mixed, seen))
    return Scored(rewards, keep, mixed, seen, metrics)


def _returns(mixed: MixedReward, seen: Rollout) -> dict[str, float]:
    """Return the mean undiscounted returns of the episodes."""
    parts = torch.where(seen.mask.unsqueeze(-1), mixed.contributions(), 0.0).sum(0).mean(0)
    return {
        "return/task": float(torch.where(seen.mask, seen.reward, 0.0).sum(0).mean()),
        "return/shaped": float(parts.sum()),
        "return/length": float(seen.mask.sum(0).float().mean()),
        **{f"return/term/{n}": float(part) for n, part in zip(mixed.names, parts, strict=True)},
    }
