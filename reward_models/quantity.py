"""A quantity of the simulator as a reward, as it is."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.errors import UserError
from reward_models.rollout import Rollout


@final
class Quantity(RewardModel):
    """Pays ``state.<name>``: what the environment reports in ``info`` under that name.

    Args:
        name: of the quantity, one number per step.

    Raises:
        UserError: no name.
    """

    goal_relabelling = True

    def __init__(self, *, name: str) -> None:
        super().__init__()
        if not isinstance(name, str) or not name:
            raise UserError(f"name must be that of a quantity in `state`, got {name!r}.")
        self.name = name
        self.requires = frozenset({f"state.{name}"})

    def forward(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return the quantity after every step.

        Raises:
            UserError: it is more than one number per step.
        """
        value = rollout[f"state.{self.name}"]
        if value.ndim != 2:
            raise UserError(
                f"state.{self.name} must be one number per step, [T, B], got {list(value.shape)}."
            )
        return value.to(torch.float32)
