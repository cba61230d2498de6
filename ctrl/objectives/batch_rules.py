"""Which samples take part, and what too long ones cost: DAPO's rules (Yu et al. 2025)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from reward_models.errors import UserError


def undecided_groups(correct: Bool[Tensor, " B"], group: Int[Tensor, " B"]) -> Bool[Tensor, " B"]:
    """Return which sequences belong to a group with both right and wrong answers.

    Groups that are all right or all wrong have no advantage; dynamic sampling drops them and
    samples on. By correctness, not by shaped reward.

    Args:
        correct: ``[B]``.
        group: prompt id, ``[B]``.
    """
    index = torch.unique(group, return_inverse=True)[1]
    count = torch.zeros(int(index.max()) + 1 if len(index) else 0, device=group.device)
    right = count.index_add(0, index, correct.to(count.dtype))
    all_of_them = count.index_add(0, index, torch.ones_like(correct, dtype=count.dtype))
    return ((right > 0) & (right < all_of_them))[index]


def overlong_penalty(length: Int[Tensor, " B"], *, limit: int, cache: int) -> Float[Tensor, " B"]:
    """Return 0 up to ``limit - cache`` tokens, falling linearly to -1 at ``limit`` and beyond.

    Args:
        length: tokens of each response, ``[B]``.
        limit: the longest response that is allowed.
        cache: over how many tokens before it the penalty grows; in [1, limit].

    Raises:
        UserError: ``cache`` out of its range.
    """
    if not 1 <= cache <= limit:
        raise UserError(f"cache must lie in [1, limit={limit}], got {cache}.")
    return ((limit - cache - length) / cache).clamp(-1.0, 0.0)
