"""The leak of variable horizons: do the lengths of episodes alone tell the expert from the agent?

Where episodes end when a task is done or failed, their length says much about the return. An
imitator that only learns to live as long as the expert then looks as if it had learned the task.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import nn

from reward_models.curiosity.column_memory import ColumnMemory
from reward_models.novelty.newest import Newest
from reward_models.rollout import Rollout

MOST_EPISODES = 100
FAR, SIGNIFICANT = 0.9, 0.01


class Separation(NamedTuple):
    """How well lengths tell two groups apart.

    Attributes:
        auc: probability that an episode of the agent is longer than one of the expert, ties
            counting half: the area under the ROC curve. 0.5 when lengths say nothing.
        p_value: of the two-sided test of Mann and Whitney.
    """

    auc: float
    p_value: float

    @property
    def leaks(self) -> bool:
        """Whether lengths alone tell the two apart: AUC beyond 0.1 or 0.9 with p < 0.01."""
        return (self.auc >= FAR or self.auc <= 1.0 - FAR) and self.p_value < SIGNIFICANT


def length_separation(agent: Sequence[int], expert: Sequence[int]) -> Separation:
    """Compare the lengths of finished episodes.

    The p-value is the asymptotic one, corrected for ties. One expert episode alone can hardly be
    told apart at p < 0.01; ten of the agent and five of the expert can.

    Args:
        agent: at least one length.
        expert: at least one.
    """
    from scipy.stats import mannwhitneyu  # type: ignore[import-untyped,unused-ignore]

    if len({*agent, *expert}) == 1:
        return Separation(0.5, 1.0)
    found = mannwhitneyu(agent, expert, alternative="two-sided", method="asymptotic")
    return Separation(float(found.statistic) / (len(agent) * len(expert)), float(found.pvalue))


@final
class EpisodeLengths(nn.Module):
    """Lengths of the last 100 finished episodes of a stream of rollouts.

    Episodes may run through several rollouts. One whose beginning was not seen is left out.
    """

    def __init__(self) -> None:
        super().__init__()
        # -1 where the beginning of the running episode was not seen.
        self.running = ColumnMemory(length=torch.zeros((), dtype=torch.int64))
        self.finished = Newest(row=torch.zeros((), dtype=torch.int64), capacity=MOST_EPISODES)

    def update(self, rollout: Rollout) -> int:
        """Count a rollout in arrival order; return how many episodes finished in it."""
        begun = np.where(rollout.continued.cpu().numpy(), -1, 0)
        if self.running.columns == rollout.B:
            counted: Any = self.running.length
            begun = np.where(begun, counted.cpu().numpy(), 0)
        mask, done = rollout.mask.cpu().numpy(), rollout.done.cpu().numpy()
        # What a column has counted since its running episode began is `so_far - start`.
        so_far = np.cumsum(mask, axis=0)
        start, seen, ended = -begun, begun >= 0, []
        for t, column in np.argwhere(done & mask):
            if seen[column]:
                ended.append(int(so_far[t, column] - start[column]))
            start[column], seen[column] = so_far[t, column], True
        total = so_far[-1] if rollout.T else np.zeros_like(start)
        self.running.write(length=torch.from_numpy(np.where(seen, total - start, -1)))
        if ended:
            self.finished.add(torch.tensor(ended))
        return len(ended)

    def lengths(self) -> list[int]:
        """Return the lengths, the newest last."""
        return self.finished.rows.tolist()
