"""Potential-based shaping: hints that cannot change which policy is best."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.errors import UserError
from reward_models.rollout import Rollout


class Potential(RewardModel):
    """Shaping by the difference of a potential (Ng, Harada and Russell 1999).

    ``F(s, s') = gamma * phi(s') * (1 - terminated) - phi(s)``

    The successor's potential is zero on termination and **kept on truncation**: a time limit is no
    state of the task, and the learner bootstraps there. So the shaped return of every episode is
    the task return minus the potential of its first state, with time limits too.

    Args:
        gamma: the learner's discount; None takes it from the mix the model is put into.
    """

    goal_relabelling = True

    def __init__(self, *, gamma: float | None = None) -> None:
        super().__init__()
        if gamma is not None and not 0.0 <= gamma <= 1.0:
            raise UserError(f"gamma must lie in [0, 1], got {gamma}.")
        self.gamma = gamma

    @abstractmethod
    def potential(self, observation: Any) -> Tensor:
        """Return ``phi(observation)``, one number per leading index: ``[...]``."""

    def bind_discount(self, gamma: float) -> None:
        """Take over the learner's discount.

        Raises:
            UserError: the potential was built for another one, which would change the best policy.
        """
        if self.gamma is not None and self.gamma != gamma:
            raise UserError(
                f"{type(self).__name__} was built with gamma={self.gamma}, the learner uses "
                f"gamma={gamma}; shaping is only invariant with the learner's own. "
                "Leave gamma out, or pass the learner's."
            )
        self.gamma = gamma

    def forward(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return the shaping reward of every step."""
        if self.gamma is None:
            raise UserError(
                f"{type(self).__name__} has no gamma: pass gamma=..., or put it into a RewardMix."
            )
        before = self._checked(self.potential(rollout.observation), rollout)
        after = self._checked(self.potential(rollout.next_observation), rollout)
        return self.gamma * torch.where(rollout.terminated, 0.0, after) - before

    def _checked(self, phi: Tensor, rollout: Rollout) -> Tensor:
        if tuple(phi.shape) != (rollout.T, rollout.B):
            raise UserError(
                f"{type(self).__name__}.potential must return one number per step, "
                f"[T, B] = [{rollout.T}, {rollout.B}], got shape {tuple(phi.shape)}."
            )
        return phi.to(torch.float32)


class FunctionPotential(Potential):
    """Potential-based shaping with a plain function as the potential.

    Args:
        function: ``phi(observation [..., D]) -> [...]``; receives a nested ``TensorDict`` where
            observations are dicts.
        gamma: see ``Potential``.
    """

    def __init__(self, function: Any, *, gamma: float | None = None) -> None:
        super().__init__(gamma=gamma)
        if not callable(function):
            raise UserError(
                f"function must be callable as phi(observation), got {type(function).__name__}."
            )
        self.function = function

    def potential(self, observation: Any) -> Tensor:
        """Call the function."""
        return torch.as_tensor(self.function(observation))
