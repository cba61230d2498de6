"""Progress as a potential of the state alone, for learners that replay single transitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor

from reward_models.errors import UnknownNameError, UserError
from reward_models.potential import Potential
from reward_models.progress.observer import HopObserver, HopSource
from reward_models.progress.reconstruction import backward_anchored, forward_anchored

STATE_PERSPECTIVES = ("forward", "backward")


@final
class ProgressPotential(Potential):
    """Shaping by the progress that a hop model sees between its references and the state.

    ``P(s) = mean of hop(start, s) and 1 + hop(goal, s)``, each clamped to [0, 1]: the perspectives
    of `ProgressReward` that need no memory of the episode. So it works on replayed transitions
    (SAC, TD3, DQN) as well as on rollouts. It is shaping only; the gold is the task's own reward.

    Args:
        hop_model: folder of a saved hop model, a `Hop`, or a function.
        observation_space: of the environment.
        key: entry of a Dict observation that holds the views.
        perspectives: ``forward``, ``backward`` or both.
        reference_start: first moment of a demonstration; None takes the hop model's own.
        reference_goal: last moment, likewise.
        gamma: the learner's discount; None takes it from the mix.

    Raises:
        UserError: a hop model for other observations, or no perspective.
        UnknownNameError: no such perspective or key.
    """

    goal_relabelling = False

    def __init__(
        self,
        *,
        hop_model: HopSource,
        observation_space: spaces.Space,
        key: str | None = None,
        perspectives: Sequence[str] = STATE_PERSPECTIVES,
        reference_start: Any = None,
        reference_goal: Any = None,
        gamma: float | None = None,
    ) -> None:
        super().__init__(gamma=gamma)
        for name in perspectives:
            if name not in STATE_PERSPECTIVES:
                raise UnknownNameError("perspective of a state", str(name), STATE_PERSPECTIVES)
        if not perspectives:
            raise UserError(f"Name at least one perspective of {', '.join(STATE_PERSPECTIVES)}.")
        self.perspectives = tuple(perspectives)
        self.observer = HopObserver(
            hop_model, observation_space=observation_space, key=key,
            reference_start=reference_start, reference_goal=reference_goal,
        )  # fmt: skip

    def potential(self, observation: Any) -> Float[Tensor, "*batch"]:
        """Return the progress of observations ``[..., *observation]``, in [0, 1]."""
        look = self.observer
        reached = look.encode(look.read(observation))
        makers = {
            "forward": lambda: forward_anchored(look.hops(self._at(look.start, reached), reached)),
            "backward": lambda: backward_anchored(look.hops(self._at(look.goal, reached), reached)),
        }
        found = [makers[name]().clamp(0.0, 1.0) for name in self.perspectives]
        return torch.stack(found).mean(0)

    def _at(self, reference: Tensor, reached: Tensor) -> Tensor:
        return self.observer.encode(reference.unsqueeze(0)).expand_as(reached)
