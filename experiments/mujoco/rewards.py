"""Rewards of the MuJoCo experiments, as plain functions."""

from __future__ import annotations

from torch import Tensor

GOAL = 5.0
"""Finish line of ``HalfCheetahGoal-v0`` in metres."""


def progress(observation: Tensor) -> Tensor:
    """Potential of the goal tasks: metres covered, clipped at the finish line.

    Args:
        observation: ``[..., D]``, the x position (metres) first.

    Returns:
        ``[...]``, at most ``GOAL``.
    """
    return observation[..., 0].clamp(max=GOAL)
