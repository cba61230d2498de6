"""Heuristic rewards for classic control, good and misleading, as plain functions.

They are the hints whose use is to be learned: a method that blends them with the task reward should
profit from the good ones and outgrow the misleading ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

_NO_PUSH = 1  # of MountainCar-v0: 0 pushes to the left, 2 to the right
_GOAL = 0.5  # position of its flag


def mountain_car_goal(next_observation: Tensor) -> Tensor:
    """Sparse task of ``MountainCar-v0``; give ``task`` the weight 0 beside it.

    Args:
        next_observation: ``[T, B, 2]``, position and velocity.

    Returns:
        1 on the step that reaches the flag, else 0, ``[T, B]``.
    """
    position, velocity = next_observation.unbind(-1)
    return ((position >= _GOAL) & (velocity >= 0)).to(next_observation.dtype)


def mountain_car_swing(observation: Tensor, action: Tensor) -> Tensor:
    """Push along the motion, a good hint for ``MountainCar-v0``.

    Args:
        observation: ``[T, B, 2]``, position and velocity before the step.
        action: ``[T, B]``: 0 left, 1 none, 2 right.

    Returns:
        +1 where the push has the sign of the velocity, else -1, ``[T, B]``.
    """
    velocity = observation[..., 1]
    agrees = (action.reshape(velocity.shape) - _NO_PUSH) * velocity > 0
    return torch.where(agrees, 1.0, -1.0)


def mountain_car_speed(next_observation: Tensor) -> Tensor:
    """Speed after the step of ``MountainCar-v0``.

    Args:
        next_observation: ``[T, B, 2]``, position and velocity.

    Returns:
        The absolute velocity, ``[T, B]`` in [0, 0.07].
    """
    return next_observation[..., 1].abs()


def cart_pole_controller(observation: Tensor, action: Tensor) -> Tensor:
    """Agree with a controller that balances ``CartPole-v1``: a good hint.

    Args:
        observation: ``[T, B, 4]`` before the step, see `balancing_push`.
        action: ``[T, B]``: 0 left, 1 right.

    Returns:
        +5 where the action is the controller's, else -1, ``[T, B]``.
    """
    return torch.where(_agrees(observation, action), 5.0, -1.0)


def cart_pole_misleading(observation: Tensor, action: Tensor) -> Tensor:
    """Disagree with a controller that balances ``CartPole-v1``: a bad hint.

    Args:
        observation: ``[T, B, 4]`` before the step, see `balancing_push`.
        action: ``[T, B]``: 0 left, 1 right.

    Returns:
        -1 where the action is the controller's, else 0, ``[T, B]``.
    """
    return torch.where(_agrees(observation, action), -1.0, 0.0)


def balancing_push(observation: Tensor) -> Tensor:
    """Return the action of a proportional-derivative controller for ``CartPole-v1``.

    It pushes to the side to which ``angle + 0.5 angular velocity + 0.05 position + 0.1 velocity``
    points, which balances the pole for 500 steps from every start.

    Args:
        observation: ``[..., 4]``: position, velocity, angle (radians), angular velocity.

    Returns:
        0 (left) or 1 (right), int64 ``[...]``.
    """
    position, velocity, angle, rate = observation.unbind(-1)
    return (angle + 0.5 * rate + 0.05 * position + 0.1 * velocity > 0).long()


def _agrees(observation: Tensor, action: Tensor) -> Tensor:
    push = balancing_push(observation)
    return action.reshape(push.shape) == push
