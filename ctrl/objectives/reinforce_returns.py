"""Returns of every token, whitened over the batch: REINFORCE++ (Hu 2025)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ctrl.objectives.group_advantages import group_advantages
from ctrl.objectives.masked import valid_only, whitened


def token_returns(
    rewards: Float[Tensor, "T B"], mask: Bool[Tensor, "T B"], *, gamma: float = 1.0
) -> Float[Tensor, "T B"]:
    """Return ``G_t = r_t + gamma G_{t+1}`` over the valid tokens of each column, 0 elsewhere.

    Tokens under a false mask between valid ones (an environment's answer) are stepped over without
    a discount.
    """
    (rewards,) = valid_only(mask, rewards)
    returns, running = torch.zeros_like(rewards), torch.zeros_like(rewards[0])
    for t in range(len(rewards) - 1, -1, -1):
        running = torch.where(mask[t], rewards[t] + gamma * running, running)
        returns[t] = running
    return torch.where(mask, returns, 0.0)


def reinforce_plus_plus(
    rewards: Float[Tensor, "T B"], mask: Bool[Tensor, "T B"], *, gamma: float = 1.0
) -> Float[Tensor, "T B"]:
    """Return the whitened returns of tokens.

    Args:
        rewards: of tokens, ``[T, B]``.
        mask: ``[T, B]``.
        gamma: discount per token, in [0, 1].
    """
    return whitened(token_returns(rewards, mask, gamma=gamma), mask)


def reinforce_plus_plus_baseline(
    returns: Float[Tensor, " B"], group: Int[Tensor, " B"], mask: Bool[Tensor, "T B"]
) -> Float[Tensor, "T B"]:
    """Return the distance from the group's mean on every token, whitened over the batch.

    Args:
        returns: of whole sequences, ``[B]``.
        group: prompt id, ``[B]``; lone sequences get the distance 0.
        mask: ``[T, B]``.
    """
    centred = group_advantages(returns, group, scale="none", singleton="zero")
    return whitened(centred.expand(mask.shape), mask)
