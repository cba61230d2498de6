"""What a number was one step ago in the same episode, across the borders of rollouts."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from reward_models.rollout import Rollout


def previous_in_episode(
    values: Float[Tensor, "T B"],
    rollout: Rollout,
    *,
    remembered: Float[Tensor, " B"],
    fresh: float = 0.0,
) -> Float[Tensor, "T B"]:
    """Return what each step's value was at the step before it.

    Args:
        values: after each step.
        rollout: whose ends and padding they belong to.
        remembered: for the first real step of each column: what a
            `reward_models.curiosity.column_memory.ColumnMemory` reads for this rollout.
        fresh: for the first step of every episode that begins inside the rollout.
    """
    goes_on = torch.zeros_like(rollout.mask)
    goes_on[1:] = rollout.mask[:-1] & ~rollout.done[:-1]
    shifted = torch.empty_like(values)
    shifted[:1], shifted[1:] = fresh, values[:-1]
    before = torch.where(goes_on, shifted, fresh)
    first = rollout.mask & (rollout.mask.cumsum(0) == 1)
    return torch.where(first, remembered.to(before), before)


def last_of_columns(
    values: Float[Tensor, "T B"], rollout: Rollout, *, kept: Float[Tensor, " B"]
) -> Float[Tensor, " B"]:
    """Return the value at the last real step of every column, ``kept`` where it has none."""
    if not rollout.T:
        return kept
    last = rollout.T - 1 - rollout.mask.flip(0).int().argmax(0)
    reached = values[last, torch.arange(rollout.B, device=values.device)]
    return torch.where(rollout.mask.any(0), reached, kept.to(reached))
