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


def upright(next_observation: Tensor) -> Tensor:
    """How far the cheetah's torso leans, as a cost.

    A cheetah on its back can slide forwards, and gradient ascent on speed alone often ends there.

    Args:
        next_observation: ``[T, B, 17]`` of ``HalfCheetah-v5``; number 1 is the pitch in radians.

    Returns:
        ``cos(pitch) - 1``, ``[T, B]`` in [-2, 0]: 0 when level, -2 upside down.
    """
    return next_observation[..., 1].cos() - 1.0
