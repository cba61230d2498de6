"""Errors of predicted embeddings, and how those of many predictions become one reward and loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


def unit(vectors: Float[Tensor, "*batch N"]) -> Float[Tensor, "*batch N"]:
    """Return ``v / max(||v||, 1e-8)``."""
    return F.normalize(vectors, dim=-1, eps=1e-8)


def direction_error(
    prediction: Float[Tensor, "*batch N"], target: Float[Tensor, "*batch N"]
) -> Float[Tensor, "*batch"]:
    """Return the squared distance of the directions, ``2 - 2 cos``, in [0, 4]."""
    return (unit(prediction) - unit(target)).square().sum(-1)


def summed_by_outcome(
    errors: Sequence[Float[Tensor, "_ B"]], valid: Sequence[Bool[Tensor, "_ B"]]
) -> Float[Tensor, "T B"]:
    """Return for each transition the sum of the errors of all predictions of its outcome.

    ``l_t = sum of L(p, q) over p + q = t + 1`` (Guo et al. 2022, eq. 3).

    Args:
        errors: one entry for each ``k = 1 .. K``: the errors of predictions ``k`` steps ahead from
            the first ``T - k + 1`` steps.
        valid: which of them count.
    """
    total = torch.zeros_like(errors[0])
    for ahead, (values, counts) in enumerate(zip(errors, valid, strict=True)):
        total[ahead:] += torch.where(counts, values, 0.0)
    return total


def mean_over_starts(
    errors: Sequence[Float[Tensor, "_ B"]], valid: Sequence[Bool[Tensor, "_ B"]]
) -> Float[Tensor, ""]:
    """Return the mean over steps of the mean error of the predictions that start there.

    Each step counts the same however few of its predictions stay inside the episode; steps without
    any are left out. Arguments as in ``summed_by_outcome``.
    """
    steps, columns = errors[0].shape
    total, count = errors[0].new_zeros(steps, columns), errors[0].new_zeros(steps, columns)
    for values, counts in zip(errors, valid, strict=True):
        missing = steps - len(values)
        total = total + F.pad(torch.where(counts, values, 0.0), (0, 0, 0, missing))
        count = count + F.pad(counts.to(values.dtype), (0, 0, 0, missing))
    starts = (count > 0).to(total.dtype)
    return (total / count.clamp_min(1.0)).sum() / starts.sum().clamp_min(1.0)
