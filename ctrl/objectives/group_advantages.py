"""Advantages from comparing the answers to one prompt: GRPO, Dr. GRPO, RLOO."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from reward_models.errors import UnknownNameError, UserError

SCALES = ("group", "batch", "none")
SINGLETONS = ("zero", "raw")


def group_advantages(
    returns: Tensor,
    group: Tensor,
    *,
    scale: str = "group",
    epsilon: float = 1e-6,
    singleton: str | None = None,
) -> Float[Tensor, " B"]:
    """Return how much better each sequence did than the others of its group.

    ``(R_i - mean_g) / (std_g + epsilon)`` with the sample deviation (``n - 1``): GRPO (Shao et al.
    2024). ``scale="none"`` leaves the division out: Dr. GRPO (Liu et al. 2025). ``"batch"`` divides
    by the deviation of all returns instead.

    A group whose returns are all equal gets exactly 0 (decided by the largest and the smallest
    one, as the rounded deviation of equal numbers need not be 0). A return that is NaN means "could
    not be scored": it is left out of the statistics and gets 0.

    Args:
        returns: one number per sequence, ``[B]``.
        group: prompt id, ``[B]``; any integers.
        scale: ``group``, ``batch`` or ``none``.
        epsilon: added to the deviation.
        singleton: what a group with fewer than two scored sequences gets: ``zero``, or ``raw``, its
            return as it is. There is no baseline, so there is no default.

    Raises:
        UserError: such a group, and nobody said what it gets; shapes that differ; infinities.
        UnknownNameError: no such ``scale`` or ``singleton``.
    """
    if scale not in SCALES:
        raise UnknownNameError("scale", scale, SCALES)
    centred, stats = _centred(returns, group, singleton)
    if scale == "none":
        return centred
    if scale == "batch":
        deviation = _deviation(returns.to(torch.float64), stats.scored)
        divided = centred / (deviation.to(centred.dtype) + epsilon)
    else:
        squares = torch.where(stats.compared, centred.to(torch.float64), 0.0).square()
        total = torch.zeros_like(stats.count).index_add_(0, stats.index, squares)
        deviation = (total / (stats.count - 1).clamp_min(1)).sqrt()[stats.index]
        divided = centred / (deviation.to(centred.dtype) + epsilon)
    return torch.where(stats.compared, divided, centred)


def leave_one_out_advantages(returns: Tensor, group: Tensor) -> Float[Tensor, " B"]:
    """Return ``R_i`` minus the mean of the others in its group: RLOO (Ahmadian et al. 2024).

    Equals ``G / (G - 1)`` times the distance from the group's mean. A group with fewer than two
    scored sequences gets 0; NaN is left out, as in `group_advantages`.

    Args:
        returns: ``[B]``.
        group: prompt id, ``[B]``.

    Raises:
        UserError: shapes that differ, or infinities.
    """
    centred, stats = _centred(returns, group, "zero")
    count = stats.count[stats.index].to(centred.dtype)
    return centred * count / (count - 1).clamp_min(1)


class _Groups:
    """Which group every sequence is in, and what can be compared.

    Attributes:
        index: number of the group, ``[B]``.
        count: scored sequences of each group, float64 ``[groups]``.
        scored: bool ``[B]``, the return is a number.
        compared: bool ``[B]``, scored and not alone.
    """

    def __init__(self, returns: Tensor, group: Tensor) -> None:
        if returns.shape != group.shape or returns.ndim != 1:
            raise UserError(
                "Expected returns and group ids of one shape [B], got "
                f"{list(returns.shape)} and {list(group.shape)}."
            )
        self.scored = ~returns.isnan()
        if bool(returns.isinf().any()):
            raise UserError("Expected finite returns (or NaN: could not be scored), got infinity.")
        self.index = torch.unique(group, return_inverse=True)[1]
        groups = int(self.index.max()) + 1 if len(group) else 0
        zeros = torch.zeros(groups, dtype=torch.float64, device=returns.device)
        self.count = zeros.index_add(0, self.index, self.scored.to(torch.float64))
        self.compared = self.scored & (self.count[self.index] >= 2)


def _centred(
    returns: Tensor, group: Tensor, singleton: str | None
) -> tuple[Float[Tensor, " B"], _Groups]:
    """Return distances from the means of groups, with the rule for lone sequences applied."""
    if singleton is not None and singleton not in SINGLETONS:
        raise UnknownNameError("singleton", singleton, SINGLETONS)
    stats = _Groups(returns, group)
    alone = stats.scored & ~stats.compared
    if singleton is None and bool(alone.any()):
        raise UserError(
            f"{int(alone.sum())} of {len(returns)} sequences are alone in their group, so there is "
            "nothing to compare them with. Sample at least two per prompt, or say "
            "singleton: zero (no gradient) or raw (their return as it is)."
        )
    values = torch.where(stats.scored, returns, 0.0).to(torch.float64)
    zeros = torch.zeros_like(stats.count)
    mean = zeros.index_add(0, stats.index, values) / stats.count.clamp_min(1)
    largest = zeros.scatter_reduce(
        0, stats.index, _or(returns, stats.scored, -torch.inf), "amax", include_self=False
    )
    smallest = zeros.scatter_reduce(
        0, stats.index, _or(returns, stats.scored, torch.inf), "amin", include_self=False
    )
    differ = (largest > smallest)[stats.index]
    centred = torch.where(stats.compared & differ, values - mean[stats.index], 0.0)
    if singleton == "raw":
        centred = torch.where(alone, values, centred)
    return centred.to(returns.dtype), stats


def _or(values: Tensor, valid: Bool[Tensor, " B"], other: float) -> Tensor:
    return torch.where(valid, values, other).to(torch.float64)


def _deviation(values: Tensor, valid: Bool[Tensor, " B"]) -> Tensor:
    chosen = values[valid]
    return chosen.std() if len(chosen) > 1 else torch.zeros((), dtype=values.dtype)
