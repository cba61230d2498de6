"""The divergence from a fixed reference policy as a loss term."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor

from ctrl.objectives.hooks import LossTerm, PolicyOutput, as_metrics
from ctrl.objectives.kl import ESTIMATORS, kl_estimate
from ctrl.objectives.masked import masked_mean
from reward_models.errors import UnknownNameError
from reward_models.rollout import Rollout


@final
class ReferenceDivergence(LossTerm):
    """The mean over valid tokens of an estimate of the divergence from the reference policy.

    Args:
        estimator: see ``ctrl.objectives.kl``; ``k1`` as a loss does nothing on average.

    Raises:
        UnknownNameError: no such estimator.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"ref_log_prob"})

    def __init__(self, *, estimator: str = "k3") -> None:
        super().__init__()
        if estimator not in ESTIMATORS:
            raise UnknownNameError("KL estimator", estimator, ESTIMATORS)
        self.estimator = estimator

    def forward(
        self, rollout: Rollout, policy_output: PolicyOutput
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the mean estimate over valid tokens."""
        divergence = kl_estimate(
            policy_output.log_prob, rollout["ref_log_prob"], rollout.mask, estimator=self.estimator
        )
        mean = masked_mean(divergence, rollout.mask)
        return mean, as_metrics(divergence=mean.detach())
