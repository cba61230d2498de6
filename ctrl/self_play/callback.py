"""Snapshots of the learner during training, as opponents for what it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import final

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from ctrl.self_play.pool import SnapshotPool


@final
class SelfPlay(BaseCallback):
    """Add the learner to the pool before its first rollout and every so many steps after.

    Logs ``self_play/snapshots``, and over the last 100 episodes ``self_play/win_rate`` and
    ``self_play/draw_rate`` of the learner; by rating also ``self_play/rating``.

    Args:
        pool: that plays in the learner's environments.
        folder: where the snapshots are written.
    """

    def __init__(self, pool: SnapshotPool, folder: Path) -> None:
        super().__init__()
        self.pool, self.folder = pool, folder

    def _on_training_start(self) -> None:
        steps, every = self.model.num_timesteps, self.pool.config.every
        self.pool.attach(self.model, self.folder)
        self.pool.drop_later(steps)
        self._next = (steps // every + 1) * every if len(self.pool) else steps

    def _on_rollout_start(self) -> None:
        steps, every = self.model.num_timesteps, self.pool.config.every
        if steps >= self._next:
            self.pool.add(self.model, steps)
            self._next = (steps // every + 1) * every

    def _on_rollout_end(self) -> None:
        self.logger.record("self_play/snapshots", len(self.pool))
        if self.pool.results:
            results = np.array(self.pool.results)
            self.logger.record("self_play/win_rate", float((results > 0).mean()))
            self.logger.record("self_play/draw_rate", float((results == 0).mean()))
        if self.pool.config.draw == "rating":
            self.logger.record("self_play/rating", self.pool.learner.mean)

    def _on_step(self) -> bool:
        return True
