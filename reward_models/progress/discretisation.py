"""From the frames of a demonstration to the moments that its progress is counted in."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from reward_models.errors import UnknownNameError, UserError

_ROUNDINGS: dict[str, Callable[[float], int]] = {"release": round, "paper": math.floor}


def sampled_frames(
    frames: int,
    *,
    segments: Sequence[tuple[int, int]] | None = None,
    factor: int = 20,
    parity: str = "release",
) -> np.ndarray:
    """Return the frames of a demonstration that its progress is counted in (step-wise sampling).

    Every one of the ``N`` annotated segments gets the same number of moments, so that a short
    delicate phase counts as much as a long transport. With ``L`` frames from the first start to the
    last end, ``n = L / factor`` moments are wanted, ``m = n / N`` per segment, and in each segment
    ``max(2, m + 1)`` frames are taken, equally spaced with both ends. Their sorted union are the
    moments ``0 .. M``, and the progress at moment ``i`` is ``i / M``.

    Args:
        frames: frames of the demonstration, at least 2.
        segments: first and last frame of each segment, in order; None takes the whole
            demonstration as one. What lies outside of the frames is cut off.
        factor: frames per moment, at least 1.
        parity: ``m`` is rounded as in the authors' ``release`` (to the nearest) or as in the
            ``paper`` (down). The default is the release, which made the published models.

    Returns:
        int64 ``[M + 1]``, rising, at least two.

    Raises:
        UserError: too few frames, or segments that cannot be used.
        UnknownNameError: no such ``parity``.
    """
    if parity not in _ROUNDINGS:
        raise UnknownNameError("parity", parity, _ROUNDINGS)
    if frames < 2 or factor < 1:
        raise UserError(
            f"Expected at least 2 frames and a factor of at least 1, got {frames} and {factor}."
        )
    cuts = [(0, frames - 1)] if not segments else list(segments)
    if any(end <= start for start, end in cuts):
        raise UserError(f"Every segment must end after it starts, got {cuts}.")
    wanted = (cuts[-1][1] - cuts[0][0]) / factor
    count = max(2, _ROUNDINGS[parity](wanted / len(cuts)) + 1)
    found = np.concatenate([np.rint(np.linspace(start, end, count)) for start, end in cuts])
    found = np.unique(found.astype(np.int64))
    found = found[(found >= 0) & (found < frames)]
    if len(found) < 2:
        raise UserError(f"The segments {cuts} leave fewer than two of the {frames} frames.")
    return found


def segments_between(keyframes: Sequence[int]) -> list[tuple[int, int]]:
    """Return the segments between neighbouring keyframes, the first and last frame among them.

    Example:
        >>> segments_between([0, 7, 9, 17])
        [(0, 7), (7, 9), (9, 17)]
    """
    return list(itertools.pairwise(keyframes))


def frame_progress(frames: int, sampled: np.ndarray) -> np.ndarray:
    """Return the progress of every frame in [0, 1]: ``i / M`` at moment i, linear in between.

    Args:
        frames: frames of the demonstration.
        sampled: what `sampled_frames` returned.

    Returns:
        float64 ``[frames]``; 0 before the first moment and 1 after the last.
    """
    values = np.arange(len(sampled)) / (len(sampled) - 1)
    return np.interp(np.arange(frames), sampled, values)
