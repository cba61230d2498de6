"""Three estimates of progress made one, with a check whether they agree."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from reward_models.errors import UnknownNameError, UserError
from reward_models.progress.reconstruction import (
    backward_anchored,
    forward_anchored,
    incremental_step,
)

PERSPECTIVES = ("incremental", "forward", "backward")


@final
@dataclass(frozen=True)
class Fusion:
    """How the perspectives make one progress (Robo-Dopamine, Tan et al. 2025).

    ``P_t = mean of the perspectives``, each clamped to [0, 1]; the incremental one starts from the
    fused ``P_{t-1}``, so that it does not drift away from the others. With a ``consistency`` the
    disagreement of the anchored ones holds the update back, as in states unlike the
    demonstrations:

    ``D_t = |B_t - F_t| / ((F_t + B_t) / 2 + eps)``, ``w_t = exp(-consistency * D_t^2)``,
    ``P_t <- P_{t-1} + w_t (P_t - P_{t-1})``

    Attributes:
        perspectives: which of ``incremental``, ``forward`` and ``backward`` are averaged.
        consistency: factor alpha in the exponent, positive; None does not check.
        epsilon: eps above, positive.
        clamp: clamp each perspective to [0, 1] first; without it a poor model may leave [0, 1].

    Raises:
        UserError: a number out of its range, no perspective, or a check without both anchors.
        UnknownNameError: no such perspective.
    """

    perspectives: Collection[str] = PERSPECTIVES
    consistency: float | None = None
    epsilon: float = 1e-6
    clamp: bool = True

    def __post_init__(self) -> None:
        """Check the values."""
        for name in self.perspectives:
            if name not in PERSPECTIVES:
                raise UnknownNameError("perspective", str(name), PERSPECTIVES)
        if not self.perspectives:
            raise UserError(f"Name at least one perspective of {', '.join(PERSPECTIVES)}.")
        if not self.epsilon > 0:
            raise UserError(f"epsilon must be positive, got {self.epsilon}.")
        if self.consistency is None:
            return
        if not 0.0 < self.consistency < float("inf"):
            raise UserError(f"consistency must be positive and finite, got {self.consistency}.")
        if not {"forward", "backward"} <= set(self.perspectives):
            raise UserError(
                "The consistency check compares the forward and the backward perspective; use "
                "both, or leave consistency out."
            )

    def step(
        self,
        previous: Float[Tensor, "*batch"],
        hops: dict[str, Float[Tensor, "*batch"]],
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Return the fused progress after one step, and the confidence in it.

        Args:
            previous: fused progress before the step, in [0, 1].
            hops: for each perspective the hop to the state reached: from the state before, from
                the episode's first state, and from the goal.

        Returns:
            Progress, and the weight ``w`` in (0, 1]; 1 without a check.
        """
        estimates = self.estimates(previous, hops)
        fused = torch.stack([estimates[name] for name in self.perspectives]).mean(0)
        if self.consistency is None:
            return fused, torch.ones_like(fused)
        weight = agreement(
            estimates["forward"], estimates["backward"], self.consistency, self.epsilon
        )
        return previous + weight * (fused - previous), weight

    def estimates(
        self, previous: Float[Tensor, "*batch"], hops: dict[str, Float[Tensor, "*batch"]]
    ) -> dict[str, Float[Tensor, "*batch"]]:
        """Return the progress that each perspective says; see ``step``."""
        makers = {
            "incremental": lambda hop: incremental_step(previous, hop),
            "forward": forward_anchored,
            "backward": backward_anchored,
        }
        found = {name: makers[name](hops[name]) for name in self.perspectives}
        return {
            name: value.clamp(0.0, 1.0) if self.clamp else value for name, value in found.items()
        }


def agreement(
    forward: Float[Tensor, "*batch"],
    backward: Float[Tensor, "*batch"],
    consistency: float,
    epsilon: float = 1e-6,
) -> Float[Tensor, "*batch"]:
    """Return ``w = exp(-consistency * D^2)`` in (0, 1] of two estimates of progress.

    ``D = |B - F| / ((F + B) / 2 + epsilon)`` is their relative disagreement.
    """
    apart = (backward - forward).abs() / ((forward + backward) / 2.0 + epsilon)
    return torch.exp(-consistency * apart.square())
