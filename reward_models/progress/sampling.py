"""Pairs of moments to learn hops from: large and small ones alike, and some without progress."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from reward_models.errors import UserError
from reward_models.progress.labels import SCORE_BINS, hop_labels, score_bins

GAP_BINS = 4
"""Bins of the distance in time inside each bin of scores."""

_MOST_CANDIDATES = 100_000
_OVERSAMPLING = 100
_ZERO_SHIFT = 0.075


@dataclass(frozen=True)
class Pairs:
    """Pairs of frames of one demonstration with their labels.

    Attributes:
        before: frame numbers ``[N]``.
        after: frame numbers ``[N]``.
        hop: labels in [-1, 1], ``[N]``.
    """

    before: Int[Tensor, " N"]
    after: Int[Tensor, " N"]
    hop: Float[Tensor, " N"]

    def __len__(self) -> int:
        return len(self.hop)


def all_pairs(sampled: np.ndarray) -> Pairs:
    """Return every ordered pair of different moments; ``sampled`` are their frames, ``[M + 1]``."""
    moments = torch.arange(len(sampled))
    before, after = (grid.flatten() for grid in torch.meshgrid(moments, moments, indexing="ij"))
    return _labelled(sampled, before[before != after], after[before != after])


def balanced_pairs(sampled: np.ndarray, count: int, generator: np.random.Generator) -> Pairs:
    """Return ordered pairs of different moments, balanced over hops and over distances in time.

    Each of the 25 bins of scores gets the same quota (what is left over goes to the middle ones),
    and inside a bin each of four equal ranges of ``|q - p|`` the same (what is left over to the
    fullest). What a range lacks is filled up from its bin, and what a bin lacks from anywhere; no
    pair comes twice.

    Args:
        sampled: frames of the moments, ``[M + 1]``.
        count: pairs wanted; of short demonstrations all that there are.
        generator: what is drawn from. Candidates are at most 100 per wanted pair, and 100,000.

    Raises:
        UserError: no pair wanted, or fewer than two moments.
    """
    if count < 1 or len(sampled) < 2:
        raise UserError(
            f"Expected at least one pair of at least 2 moments, got {count} and {len(sampled)}."
        )
    moments = len(sampled)
    number = moments * (moments - 1)
    most = min(_MOST_CANDIDATES, _OVERSAMPLING * count)
    chosen = generator.permutation(number) if number <= most else _distinct(number, most, generator)
    before, rest = np.divmod(chosen, moments - 1)
    after = rest + (rest >= before)
    hops = hop_labels(torch.as_tensor(before), torch.as_tensor(after), moments - 1)
    bins = score_bins(hops).numpy()
    gaps = np.minimum((np.abs(after - before) - 1) * GAP_BINS // (moments - 1), GAP_BINS - 1)
    picked = _quotas(bins, gaps, min(count, len(chosen)))
    return _labelled(sampled, torch.as_tensor(before[picked]), torch.as_tensor(after[picked]))


def zero_pairs(
    sampled: np.ndarray, frames: int, count: int, generator: np.random.Generator
) -> Pairs:
    """Return pairs without progress: a moment and a frame beside it, labelled 0.

    The second frame is 7.5 % of the way to the neighbouring moment away, at least one frame. Where
    neighbours are one frame apart, that frame would be real progress, so the moment itself is
    taken.

    Args:
        sampled: frames of the moments, ``[M + 1]``.
        frames: frames of the demonstration.
        count: pairs.
        generator: what is drawn from.
    """
    index = generator.integers(len(sampled), size=count)
    sign = generator.choice([-1, 1], size=count)
    neighbour = np.clip(index + sign, 0, len(sampled) - 1)
    distance = np.abs(sampled[neighbour] - sampled[index])
    shift = np.maximum(np.floor(_ZERO_SHIFT * distance).astype(np.int64), 1)
    after = np.clip(sampled[index] + sign * np.where(distance > 1, shift, 0), 0, frames - 1)
    before = torch.as_tensor(sampled[index])
    return Pairs(before, torch.as_tensor(after), torch.zeros(count))


def training_pairs(
    sampled: np.ndarray,
    frames: int,
    generator: np.random.Generator,
    *,
    count: int | None = None,
    zero_ratio: float = 0.05,
) -> Pairs:
    """Return what a model learns from one demonstration: pairs with hops and ``zero_pairs``.

    Args:
        sampled: frames of the moments, ``[M + 1]``.
        frames: frames of the demonstration.
        generator: what is drawn from.
        count: pairs with hops, balanced; None takes all of them.
        zero_ratio: share of pairs without progress in the whole, in [0, 1).

    Raises:
        UserError: a number out of its range.
    """
    if not 0.0 <= zero_ratio < 1.0:
        raise UserError(f"zero_ratio must lie in [0, 1), got {zero_ratio}.")
    moving = all_pairs(sampled) if count is None else balanced_pairs(sampled, count, generator)
    still = round(len(moving) * zero_ratio / (1.0 - zero_ratio))
    zero = zero_pairs(sampled, frames, still, generator)
    return Pairs(
        *(
            torch.cat([getattr(part, name) for part in (moving, zero)])
            for name in ("before", "after", "hop")
        )
    )


def reference_episodes(
    episode: np.ndarray,
    task: np.ndarray,
    generator: np.random.Generator,
    *,
    swap_probability: float = 0.75,
) -> np.ndarray:
    """Return the episode whose first and last frames are the references of each pair.

    References say what the task is; taken from the pair's own episode every time, a model could
    compare frames instead. So they mostly come from another episode of the same task, where there
    is one.

    Args:
        episode: episode of each pair, int64 ``[N]``.
        task: task of each episode, ``[E]``.
        generator: what is drawn from.
        swap_probability: in [0, 1].

    Raises:
        UserError: a probability out of its range.
    """
    if not 0.0 <= swap_probability <= 1.0:
        raise UserError(f"swap_probability must lie in [0, 1], got {swap_probability}.")
    chosen = np.array(episode)
    swapped = generator.random(len(chosen)) < swap_probability
    for index in np.flatnonzero(swapped).tolist():
        own = chosen[index]
        others = np.flatnonzero((task == task[own]) & (np.arange(len(task)) != own))
        if len(others):
            chosen[index] = generator.choice(others)
    return chosen


def _labelled(sampled: np.ndarray, before: Tensor, after: Tensor) -> Pairs:
    frames = torch.as_tensor(sampled)
    return Pairs(frames[before], frames[after], hop_labels(before, after, len(sampled) - 1))


def _distinct(number: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """Return ``count`` different numbers below ``number``, without listing all of them."""
    found = np.zeros(0, dtype=np.int64)
    while len(found) < count:
        found = np.unique(np.concatenate([found, generator.integers(number, size=2 * count)]))
    return generator.permutation(found)[:count]


def _quotas(bins: np.ndarray, gaps: np.ndarray, count: int) -> np.ndarray:
    """Return which candidates, which come in random order, are taken."""
    middle = sorted(range(SCORE_BINS), key=lambda each: abs(each - SCORE_BINS // 2))
    share, left = divmod(count, SCORE_BINS)
    taken = np.zeros(len(bins), dtype=bool)
    for score in range(SCORE_BINS):
        quota = share + (score in middle[:left])
        rows = [np.flatnonzero((bins == score) & (gaps == gap)) for gap in range(GAP_BINS)]
        fullest = sorted(range(GAP_BINS), key=lambda gap: -len(rows[gap]))
        part, extra = divmod(quota, GAP_BINS)
        for gap in range(GAP_BINS):
            taken[rows[gap][: part + (gap in fullest[:extra])]] = True
        own = bins == score
        short = quota - int(taken[own].sum())
        taken[np.flatnonzero(own & ~taken)[:short]] = True
    missing = count - int(taken.sum())
    taken[np.flatnonzero(~taken)[:missing]] = True
    return np.flatnonzero(taken)
