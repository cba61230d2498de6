"""The books of a training run: what every term paid, per rollout and per episode."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from ctrl.alarms import Alarm, RewardAlarms
from ctrl.sb3.recorder import Recorder
from reward_models.errors import RewardError
from reward_models.mix import MixedReward, RewardMix, column_metrics
from reward_models.rollout import Rollout

_EPISODES = 100


class Books:
    """Reward fresh rollouts through a mix and keep task and shaped return apart.

    Args:
        mix: the reward terms.
        recorder: the record of the environments.
        concurrent: let models that declare ``concurrent_update`` learn on a second thread while
            the policy is updated, where there is a second core. The results are the same; their
            metrics appear one rollout later, like those of the policy's own update.

    Attributes:
        metrics: numbers of the latest rollout, by log key; empty until there is one.
        fresh: true while ``metrics`` have not been logged.
        alarms: what looks wrong about the terms.
        raised: alarms that were raised since somebody last emptied the list.
    """

    def __init__(self, *, mix: RewardMix, recorder: Recorder, concurrent: bool = False) -> None:
        self.mix, self.recorder = mix, recorder
        self._beside: ThreadPoolExecutor | None = None
        if concurrent and mix.has_concurrent_update and len(os.sched_getaffinity(0)) > 1:
            # The number of torch threads is a setting of each thread.
            self._beside = ThreadPoolExecutor(
                1, "reward-update", torch.set_num_threads, (torch.get_num_threads(),)
            )
        self._pending: Future[dict[str, float]] | None = None
        self._late: dict[str, float] = {}
        self.metrics: dict[str, float] = {}
        self.fresh = False
        columns, terms = recorder.num_envs, len(mix.names)
        # Running sums of the open episodes: contribution of each term, task reward, length.
        self._open = np.zeros((columns, terms + 2))
        self._finished: deque[np.ndarray] = deque(maxlen=_EPISODES)
        self.alarms = RewardAlarms(mix.names)
        self.raised: list[Alarm] = []

    def collect(self, **learner: Any) -> tuple[Rollout, MixedReward]:
        """Reward what was recorded, let the models learn from it, and book it.

        Args:
            **learner: quantities of the policy, ``[T, B]``, that some term requires.

        Raises:
            RewardError: a term broke its contract, or asks to drop steps, which SB3 cannot.
        """
        self.finish()
        rollout = self.recorder.rollout(**learner)
        steps = self.recorder.steps
        mixed, learned, learn = self.mix.collect_in_parts(rollout, steps=steps)
        if self._beside is None:
            learned.update(learn())
        else:
            learned.update(self._late)
            self._pending = self._beside.submit(learn)
        if mixed.keep is not None and not bool(mixed.keep.all()):
            raise RewardError(
                ", ".join(mixed.names),
                "a term returned keep = 0 for some steps; SB3's losses cannot leave steps out. "
                "Use a learner that honours keep.",
            )
        ended = self._book(rollout, mixed)
        columns = column_metrics(mixed, rollout.mask)
        self.raised += self.alarms.update(columns, ended, steps=int(rollout.mask.sum()))
        self.metrics = {
            **{f"reward/{key}": value for key, value in columns.items()},
            **{f"reward/{key}": value for key, value in learned.items()},
            **self.returns(),
            **{f"alarm/{kind}": count for kind, count in self.alarms.counts().items()},
        }
        self.fresh = True
        return rollout, mixed

    def finish(self) -> None:
        """Wait until the mix has learned from the latest rollout.

        Raises:
            RewardError: a model failed while it learned.
        """
        if self._pending is not None:
            pending, self._pending = self._pending, None
            self._late = pending.result()

    def _book(self, rollout: Rollout, mixed: MixedReward) -> tuple[float, float] | None:
        """Add up the episodes; return mean task and shaped return of those that ended here."""
        rows = np.empty((rollout.T, rollout.B, len(mixed.names) + 2))
        rows[..., :-2] = mixed.contributions().cpu().numpy()
        rows[..., -2] = rollout.reward.cpu().numpy()
        rows[..., -1] = 1.0
        done = rollout.done.cpu().numpy()
        sums = np.cumsum(rows, axis=0)
        before = np.zeros_like(self._open)
        ended = []
        for t, column in np.argwhere(done):
            ended.append(self._open[column] + sums[t, column] - before[column])
            self._open[column] = 0.0
            before[column] = sums[t, column]
        self._open += sums[-1] - before
        self._finished.extend(ended)
        if not ended:
            return None
        mean = np.mean(ended, axis=0)
        return float(mean[-2]), float(mean[:-2].sum())

    def returns(self) -> dict[str, float]:
        """Return the mean undiscounted returns of the last 100 finished episodes.

        ``return/task`` is the environment's own, ``return/shaped`` the weighted sum of all terms,
        ``return/term/<name>`` what one term contributed to it. Empty before the first episode ends.
        """
        if not self._finished:
            return {}
        mean = np.mean(self._finished, axis=0)
        terms = {
            f"return/term/{name}": float(value)
            for name, value in zip(self.mix.names, mean, strict=False)
        }
        return {
            "return/task": float(mean[-2]),
            "return/shaped": float(mean[:-2].sum()),
            "return/length": float(mean[-1]),
            **terms,
        }

    def snapshot(self) -> dict[str, Any]:
        """Return the running sums, the finished episodes and the metrics not yet logged."""
        self.finish()
        finished = (
            np.array(self._finished) if self._finished else np.zeros((0, self._open.shape[1]))
        )
        return {
            "open": self._open.copy(),
            "finished": finished,
            "late": dict(self._late),
            "alarms": self.alarms.snapshot(),
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue from a snapshot."""
        self._open = np.array(tree["open"])
        self._late = dict(tree["late"])
        self._finished = deque(np.array(tree["finished"]), maxlen=_EPISODES)
        self.alarms.restore(tree["alarms"])
