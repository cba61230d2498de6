"""Auxiliary rewards, helpful and harmful, and two tasks, as plain functions of the record.

For ``use: experiments/barfi/heuristics.py:NAME``. After the settings of Gupta et al. 2023 (arXiv
2310.19007), section 6.
"""

from __future__ import annotations

import torch
from torch import Tensor

_CARTPOLE_GAINS = (0.0, 0.0, 10.0, 1.0)
"""Of position, velocity, angle (rad) and angular velocity (rad/s): a PD controller of the angle."""


def good(auxiliary_reward_good: Tensor) -> Tensor:
    """Return the helpful auxiliary reward of ``LureCorridor-v0`` or ``GridRegions-v0``."""
    return auxiliary_reward_good


def bad(auxiliary_reward_bad: Tensor) -> Tensor:
    """Return their harmful auxiliary reward."""
    return auxiliary_reward_bad


def agree(observation: Tensor, action: Tensor) -> Tensor:
    """Return +5 where the action is the one of a PD controller of the pole's angle, else -1."""
    return torch.where(_as_controller(observation, action), 5.0, -1.0)


def disagree(observation: Tensor, action: Tensor) -> Tensor:
    """Return -1 where the action is the one of the controller, else 0: misleading."""
    return torch.where(_as_controller(observation, action), -1.0, 0.0)


def _as_controller(observation: Tensor, action: Tensor) -> Tensor:
    gains = torch.tensor(_CARTPOLE_GAINS, dtype=observation.dtype)
    return action == (observation @ gains > 0).to(action.dtype)


def arrived(terminated: Tensor) -> Tensor:
    """Return +1 in the step that ends the task, else 0: the sparse form of ``MountainCar-v0``."""
    return terminated.float()


def along_velocity(observation: Tensor, action: Tensor) -> Tensor:
    """Return +1 for pushing the way the car of ``MountainCar-v0`` rolls, else -1."""
    return torch.where(action - 1 == observation[..., 1].sign().to(action.dtype), 1.0, -1.0)


def against_velocity(observation: Tensor, action: Tensor) -> Tensor:
    """Return +1 for pushing against the way the car rolls, else -1: misleading."""
    return torch.where(action - 1 == -observation[..., 1].sign().to(action.dtype), 1.0, -1.0)


def speed(observation: Tensor) -> Tensor:
    """Return the absolute velocity of ``MountainCar-v0``, in [0, 0.07]."""
    return observation[..., 1].abs()


def control_cost(action: Tensor) -> Tensor:
    """Return ``-0.1 |a|^2``, the control cost of ``HalfCheetah``."""
    return -0.1 * action.square().sum(-1)
