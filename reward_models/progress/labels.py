"""The hop: relative progress between two moments of a demonstration, as number, text and bin."""

from __future__ import annotations

import re
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from reward_models.errors import UserError

SCORE_BINS = 25
"""Number of equal bins that cut the scores in [-100, 100]."""

_SCORE = re.compile(r"<score>\s*([+-]?\d+(?:\.\d+)?)\s*%?\s*</score>")


def hop_labels(
    before: Int[Tensor, " N"], after: Int[Tensor, " N"], last: Int[Tensor, " N"] | int
) -> Float[Tensor, " N"]:
    """Return the share of the remaining way that lies between two sampled moments.

    With ``p`` before, ``q`` after, of the moments ``0 .. M`` of one demonstration:
    ``(q - p) / (M - p)`` forwards, ``(q - p) / p`` backwards, 0 at the same moment (Robo-Dopamine,
    Tan et al. 2025). So +1 reaches the goal from anywhere and -1 returns to the start.

    Args:
        before: p, in [0, M].
        after: q, in [0, M].
        last: M, at least 1, one number or one per pair.

    Returns:
        float32 in [-1, 1].

    Raises:
        UserError: a moment outside of the demonstration.
    """
    p, q = before.to(torch.float64), after.to(torch.float64)
    end = torch.as_tensor(last, dtype=torch.float64).expand_as(p)
    if bool(((p < 0) | (q < 0) | (p > end) | (q > end) | (end < 1)).any()):
        raise UserError(
            "Moments of a demonstration must lie in [0, M] with M at least 1; got before in "
            f"{_range(before)}, after in {_range(after)}, M in {_range(end)}."
        )
    room = torch.where(q > p, end - p, p).clamp_min(1.0)
    return ((q - p) / room).to(torch.float32)


def score_bins(hops: Float[Tensor, " N"]) -> Int[Tensor, " N"]:
    """Return the bin of each hop: 25 equal ones over [-1, 1]; 1 itself falls into the last."""
    percent = hops.to(torch.float64) * 100.0
    # One decimal as in the labels, so that rounding of float32 does not move a border.
    bins = ((percent * 10).round() / 10 + 100.0) // (200.0 / SCORE_BINS)
    return bins.to(torch.int64).clamp(0, SCORE_BINS - 1)


def score_text(hop: float) -> str:
    """Return the answer that a language model gives for a hop: ``<score>+33.0%</score>``."""
    return f"<score>{100.0 * hop:+.1f}%</score>"


@final
class ScoreParser:
    """Reads hops out of the answers of a language model.

    A percentage is clamped to [-100, 100] and divided by 100. An answer without one counts as no
    progress, 0, and is counted.

    Attributes:
        failures: answers so far that held no score.

    Example:
        >>> parser = ScoreParser()
        >>> parser("<score>+12.5%</score>"), parser("no tag"), parser.failures
        (0.125, 0.0, 1)
    """

    def __init__(self) -> None:
        self.failures = 0

    def __call__(self, answer: str) -> float:
        """Return the hop in [-1, 1] of one answer; of several scores the first."""
        found = _SCORE.search(answer)
        if found is None:
            self.failures += 1
            return 0.0
        return max(-100.0, min(100.0, float(found.group(1)))) / 100.0


def _range(values: Tensor) -> str:
    return f"[{float(values.min()):g}, {float(values.max()):g}]" if values.numel() else "[]"
