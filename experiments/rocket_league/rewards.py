"""Rewards of the Rocket League experiment, as plain functions of the simulator's quantities."""

from __future__ import annotations

import torch
from torch import Tensor

CAR_MAX_SPEED = 2300.0
"""uu/s."""


def approach(car_position: Tensor, car_velocity: Tensor, ball_position: Tensor) -> Tensor:
    """Speed of the car towards the ball.

    Args:
        car_position: uu, ``[T, B, 3]``.
        car_velocity: uu/s, ``[T, B, 3]``.
        ball_position: uu, ``[T, B, 3]``.

    Returns:
        In units of the car's top speed, in [-1, 1], ``[T, B]``.
    """
    return (car_velocity * _direction(car_position, ball_position)).sum(-1) / CAR_MAX_SPEED


def face_ball(car_position: Tensor, car_forward: Tensor, ball_position: Tensor) -> Tensor:
    """Cosine of the angle between the car's nose and the ball, ``[T, B]``.

    Args:
        car_position: uu, ``[T, B, 3]``.
        car_forward: unit vector of the nose, ``[T, B, 3]``.
        ball_position: uu, ``[T, B, 3]``.
    """
    return (car_forward * _direction(car_position, ball_position)).sum(-1)


def touched(touch: Tensor) -> Tensor:
    """1 where the car touched the ball in the step, however often, ``[T, B]``.

    Args:
        touch: touches in the step, ``[T, B]``.
    """
    return (touch > 0).to(torch.float32)


def _direction(start: Tensor, end: Tensor) -> Tensor:
    """Return the unit vector from ``start`` to ``end``, ``[..., 3]``; 0 where they coincide."""
    return torch.nn.functional.normalize(end - start, dim=-1)
