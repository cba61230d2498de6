"""A reward for being in good moments: named shape functions, weighted and combined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from jaxtyping import Float
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.kinesthetic.field import Field, as_field
from reward_models.kinesthetic.quantities import Quantities
from reward_models.kinesthetic.utility import Utility
from reward_models.rollout import Rollout


@final
class KinestheticReward(RewardModel):
    """Pays at every step what the moment that was reached is worth (Lucy-SKG, `Utility`).

    A state pays again for every step spent in it; `KinestheticPotential` with the same terms pays
    for getting there.

    Args:
        terms: see `reward_models.kinesthetic.utility.Utility`; None for Lucy-SKG's.
        names: quantity -> name in ``state``, where they differ; see
            `reward_models.kinesthetic.quantities.QUANTITIES`.
        boost_unit: ``percent`` or ``fraction``.
        field: measures that differ from Rocket League's, see `reward_models.kinesthetic.field`.

    Raises:
        UnknownNameError: no such shape function, option, quantity, unit or measure.
        UserError: a number out of its range.
    """

    goal_relabelling = True

    def __init__(
        self,
        *,
        terms: Mapping[str, Any] | None = None,
        names: Mapping[str, str] | None = None,
        boost_unit: str = "percent",
        field: Field | Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.utility = Utility(terms, as_field(field))
        self.quantities = Quantities(names, boost_unit)
        self.requires = self.quantities.requires(self.utility.quantities)

    def forward(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return the worth of the moment after every step.

        Raises:
            UserError: a quantity of another shape, unit or range.
        """
        return self.utility(self.quantities.read(rollout, self.utility.quantities))
