"""The field that rewards are measured on: where the goals are, and how fast things can be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, final

from jaxtyping import Float
from torch import Tensor

from reward_models.errors import UnknownNameError, UserError


@final
@dataclass(frozen=True)
class Field:
    """Measures of a field with one goal at either end of the y axis; by default Rocket League's.

    Team 0 (blue) defends the goal at negative y and attacks the other one; team 1 the other way
    round. Lengths are in the units of the positions, speeds in those of the velocities.

    Attributes:
        goal_y: ``|y|`` of the back of the goals, the points that are aimed at.
        goal_z: their z; left out where positions have two coordinates.
        back_wall_y: ``|y|`` of the wall that the goals open in.
        ceiling_z: greatest height.
        ball_radius: of the ball, as in Lucy-SKG (RocketSim's ball is 91.25 uu).
        ball_max_speed: of the ball; also the unit of length in which closeness to a goal decays.
        car_max_speed: of a car; also the unit of length in which closeness to the ball decays.
        halfway: the unit of length of `shapes.signed_ball_to_goal`, so that its value is about 0
            beside the middle of the field.

    Raises:
        UserError: a measure that is not positive and finite, or walls behind the goals.
    """

    goal_y: float = 6000.0
    goal_z: float = 321.3875
    back_wall_y: float = 5120.0
    ceiling_z: float = 2044.0
    ball_radius: float = 92.75
    ball_max_speed: float = 6000.0
    car_max_speed: float = 2300.0
    halfway: float = 4570.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not (
                math.isfinite(value) and (value > 0.0 or (item.name == "goal_z" and not value))
            ):
                raise UserError(f"field: {item.name} must be positive and finite, got {value}.")
        if self.back_wall_y > self.goal_y:
            raise UserError(
                f"field: back_wall_y ({self.back_wall_y}) must not lie behind goal_y "
                f"({self.goal_y})."
            )

    @property
    def goal_depth(self) -> float:
        """How far the ball's middle is from the back of the goal where it crosses the line."""
        return self.goal_y - self.back_wall_y + self.ball_radius

    def attacked_goal(
        self, team: Float[Tensor, "*batch"], like: Float[Tensor, "*batch D"]
    ) -> Float[Tensor, "*batch D"]:
        """Return the back of the goal that each team attacks; its negative y is the own goal.

        Args:
            team: 0 or 1.
            like: positions, for D (2 or 3), dtype and device.
        """
        goal = like.new_zeros((*team.shape, like.shape[-1]))
        goal[..., 1] = self.goal_y * (1.0 - 2.0 * team)
        if like.shape[-1] > 2:
            goal[..., 2] = self.goal_z
        return goal


FIELD = Field()
"""Rocket League's."""


def as_field(value: Field | Mapping[str, Any] | None) -> Field:
    """Return a field from its measures by name; None is Rocket League's.

    Raises:
        UnknownNameError: no such measure.
        UserError: no mapping, or a measure out of its range.
    """
    if value is None or isinstance(value, Field):
        return value or FIELD
    if not isinstance(value, Mapping):
        raise UserError(
            f"field must be a mapping of measures, such as {{goal_y: 6}}, got {value!r}."
        )
    known = [item.name for item in fields(Field)]
    for name, measure in value.items():
        if name not in known:
            raise UnknownNameError("measure of the field", str(name), known)
        if isinstance(measure, bool) or not isinstance(measure, int | float):
            raise UserError(f"field: {name} must be a number, got {measure!r}.")
    return Field(**{name: float(measure) for name, measure in value.items()})
