"""Rewards of the MuJoCo experiments, as plain functions."""

from __future__ import annotations

from torch import Tensor


def velocity(x_velocity: Tensor) -> Tensor:
    """Forward speed, the hint of the demo.

    Args:
        x_velocity: metres per second over the step, ``[T, B]``, from the environment's ``info``.

    Returns:
        The same, ``[T, B]``.
    """
    return x_velocity


def progress(observation: Tensor) -> Tensor:
    """Potential of the goal tasks: metres covered.

    Args:
        observation: ``[..., D]``, the x position (metres) first.

    Returns:
        ``[...]``.
    """
    return observation[..., 0]
