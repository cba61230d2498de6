"""A meter for the log: how many rooms of Montezuma's Revenge a policy sees. It pays nothing."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.rollout import Rollout

_ROOMS = 256  # a room's number is one byte


@final
class Rooms(RewardModel):
    """Reports the rooms of finished episodes and of the whole run; the reward is always 0.

    Metrics of ``update``, in the log as ``reward/rooms/...`` under the name ``rooms``:

    ``per_episode``
        mean of ``rooms_visited`` over the episodes that ended in the rollout; not reported where
        none did.
    ``most``
        the most rooms of one episode up to now, open ones among them.
    ``ever``
        different rooms since the run began.
    """

    requires = frozenset({"state.room", "state.rooms_visited"})
    goal_relabelling = True

    seen: Tensor
    most: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(_ROOMS, dtype=torch.bool))
        self.register_buffer("most", torch.zeros((), dtype=torch.int64))

    def forward(self, rollout: Rollout) -> Tensor:
        """Return zeros ``[T, B]``."""
        return torch.zeros(rollout.T, rollout.B, device=rollout.reward.device)

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Count; see the class for what is returned."""
        room = rollout["state.room"].to(torch.int64)
        visited = rollout["state.rooms_visited"].to(torch.int64)
        if bool(rollout.mask.any()):
            self.seen[room[rollout.mask].to(self.seen.device)] = True
            self.most.fill_(max(int(self.most), int(visited[rollout.mask].max())))
        metrics = {"ever": float(self.seen.sum()), "most": float(self.most)}
        ended = rollout.done & rollout.mask
        if bool(ended.any()):
            metrics["per_episode"] = float(visited[ended].to(torch.float32).mean())
        return metrics
