"""The same reward at every step: the control that every bonus is compared with."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.errors import UserError
from reward_models.rollout import Rollout


class Constant(RewardModel):
    """A constant per step, which carries no information about the task.

    In episodes that can end early it still changes what is best: a positive constant pays for
    staying alive, a negative one for ending soon.

    Args:
        value: reward per step, finite.
    """

    goal_relabelling = True

    def __init__(self, *, value: float = 1.0) -> None:
        super().__init__()
        if not math.isfinite(value):
            raise UserError(f"value must be finite, got {value}.")
        self.value = float(value)

    def forward(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return the constant at every step."""
        return torch.full_like(rollout.reward, self.value)
