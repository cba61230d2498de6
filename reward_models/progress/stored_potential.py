"""Shaping by a potential that learns: every state keeps the value it had when it was reached."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.curiosity.column_memory import ColumnMemory
from reward_models.errors import UserError
from reward_models.potential import Potential, bound_discount, known_discount, shaping
from reward_models.rollout import Rollout


@final
class StoredPotential(RewardModel):
    """Dynamic potential-based shaping (Devlin and Kudenko 2012) of a potential that changes.

    ``F = gamma * phi_now(s') * (1 - terminated) - phi_then(s)``: the potential of a state is taken
    once, when it is reached. Inside a rollout nothing learns, so only the first step of an episode
    that goes on from the rollout before needs what is remembered. With a potential evaluated anew,
    the sum over an episode would not telescope, and an update in the middle of it would be paid.

    Args:
        potential: what is made dynamic; learns as usual, after the values were remembered.

    Raises:
        UserError: it is no `Potential`, or is not invariant itself.
    """

    replayable = False

    def __init__(self, potential: Potential) -> None:
        super().__init__()
        if not isinstance(potential, Potential):
            raise UserError(f"Expected a Potential, got {type(potential).__name__}.")
        if not potential.invariant:
            raise UserError("A potential with terminal='keep' is not invariant; use 'zero'.")
        self.model = potential
        self.requires, self.task_free = potential.requires, potential.task_free
        self.memory = ColumnMemory(phi=torch.zeros(()))

    def bind_discount(self, gamma: float) -> None:
        """Take over the learner's discount.

        Raises:
            UserError: the potential was built for another one.
        """
        self.model.gamma = bound_discount(self.model, self.model.gamma, gamma)

    def forward(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return the shaping reward of every step."""
        gamma = known_discount(self.model, self.model.gamma)
        before = self.model.potential(rollout.observation).to(torch.float32).clone()
        after = self.model.potential(rollout.next_observation).to(torch.float32)
        if self.memory.columns and rollout.T:
            stored = self.memory.read(rollout)["phi"]
            first = _first_steps(rollout)
            before = torch.where(first & rollout.continued, stored, before)
        return shaping(
            before, after, gamma=gamma, terminated=rollout.terminated,
            action_steps=self.model.action_steps,
        )  # fmt: skip

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Remember the potential where each column arrived, then let the potential learn."""
        if rollout.T:
            with torch.no_grad():
                after = self.model.potential(rollout.next_observation).to(torch.float32)
                kept = self.memory.read(rollout)["phi"]
                last = (rollout.T - 1 - rollout.mask.flip(0).int().argmax(0)).clamp_min(0)
                reached = after[last, torch.arange(rollout.B, device=after.device)]
                self.memory.write(phi=torch.where(rollout.mask.any(0), reached, kept))
        return self.model.update(rollout)


def _first_steps(rollout: Rollout) -> Tensor:
    """Return where each column's first real step is, bool ``[T, B]``."""
    return rollout.mask & (rollout.mask.cumsum(0) == 1)
