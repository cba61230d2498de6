"""Bringing reward terms to a common scale: dividing by a running deviation, never shifting."""

from __future__ import annotations

from enum import StrEnum

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from reward_models.errors import UnknownNameError
from reward_models.statistics import RunningStatistics

_SMALLEST_STD = 1e-8


class Scale(StrEnum):
    """What a term's raw values are divided by."""

    NONE = "none"
    """Nothing."""
    RETURN_STD = "return_std"
    """The running standard deviation of the term's own discounted return."""
    REWARD_STD = "reward_std"
    """The running standard deviation of the term's values."""


class RunningScale(torch.nn.Module):
    """The divisor of one term, learned from fresh rollouts in arrival order.

    The discounted return ``R <- gamma * R + r`` runs forward in time within each column and is
    cleared after any end of an episode, terminated or truncated, so nothing leaks into the next
    one. The mean is never subtracted: a shift would change which policy is best in tasks whose
    episodes differ in length. A deviation below 1e-8 (a term that never varies) divides by 1.

    Args:
        kind: see ``Scale``.
        gamma: discount of the return.
    """

    running: Tensor

    def __init__(self, *, kind: Scale | str, gamma: float) -> None:
        super().__init__()
        if kind not in tuple(Scale):
            raise UnknownNameError("scale", str(kind), tuple(Scale))
        self.kind, self.gamma = Scale(kind), gamma
        self.frozen = False
        if self.kind is not Scale.NONE:
            # Without starting samples: a constant has deviation 0 from its first rollout on.
            self.statistics = RunningStatistics(initial_count=0.0)
            self.register_buffer("running", torch.zeros(0, dtype=torch.float64))

    def divisor(self) -> float:
        """Return what raw values are divided by, always positive."""
        if self.kind is Scale.NONE:
            return 1.0
        std = float(self.statistics.std)
        return std if std > _SMALLEST_STD else 1.0

    @torch.no_grad()
    def update(
        self,
        raw: Float[Tensor, "T B"],
        done: Bool[Tensor, "T B"],
        valid: Bool[Tensor, "T B"],
    ) -> None:
        """Learn from a fresh rollout; steps that are not ``valid`` count for nothing."""
        if self.kind is Scale.NONE or self.frozen:
            return
        if self.kind is Scale.REWARD_STD:
            self.statistics.update(raw[valid])
            return
        values = torch.where(valid, raw, 0.0).to(torch.float64).cpu().numpy()
        keep = (~done).to(torch.float64).cpu().numpy() * self.gamma
        if self.running.shape[0] != values.shape[1]:
            self.running = torch.zeros(values.shape[1], dtype=torch.float64)
        running = self.running.cpu().numpy().copy()
        returns = values  # reused in place: row t is read before it is written
        for t in range(len(values)):
            running += values[t]
            returns[t] = running
            running *= keep[t]
        self.running = torch.as_tensor(running)
        self.statistics.update(torch.as_tensor(returns)[valid.cpu()])

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        # The number of columns is known only once a rollout was seen.
        stored = state_dict.get(prefix + "running")
        if stored is not None:
            self.running = torch.zeros_like(stored)
        super()._load_from_state_dict(state_dict, prefix, *args)
