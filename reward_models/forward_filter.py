"""A reward's running discounted sum in place of the reward itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from reward_models.base import Order, RewardModel, as_reward_model, checked_output
from reward_models.curiosity.column_memory import ColumnMemory
from reward_models.errors import UserError
from reward_models.rollout import Rollout


class ForwardFilter(RewardModel):
    """``R <- discount * R + r`` of a child's reward, along each column.

    The value of a step is ``R`` after it: an exponential average of what the child paid up to
    here, without the factor ``1 - discount``. It smooths a bonus that comes in single spikes, and
    pays for having found something also on the steps after it. ``R`` starts at 0 and goes on
    across the ends of episodes (the optional first stage of the usual processing of bonuses; the
    deviation and the weight of a mix come after it). Padding and steps where the child is
    undefined leave ``R`` as it is. Rollouts of another number of columns begin at 0.

    ``update`` evaluates the child once more, before the child learns.

    Args:
        model: the child, a reward model or a plain function.
        discount: in [0, 1]; 0 changes nothing.

    Raises:
        UserError: ``discount`` out of its range, or a child that learns before it rewards.

    Example:
        >>> filtered = ForwardFilter(model=lambda reward: reward, discount=0.99)
        >>> filtered.task_free
        False
    """

    replayable = False

    def __init__(self, *, model: RewardModel | Callable[..., Any], discount: float) -> None:
        super().__init__()
        if not 0.0 <= discount <= 1.0:
            raise UserError(f"discount must lie in [0, 1], got {discount}.")
        self.model, self.discount = as_reward_model(model), discount
        if self.model.order != Order.REWARD_FIRST:
            raise UserError(
                f"ForwardFilter needs a reward that is measured before it learns, but "
                f"{type(self.model).__name__} learns first; use it without the filter."
            )
        self.memory = ColumnMemory(sum=torch.zeros((), dtype=torch.float64))
        self.requires, self.scope = self.model.requires, self.model.scope
        self.preferred_scale, self.task_free = self.model.preferred_scale, self.model.task_free
        self.goal_relabelling = self.model.goal_relabelling
        self.concurrent_update = self.model.concurrent_update
        self.batch_dependent = self.model.batch_dependent

    def bind_discount(self, gamma: float) -> None:
        """Hand the learner's discount to the child; the filter has its own.

        Raises:
            UserError: the child was built for another discount.
        """
        self.model.bind_discount(gamma)

    def forward(self, rollout: Rollout) -> tuple[Float[Tensor, "T B"], Mapping[str, Tensor]]:
        """Return the running sum after every step, with the child's extras.

        Raises:
            RewardError: the child's value has a wrong shape or is not finite.
        """
        sums, extras = self._sums(rollout)
        return sums.to(torch.float32), extras

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Remember the sums at the end of the rollout, then let the child learn from it."""
        with torch.no_grad():
            sums, _ = self._sums(rollout)
            if rollout.T:
                self.memory.write(sum=sums[-1])
        return self.model.update(rollout)

    def _sums(self, rollout: Rollout) -> tuple[Float[Tensor, "T B"], dict[str, Tensor]]:
        output = self.model(rollout, gradient=torch.is_grad_enabled())
        values, defined, extras = checked_output(type(self).__name__, output, rollout)
        values = values.to(torch.float64)
        total = self.memory.read(rollout, lasting=True)["sum"]
        sums = []
        for value, counts in zip(values, defined, strict=True):
            total = torch.where(counts, self.discount * total + value, total)
            sums.append(total)
        return torch.stack(sums), {**extras, "defined": defined}
