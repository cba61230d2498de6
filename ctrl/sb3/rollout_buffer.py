"""On-policy buffers that ask the mix for the rewards of the whole rollout before GAE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sb3_contrib.common.recurrent.buffers import (
    RecurrentDictRolloutBuffer,
    RecurrentRolloutBuffer,
)
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer

from ctrl.sb3.books import Books
from reward_models.errors import TrainingError
from reward_models.rollout import Rollout

if TYPE_CHECKING:
    _Buffer = RolloutBuffer
else:
    _Buffer = object

LEARNER_KEYS = frozenset({"value", "log_prob"})
"""Record keys of the policy that on-policy buffers can provide."""


class _Rewarded(_Buffer):
    """Replace the rewards that SB3 collected by the mix's, keeping the bootstrap apart.

    The recorder below hands up a reward of 0 at time limits, so what arrives there is exactly
    ``gamma * V(final observation)``. Returns are computed from ``total + bootstrap`` and nobody
    who reads rewards ever meets a value estimate.

    Args:
        books: rewards and books; every other argument is SB3's.

    Attributes:
        task_rewards: the raw task rewards of the latest rollout, ``[T, B]``.
        bootstrap: ``gamma * V`` at truncated steps, zero elsewhere, ``[T, B]``.
        keeps: record keys for an objective besides those of the mix; None when there is none.
        rollout: the latest rollout, for an objective; None when there is none.
        total: its rewards from the mix, ``[T, B]``.
        rows: which steps the latest minibatch holds, as ``column * T + time``.
    """

    def __init__(self, *args: Any, books: Books, **kwargs: Any) -> None:
        self.books = books
        self.keeps: frozenset[str] | None = None
        self.rollout: Rollout | None = None
        super().__init__(*args, **kwargs)

    def reset(self) -> None:
        """Empty the buffer and begin a new record, once the mix has learned from the last one."""
        self.books.finish()
        super().reset()
        self.books.recorder.begin(self.buffer_size)

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: np.ndarray) -> None:
        """Fetch the mix's rewards for the rollout, then compute returns and advantages.

        Raises:
            TrainingError: the policy has diverged, so its log-probabilities are not finite.
        """
        if not np.isfinite(self.log_probs).all():
            raise TrainingError(
                "The policy has diverged: the log-probability of an action it took is not finite. "
                "Try a smaller learning_rate, or scale large reward terms (scale: return_std)."
            )
        learner = {"value": self.values, "log_prob": self.log_probs}
        requires = self.books.mix.requires | (self.keeps or frozenset())
        rollout, mixed = self.books.collect(
            **{key: value for key, value in learner.items() if key in requires}
        )
        if self.keeps is not None:
            self.rollout, self.total = rollout, mixed.total
        truncated = rollout.truncated.numpy()
        self.task_rewards = rollout.reward.numpy()
        self.bootstrap = np.where(truncated, self.rewards, np.float32(0))
        total = mixed.total.cpu().numpy()
        self.rewards = np.where(truncated, total + self.bootstrap, total)
        super().compute_returns_and_advantage(last_values, dones)

    def _get_samples(self, batch_inds: np.ndarray, *args: Any, **kwargs: Any) -> Any:
        """Remember which steps a minibatch holds."""
        self.rows = batch_inds
        return super()._get_samples(batch_inds, *args, **kwargs)

    def to_torch(self, array: np.ndarray, copy: bool = True) -> torch.Tensor:
        """Convert without SB3's copy: minibatches are gathered by index, so already copies."""
        return super().to_torch(array, copy=False)


class RewardedRolloutBuffer(_Rewarded, RolloutBuffer):
    """``RolloutBuffer`` with the rewards of a mix."""


class RewardedDictRolloutBuffer(_Rewarded, DictRolloutBuffer):
    """``DictRolloutBuffer`` with the rewards of a mix."""


class RewardedRecurrentRolloutBuffer(_Rewarded, RecurrentRolloutBuffer):
    """``RecurrentRolloutBuffer`` with the rewards of a mix."""


class RewardedRecurrentDictRolloutBuffer(_Rewarded, RecurrentDictRolloutBuffer):
    """``RecurrentDictRolloutBuffer`` with the rewards of a mix."""
