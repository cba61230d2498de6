"""The discount of the learned reward, itself a parameter of the outer level."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from reward_models.errors import UserError


@final
class LearnedDiscount(nn.Module):
    """``gamma_phi = sigmoid(g)`` with one number ``g`` (Gupta et al. 2023, section 4).

    Args:
        start: first discount, inside (0, 1); the paper's ``g = 4.6`` gives 0.99005.

    Raises:
        UserError: a start that no finite ``g`` gives.
    """

    def __init__(self, start: float = 0.99) -> None:
        super().__init__()
        if not 0.0 < start < 1.0:
            raise UserError(f"The first learned discount must lie inside (0, 1), got {start}.")
        logit = math.log(start) - math.log1p(-start)
        self.logit = nn.Parameter(torch.tensor(logit, dtype=torch.float64))

    def forward(self) -> Tensor:
        """Return ``gamma_phi``, a scalar with a graph."""
        return torch.sigmoid(self.logit)
