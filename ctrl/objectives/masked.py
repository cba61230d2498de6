"""Means and whitening over the valid entries alone."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from reward_models.errors import UserError


def valid_only(mask: Bool[Tensor, "T B"], *values: Tensor) -> tuple[Tensor, ...]:
    """Return the values with zero wherever the mask is false.

    Done before any arithmetic: a product with a mask, or a selection at the end, would let a NaN of
    the padding through into gradients.

    Args:
        mask: ``[T, B]``.
        *values: ``[T, B]`` each.

    Raises:
        UserError: a shape that differs from the mask's, or a value that is not finite where the
            mask is true.
    """
    found = []
    for value in values:
        if value.shape != mask.shape:
            raise UserError(
                f"Expected every input to have the mask's shape [T, B] = {list(mask.shape)}, "
                f"got {list(value.shape)}."
            )
        chosen = torch.where(mask, value, 0.0)
        if not bool(chosen.detach().isfinite().all()):
            t, b = (int(index) for index in (~chosen.detach().isfinite()).nonzero()[0])
            raise UserError(
                f"Expected finite numbers where the mask is true, got {float(value[t, b])} at "
                f"time {t}, column {b}. Look at the policy's learning rate and at the rewards."
            )
        found.append(chosen)
    return tuple(found)


def require_valid(mask: Bool[Tensor, "T B"]) -> None:
    """Refuse a batch in which nothing is valid.

    Raises:
        UserError: the mask is false everywhere.
    """
    if not bool(mask.any()):
        raise UserError(
            f"Expected at least one valid token in the mask [T, B] = {list(mask.shape)}, got none: "
            "every response is empty or was left out."
        )


def masked_mean(values: Float[Tensor, "T B"], mask: Bool[Tensor, "T B"]) -> Float[Tensor, ""]:
    """Return the mean over valid entries, a scalar; 0 where there are none."""
    (values,) = valid_only(mask, values)
    return values.sum() / mask.sum().clamp_min(1)


def whitened(values: Float[Tensor, "T B"], mask: Bool[Tensor, "T B"]) -> Float[Tensor, "T B"]:
    """Return ``(x - mean) / sqrt(variance + 1e-8)`` over all valid entries, 0 elsewhere.

    The variance is the unbiased one, with ``n - 1``; a single valid entry becomes 0.
    """
    (values,) = valid_only(mask, values)
    count = mask.sum()
    centred = torch.where(mask, values - values.sum() / count.clamp_min(1), 0.0)
    variance = centred.square().sum() / (count - 1).clamp_min(1)
    return centred * torch.rsqrt(variance + 1e-8)


def last_valid(mask: Bool[Tensor, "T B"]) -> Bool[Tensor, "T B"]:
    """Return where each column's last valid entry is; nowhere in columns without one."""
    later = mask.flip(0).cumsum(0).flip(0)
    return mask & (later == 1)


def placed_at_end(reward: Float[Tensor, " B"], mask: Bool[Tensor, "T B"]) -> Float[Tensor, "T B"]:
    """Place one reward per sequence on its last valid token.

    Args:
        reward: of the whole response, ``[B]``.
        mask: ``[T, B]``; a column without a valid token keeps nothing.
    """
    return torch.where(last_valid(mask), reward.unsqueeze(0), 0.0)
