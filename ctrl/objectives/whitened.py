"""Advantages with mean 0 and deviation 1."""

from __future__ import annotations

from typing import final

from torch import Tensor

from ctrl.objectives.hooks import AdvantageShaper
from ctrl.objectives.masked import whitened
from reward_models.rollout import Rollout


@final
class Whitened(AdvantageShaper):
    """Whiten advantages over all valid steps of the rollout: ``(A - mean) / sqrt(var + 1e-8)``.

    SB3's PPO does this again in every minibatch unless ``normalize_advantage`` is false.
    """

    def forward(self, rollout: Rollout, advantage: Tensor) -> Tensor:
        """Return the whitened advantages, ``[T, B]``."""
        return whitened(advantage, rollout.mask)
