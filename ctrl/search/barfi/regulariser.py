"""What holds the learned reward near its anchor, and its horizon short."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ctrl.search.barfi.discount import LearnedDiscount
from reward_models.blend.coefficients import BlendCoefficients
from reward_models.errors import UnknownNameError, UserError

ANCHORS = ("primary", "zero")


@final
class Regulariser:
    """``l_r sum_c ||phi_c - anchor_c||_2 + l_g gamma_phi``, taken off the outer objective.

    Plain norms, not squared: one for each coefficient and one for each tensor of hidden layers. The
    gradient of a norm at exactly 0 is 0. With ``anchor="primary"`` (``phi = (0, 1, 0, ...)``, the
    task reward alone) a reward of which nothing is known any more falls back to the task; with
    ``"zero"``, the released code's, it falls back to nothing, and a learner that has found the task
    forgets it.

    Args:
        reward_penalty: ``l_r``, at least 0.
        discount_penalty: ``l_g``, at least 0. Large values make the learner myopic.
        anchor: ``primary`` or ``zero``.

    Raises:
        UnknownNameError: another anchor.
        UserError: a negative penalty or one that is not finite.
    """

    def __init__(
        self,
        *,
        reward_penalty: float = 0.0,
        discount_penalty: float = 0.0,
        anchor: str = "primary",
    ) -> None:
        for name, value in (("reward", reward_penalty), ("discount", discount_penalty)):
            if not 0.0 <= value < float("inf"):
                raise UserError(f"The {name} penalty must be at least 0 and finite, got {value}.")
        if anchor not in ANCHORS:
            raise UnknownNameError("anchor", anchor, ANCHORS)
        self.reward_penalty, self.discount_penalty = reward_penalty, discount_penalty
        self.anchor = anchor

    def __call__(self, coefficients: BlendCoefficients, discount: LearnedDiscount) -> Tensor:
        """Return the penalty, a scalar with a graph."""
        target = torch.zeros(coefficients.count, dtype=torch.float64)
        if self.anchor == "primary":
            target[1] = 1.0
        # torch's norm has the gradient 0 at 0.
        norms = [torch.linalg.vector_norm(offset) for offset in coefficients.offsets(target)]
        penalty = self.reward_penalty * torch.stack(norms).sum()
        return penalty + self.discount_penalty * discount()
