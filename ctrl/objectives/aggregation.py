"""From a loss per token to one number, also when a batch is cut into micro-batches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ctrl.objectives.masked import require_valid, valid_only
from reward_models.errors import UnknownNameError, UserError

AGGREGATIONS = (
    "token-mean",
    "seq-mean-token-mean",
    "seq-mean-token-sum",
    "seq-mean-token-sum-norm",
    "dr-grpo",
)


@dataclass(frozen=True)
class Counts:
    """How much a whole batch holds; the denominators of every micro-batch of it.

    Attributes:
        tokens: valid ones.
        sequences: columns with at least one valid token.
        rows: all columns.
    """

    tokens: int
    sequences: int
    rows: int

    @classmethod
    def of(cls, mask: Bool[Tensor, "T B"]) -> Counts:
        """Count a batch."""
        return cls(int(mask.sum()), int(mask.any(0).sum()), mask.shape[1])

    def __add__(self, other: Counts) -> Counts:
        """Return the counts of two batches together."""
        return Counts(
            self.tokens + other.tokens, self.sequences + other.sequences, self.rows + other.rows
        )


def aggregate(
    loss: Float[Tensor, "T B"],
    mask: Bool[Tensor, "T B"],
    mode: str = "token-mean",
    *,
    length: int | None = None,
    counts: Counts | None = None,
) -> Float[Tensor, ""]:
    """Return one number from a loss per token.

    With ``counts`` of the whole batch, the results of its micro-batches sum to the result of the
    batch, and so do their gradients.

    ==========================  ============================================================
    ``token-mean``              sum over tokens / number of tokens (DAPO)
    ``seq-mean-token-mean``     mean over sequences of their mean (GRPO)
    ``seq-mean-token-sum``      mean over sequences of their sum
    ``seq-mean-token-sum-norm`` sum over tokens / ``length``, not divided by the sequences
    ``dr-grpo``                 sum over tokens / (columns x ``length``) (Dr. GRPO)
    ==========================  ============================================================

    Means over sequences leave out columns without a valid token; ``dr-grpo`` counts them.

    Args:
        loss: ``[T, B]``.
        mask: ``[T, B]``.
        mode: one of ``AGGREGATIONS``.
        length: the longest response that is allowed; a constant, not the padded width of the
            batch, or the loss would depend on the batch's longest response.
        counts: of the whole batch; of this one when None.

    Raises:
        UnknownNameError: no such mode.
        UserError: no valid token in the whole batch, or a mode that needs ``length`` and got none.
    """
    if mode not in AGGREGATIONS:
        raise UnknownNameError("aggregation", mode, AGGREGATIONS)
    (loss,) = valid_only(mask, loss)
    if counts is None:
        require_valid(mask)
        counts = Counts.of(mask)
    if mode == "token-mean":
        return loss.sum() / counts.tokens
    if mode == "seq-mean-token-mean":
        return (loss.sum(0) / mask.sum(0).clamp_min(1)).sum() / counts.sequences
    if mode == "seq-mean-token-sum":
        return loss.sum() / counts.sequences
    if length is None or length < 1:
        raise UserError(
            f"{mode} divides by the longest response that is allowed: give length, at least 1, "
            f"got {length}."
        )
    if mode == "dr-grpo":
        return loss.sum() / (counts.rows * length)
    return loss.sum() / length


def spread(values: Float[Tensor, " B"], mask: Bool[Tensor, "T B"]) -> Float[Tensor, "T B"]:
    """Give every valid token of a sequence the sequence's number, 0 elsewhere."""
    return torch.where(mask, values.unsqueeze(0), 0.0)
