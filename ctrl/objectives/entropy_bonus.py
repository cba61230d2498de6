"""The entropy of the policy as a loss term."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ctrl.objectives.entropy import AdaptiveEntropyWeight
from ctrl.objectives.hooks import LossTerm, PolicyOutput, as_metrics
from ctrl.objectives.masked import masked_mean
from reward_models.rollout import Rollout


@final
class EntropyBonus(LossTerm):
    """``-c mean(H)`` over the valid steps of a minibatch.

    With a ``target``, ``c`` is adapted: it grows by ``step`` after a rollout whose mean entropy was
    at or below the target, shrinks otherwise, and acts only while the entropy is at or below it.

    Args:
        target: entropy in nats below which the bonus acts; None for a constant ``c`` of 1, to be
            weighted by the objective.
        step: by which ``c`` changes after a rollout.
        smallest: of ``c``.
        largest: of ``c``.
        initial: ``c`` at the start.

    Raises:
        UserError: limits out of order; and in use, an entropy without gradient or not of the whole
            distribution.
    """

    _sum: Tensor
    _count: Tensor
    _weight: Tensor
    _active: Tensor

    def __init__(
        self,
        *,
        target: float | None = None,
        step: float = 5e-3,
        smallest: float = 0.0,
        largest: float = 1.0,
        initial: float = 0.0,
    ) -> None:
        super().__init__()
        self.adaptive = (
            None
            if target is None
            else AdaptiveEntropyWeight(
                target=target, step=step, smallest=smallest, largest=largest, initial=initial
            )
        )
        start = 1.0 if self.adaptive is None else initial
        self.register_buffer("_weight", torch.tensor(start, dtype=torch.float64))
        self.register_buffer("_active", torch.tensor(start, dtype=torch.float64))
        self.register_buffer("_sum", torch.zeros((), dtype=torch.float64))
        self.register_buffer("_count", torch.zeros((), dtype=torch.int64))

    def forward(
        self, rollout: Rollout, policy_output: PolicyOutput
    ) -> tuple[Tensor, dict[str, float]]:
        """Return minus the weighted mean entropy."""
        entropy = policy_output.require_entropy(support="full", gradient=True)
        mean = masked_mean(entropy, rollout.mask)
        self._sum += mean.detach().to(torch.float64)
        self._count += 1
        weight = float(self._active)
        return -weight * mean, as_metrics(entropy=mean.detach(), coefficient=weight)

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Adapt the coefficient by the mean entropy of the minibatches since the last call."""
        if self.adaptive is not None and int(self._count):
            self.adaptive.weight = float(self._weight)
            self._active.fill_(self.adaptive.update(float(self._sum / self._count)))
            self._weight.fill_(self.adaptive.weight)
        self._sum.zero_()
        self._count.zero_()
        return {}
