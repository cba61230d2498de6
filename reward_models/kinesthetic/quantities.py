"""Reading named quantities of a simulator from a record, in one unit and with their checks."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import final

import torch
from torch import Tensor

from reward_models.errors import UnknownNameError, UserError
from reward_models.rollout import Rollout

QUANTITIES: Mapping[str, str] = {
    "ball_position": "position of the ball, [D] with D = 2 or 3",
    "ball_velocity": "velocity of the ball, [D]",
    "car_position": "position of the column's own car, [D]",
    "car_velocity": "velocity of that car, [D]",
    "boost": "boost of that car, see boost_unit",
    "team": "0 (attacks the goal at positive y) or 1",
    "teammate_positions": "positions of the other cars of the team, [team mates, D]",
    "opponent_positions": "positions of the cars of the other team, [opponents, D]",
    "match": "number of the column's match, the same for all its cars",
    "cars_in_match": "how many cars play in that match, columns or not",
    "touch": "above 0 where the car touched the ball in the step",
    "goal": "goals of the car",
    "team_goal": "goals of its team",
    "conceded": "goals of the other team",
    "shot": "shots of the car",
    "save": "saves of the car",
    "demolition": "cars that it demolished",
    "demolished": "times that it was demolished",
}
"""What rewards of this package read, by the names that the Rocket League environments use."""

BOOST_UNITS: Mapping[str, float] = {"percent": 100.0, "fraction": 1.0}
"""What a full tank is: 100 as in RocketSim and RLGym v2, or 1 as in RLGym v1."""

_VECTORS = ("ball_position", "ball_velocity", "car_position", "car_velocity")
_MANY = 64


@final
class Quantities:
    """Which quantity of ``state`` stands for which name, and in which unit boost is.

    Args:
        names: name of `QUANTITIES` -> name in ``state``, where they differ.
        boost_unit: ``percent`` (0 to 100) or ``fraction`` (0 to 1).

    Raises:
        UnknownNameError: no such quantity or unit.
    """

    def __init__(self, names: Mapping[str, str] | None = None, boost_unit: str = "percent") -> None:
        for name in names or {}:
            if name not in QUANTITIES:
                raise UnknownNameError("quantity", str(name), QUANTITIES)
        if boost_unit not in BOOST_UNITS:
            raise UnknownNameError("boost_unit", boost_unit, BOOST_UNITS)
        self._names = dict(names or {})
        self._unit = boost_unit

    def requires(self, wanted: Iterable[str]) -> frozenset[str]:
        """Return the record keys of some quantities."""
        return frozenset(f"state.{self._names.get(name, name)}" for name in wanted)

    def read(self, rollout: Rollout, wanted: Iterable[str]) -> dict[str, Tensor]:
        """Return some quantities by their name here, float32, ``[T, B, ...]``; boost in [0, 1].

        On padding they hold anything in range.

        Raises:
            UnknownNameError: the record lacks one.
            UserError: one of another shape; boost in another unit; a team that is not 0 or 1.
        """
        found = {}
        for name in wanted:
            key = f"state.{self._names.get(name, name)}"
            value = rollout[key]
            if not value.is_floating_point() or value.dtype == torch.float64:
                value = value.to(torch.float32)
            sizes = 3 if name in _VECTORS else 4 if name.endswith("_positions") else 2
            if value.ndim != sizes or (sizes > 2 and value.shape[-1] not in (2, 3)):
                raise UserError(
                    f"{key} must be the {QUANTITIES[name]}: a tensor [T, B"
                    f"{', ...' if sizes > 2 else ''}], got {list(value.shape)}."
                )
            if name == "boost":
                value = self._fraction(key, value, rollout.mask)
            elif name == "team":
                value = torch.where(rollout.mask, value, 0.0)
                if not bool(((value == 0) | (value == 1)).all()):
                    wrong = value[(value != 0) & (value != 1)][0]
                    raise UserError(f"{key} must be 0 or 1, got {float(wrong):g}.")
            found[name] = value
        return found

    def _fraction(self, key: str, boost: Tensor, mask: Tensor) -> Tensor:
        real = torch.where(mask, boost, 0.0)
        if not real.numel():
            return real
        full = BOOST_UNITS[self._unit]
        low, high = (float(bound) for bound in real.aminmax())
        if low < -0.001 * full or high > 1.001 * full:
            other = " Say boost_unit: percent." if self._unit == "fraction" else ""
            raise UserError(
                f"{key} must lie in 0 to {full:g} (boost_unit: {self._unit}), got "
                f"{high if high > full else low:g}.{other}"
            )
        if self._unit == "percent" and high <= 1.0 and _looks_like_fractions(real[mask]):
            warnings.warn(
                f"{key} is at most {high:g} in {int(mask.sum())} steps and mostly between 0 and 1, "
                "which as a percentage is an empty tank. If it is counted from 0 to 1, say "
                "boost_unit: fraction.",
                stacklevel=2,
            )
        return (real / full).clamp(0.0, 1.0)


def _looks_like_fractions(boost: Tensor) -> bool:
    return boost.numel() >= _MANY and float((boost > 0).float().mean()) > 0.5
