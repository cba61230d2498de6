"""Callbacks that write the books to SB3's logger and show progress."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from ctrl.sb3.books import Books
from ctrl.sb3.model import books_of


class RewardLogger(BaseCallback):
    """Write per-term numbers and task and shaped returns to the learner's logger.

    Keys are those of ``Books.metrics``: ``reward/<term>/...`` for the latest rollout, ``return/...``
    for the last 100 episodes. SB3's own ``rollout/ep_rew_mean`` stays the task return.
    """

    books: Books

    def _on_training_start(self) -> None:
        self.books = books_of(self.model)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if not self.books.fresh:
            return
        for key, value in self.books.metrics.items():
            self.logger.record(key, value)
        self.books.fresh = False


class Progress(BaseCallback):
    """A progress bar over environment steps that shows the task return.

    Args:
        total: environment steps at the end of the run.
        description: text before the bar.
        disable: show nothing; None shows the bar only on a terminal.
    """

    def __init__(self, total: int, *, description: str = "", disable: bool | None = None) -> None:
        super().__init__()
        self.total, self.description, self.disable = total, description, disable

    def _on_training_start(self) -> None:
        self.books = books_of(self.model)
        self.bar = tqdm(
            total=self.total,
            initial=self.model.num_timesteps,
            desc=self.description,
            unit="step",
            disable=self.disable,
            mininterval=0.5,
        )

    def _on_step(self) -> bool:
        self.bar.update(self.training_env.num_envs)
        return True

    def _on_rollout_end(self) -> None:
        if self.bar.disable:
            return
        returns = self.books.returns()
        if returns:
            self.bar.set_postfix(
                {"task return": f"{returns['return/task']:.3g}"}, refresh=False
            )

    def _on_training_end(self) -> None:
        self.bar.close()
