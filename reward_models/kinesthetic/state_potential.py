"""Shaping by what moments are worth: a potential of named quantities, not of observations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.curiosity.column_memory import ColumnMemory
from reward_models.errors import UnknownNameError, UserError
from reward_models.kinesthetic.field import Field, as_field
from reward_models.kinesthetic.previous import last_of_columns, previous_in_episode
from reward_models.kinesthetic.quantities import Quantities
from reward_models.kinesthetic.utility import Utility
from reward_models.potential import bound_discount, known_discount, shaping
from reward_models.rollout import Rollout


@final
@dataclass(frozen=True)
class Setting:
    """How the two ends of an episode are paid.

    Attributes:
        terminal: what the potential of a terminal state counts as, see
            `reward_models.potential.shaping`.
        pays_first: the first step of an episode is paid; otherwise it gets 0.
    """

    terminal: str
    pays_first: bool


SETTINGS: Mapping[str, Setting] = {
    "invariant": Setting("zero", pays_first=True),
    "published": Setting("keep", pays_first=False),
}
"""``invariant`` cannot change which policy is best; ``published`` is Lucy-SKG's."""


@final
class KinestheticPotential(RewardModel):
    """Potential-based shaping by the worth of moments: ``F = gamma Phi(s') - Phi(s)`` (Lucy-SKG).

    ``state`` holds the quantities after every step, so Phi(s) is that of the step before, kept from
    rollout to rollout. The state in which an episode begins is in no record. Two settings:

    - ``invariant``: the potential counts as 0 where an episode begins and where the task ends it,
      and is kept at a time limit. The discounted sum over an episode that terminates is 0, and
      ``gamma^n Phi(s_n)`` where it is cut, so shaped and raw returns agree for every policy.
      The first step is paid ``gamma Phi(s_1)``, about the same for all actions.
    - ``published``: 0 at the first step, and Phi is kept where the task ends, so that an episode
      with a goal is paid ``gamma^n Phi(s_n) - gamma Phi(s_1)``. The best policy may change.

    Args:
        terms: of Phi, see `reward_models.kinesthetic.utility.Utility`; None for Lucy-SKG's.
        setting: ``invariant`` or ``published``.
        slope: factor of negative F, positive; other than 1 only as published, because it breaks the
            invariance.
        gamma: the learner's discount; None takes it from the mix.
        names: quantity -> name in ``state``, where they differ.
        boost_unit: ``percent`` or ``fraction``.
        field: measures that differ from Rocket League's.

    Raises:
        UnknownNameError: no such setting, shape function, option, quantity, unit or measure.
        UserError: a number out of its range, or a slope with ``invariant``.
    """

    replayable = False

    def __init__(
        self,
        *,
        terms: Mapping[str, Any] | None = None,
        setting: str = "invariant",
        slope: float = 1.0,
        gamma: float | None = None,
        names: Mapping[str, str] | None = None,
        boost_unit: str = "percent",
        field: Field | Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        if setting not in SETTINGS:
            raise UnknownNameError("setting", setting, SETTINGS)
        if gamma is not None and not 0.0 <= gamma <= 1.0:
            raise UserError(f"gamma must lie in [0, 1], got {gamma}.")
        if not (slope > 0.0 and math.isfinite(slope)):
            raise UserError(f"slope must be positive and finite, got {slope}.")
        if slope != 1.0 and setting == "invariant":
            raise UserError(
                f"slope = {slope} pays losses of potential otherwise than gains, so circles earn "
                "or cost something and nothing is invariant. Use slope: 1, or setting: published."
            )
        self.setting, self.slope, self.gamma = SETTINGS[setting], float(slope), gamma
        self.utility = Utility(terms, as_field(field))
        self.quantities = Quantities(names, boost_unit)
        self.requires = self.quantities.requires(self.utility.quantities)
        self.memory = ColumnMemory(phi=torch.zeros(()), begun=torch.zeros(()))

    @property
    def invariant(self) -> bool:
        """Whether the best policies stay the best ones."""
        return self.setting == SETTINGS["invariant"]

    @property
    def learns(self) -> bool:
        """False: the memory of running episodes follows the steps, nothing is learned."""
        return False

    def bind_discount(self, gamma: float) -> None:
        """Take over the learner's discount.

        Raises:
            UserError: the potential was built for another one.
        """
        self.gamma = bound_discount(self, self.gamma, gamma)

    def potential(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return Phi of the state that every step reached.

        Raises:
            UserError: a quantity of another shape, unit or range.
        """
        return self.utility(self.quantities.read(rollout, self.utility.quantities))

    def forward(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return the shaping reward of every step."""
        after = self.potential(rollout)
        remembered = self.memory.read(rollout)
        before = previous_in_episode(after, rollout, remembered=remembered["phi"])
        value = shaping(
            before, after, gamma=known_discount(self, self.gamma), terminated=rollout.terminated,
            terminal=self.setting.terminal,
        )  # fmt: skip
        if self.slope != 1.0:
            value = torch.where(value < 0.0, self.slope * value, value)
        if self.setting.pays_first:
            return value
        begun = previous_in_episode(torch.ones_like(after), rollout, remembered=remembered["begun"])
        return torch.where(begun > 0.0, value, 0.0)

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Remember the potential where each column arrived; report its mean, and what is kept.

        ``kept_terminal`` is the mean of what terminal states were paid under ``published``.
        """
        with torch.no_grad():
            phi = self.potential(rollout)
            kept = self.memory.read(rollout)
            self.memory.write(
                phi=last_of_columns(phi, rollout, kept=kept["phi"]),
                begun=last_of_columns(torch.ones_like(phi), rollout, kept=kept["begun"]),
            )
        if not bool(rollout.mask.any()):
            return {}
        metrics = {"potential": float(phi[rollout.mask].mean())}
        ends = rollout.terminated & rollout.mask
        if not self.invariant and bool(ends.any()):
            metrics["kept_terminal"] = known_discount(self, self.gamma) * float(phi[ends].mean())
        return metrics
