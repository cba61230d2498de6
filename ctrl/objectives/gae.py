"""Generalised advantage estimation over tokens and over turns (Schulman et al. 2016)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ctrl.objectives.masked import valid_only
from reward_models.errors import UserError


def generalised_advantages(
    rewards: Float[Tensor, "T B"],
    values: Float[Tensor, "T B"],
    mask: Bool[Tensor, "T B"],
    *,
    gamma: float = 1.0,
    lam: float = 0.95,
    bootstrap: Tensor | None = None,
) -> tuple[Float[Tensor, "T B"], Float[Tensor, "T B"]]:
    """Return advantages and returns of every valid token.

    ``delta_t = r_t + gamma V_{t+1} - V_t``, ``A_t = delta_t + gamma lam A_{t+1}``, ``G_t = A_t +
    V_t``. "Next" is the next valid token: what stands between two of them (an environment's answer)
    is stepped over, with value and advantage carried through.

    Args:
        rewards: ``[T, B]``.
        values: ``V(s_t)``, ``[T, B]``.
        mask: ``[T, B]``.
        gamma: discount per token, in [0, 1].
        lam: in [0, 1]; 1 gives returns minus values, 0 one-step differences.
        bootstrap: ``V`` after the last valid token, ``[B]``: 0 where the episode terminated, the
            value of the final observation where it was truncated. All 0 when None.

    Returns:
        Advantages, not whitened, and returns; both 0 under a false mask.

    Raises:
        UserError: a number out of its range, or shapes that differ.
    """
    for name, number in (("gamma", gamma), ("lam", lam)):
        if not 0.0 <= number <= 1.0:
            raise UserError(f"{name} must lie in [0, 1], got {number}.")
    rewards, values = valid_only(mask, rewards, values)
    after = torch.zeros_like(values[0]) if bootstrap is None else bootstrap.to(values.dtype)
    if after.shape != values.shape[1:]:
        raise UserError(f"bootstrap must be [B] = [{values.shape[1]}], got {list(after.shape)}.")
    advantages, running = torch.zeros_like(values), torch.zeros_like(values[0])
    for t in range(len(values) - 1, -1, -1):
        here = rewards[t] + gamma * after - values[t] + gamma * lam * running
        running = torch.where(mask[t], here, running)
        after = torch.where(mask[t], values[t], after)
        advantages[t] = running
    advantages = torch.where(mask, advantages, 0.0)
    return advantages, advantages + values


def turn_advantages(
    rewards: Float[Tensor, "T B"],
    values: Float[Tensor, "T B"],
    turn: Int[Tensor, "T B"],
    mask: Bool[Tensor, "T B"],
    *,
    gamma: float = 1.0,
    lam: float = 0.95,
    bootstrap: Tensor | None = None,
) -> tuple[Float[Tensor, "T B"], Float[Tensor, "T B"]]:
    """Return the same with a turn as one action, so that discounts count turns, not tokens.

    The reward of a turn is the sum over its tokens, its value the one at its first token; every
    token of a turn gets the turn's advantage and return.

    Args:
        rewards: ``[T, B]``.
        values: ``[T, B]``; only those at the first token of a turn are read.
        turn: number of the turn, never decreasing along a column, ``[T, B]``.
        mask: ``[T, B]``.
        gamma: discount per turn.
        lam: per turn.
        bootstrap: as in `generalised_advantages`.

    Raises:
        UserError: turns that decrease, and as in `generalised_advantages`.
    """
    rewards, values = valid_only(mask, rewards, values)
    before = torch.where(mask, turn, -1).cummax(0).values
    if bool((mask & (turn < before)).any()):
        raise UserError("Expected turn numbers that never decrease along a column.")
    earlier = torch.full_like(before, -1)
    earlier[1:] = before[:-1]
    first = mask & (turn > earlier)
    # One row per turn: the k-th first token of a column is its k-th turn.
    row = (first.cumsum(0) - 1).clamp_min(0)
    count = int(first.sum(0).max()) if first.numel() else 0
    shape = (max(count, 1), rewards.shape[1])
    summed = rewards.new_zeros(shape).scatter_add(0, row, rewards)
    started = values.new_zeros(shape).scatter_add(0, row, torch.where(first, values, 0.0))
    exists = torch.arange(shape[0], device=mask.device).unsqueeze(1) < first.sum(0)
    advantages, returns = generalised_advantages(
        summed, started, exists, gamma=gamma, lam=lam, bootstrap=bootstrap
    )
    tokens = advantages.gather(0, row), returns.gather(0, row)
    return torch.where(mask, tokens[0], 0.0), torch.where(mask, tokens[1], 0.0)
