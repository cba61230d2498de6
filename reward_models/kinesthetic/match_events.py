"""Rewards for what happened in a step: goals, touches, shots, saves, demolitions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.curiosity.column_memory import ColumnMemory
from reward_models.errors import UnknownNameError, UserError
from reward_models.kinesthetic.field import Field, as_field
from reward_models.kinesthetic.previous import last_of_columns, previous_in_episode
from reward_models.kinesthetic.quantities import Quantities
from reward_models.kinesthetic.shapes import speed_to_goal
from reward_models.rollout import Rollout

COUNTED = ("goal", "team_goal", "conceded", "touch", "shot", "save", "demolition", "demolished")
"""Events that the environment counts."""

ACCELERATION, HEIGHT = "touch_to_goal_acceleration", "touch_height"
EVENTS = (*COUNTED, ACCELERATION, HEIGHT)
"""Every event that can have a weight."""

LUCY: Mapping[str, float] = {
    "goal": 10.0,
    "conceded": -3.0,
    "shot": 1.5,
    "save": 3.0,
    ACCELERATION: 0.25,
    "touch": 0.05,
    "demolition": 2.0,
    "demolished": -2.0,
}
"""The weights of Lucy-SKG."""


@final
class MatchEvents(RewardModel):
    """A weighted sum of what happened in the step (Lucy-SKG).

    Counted events pay their weight each time. Two more are measured where the car touched the
    ball: ``touch_to_goal_acceleration``, the change of the ball's speed towards the attacked goal
    since the step before, in units of a car's top speed (the speed before the first step of an
    episode counts as 0, as at a kick-off); and ``touch_height``, the height of the ball in units of
    the ceiling's.

    Args:
        weights: event -> weight, see `EVENTS`; None for Lucy-SKG's.
        counters: the environment's quantities are running totals of the episode, from which
            the step's share is ``max(0, now - before)``; otherwise they are of the step.
        names: quantity -> name in ``state``, where they differ.
        field: measures that differ from Rocket League's.

    Raises:
        UnknownNameError: no such event, quantity or measure.
        UserError: a weight that is not finite, or none at all.
    """

    replayable = False

    def __init__(
        self,
        *,
        weights: Mapping[str, float] | None = None,
        counters: bool = False,
        names: Mapping[str, str] | None = None,
        field: Field | Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        chosen = dict(LUCY if weights is None else weights)
        for name, weight in chosen.items():
            if name not in EVENTS:
                raise UnknownNameError("event", str(name), EVENTS)
            if isinstance(weight, bool) or not isinstance(weight, int | float):
                raise UserError(f"The weight of {name} must be a number, got {weight!r}.")
            if not math.isfinite(weight):
                raise UserError(f"The weight of {name} must be finite, got {weight}.")
        self.weights = {name: float(weight) for name, weight in chosen.items() if weight}
        if not self.weights:
            raise UserError("match_events needs at least one weight that is not 0.")
        self.counters, self.field = counters, as_field(field)
        self._counted = [name for name in COUNTED if name in self.weights]
        wanted = set(self._counted)
        if ACCELERATION in self.weights:
            wanted |= {"touch", "ball_position", "ball_velocity", "team"}
        if HEIGHT in self.weights:
            wanted |= {"touch", "ball_position"}
        self._wanted = sorted(wanted)
        self._totals = sorted(wanted & set(COUNTED)) if counters else []
        self.quantities = Quantities(names)
        self.requires = self.quantities.requires(self._wanted)
        self.replayable = not self._totals and ACCELERATION not in self.weights
        fresh = {"speed": torch.zeros(())} if ACCELERATION in self.weights else {}
        fresh.update({name: torch.zeros(()) for name in self._totals})
        self.memory = ColumnMemory(**fresh) if fresh else None

    @property
    def learns(self) -> bool:
        """False: the memory of running episodes follows the steps, nothing is learned."""
        return False

    def forward(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return the weighted events of every step.

        Raises:
            UserError: a quantity of another shape, or ``touch_height`` on a field without height.
        """
        values = self.quantities.read(rollout, self._wanted)
        remembered = {} if self.memory is None else self.memory.read(rollout)
        for name in self._totals:
            before = previous_in_episode(values[name], rollout, remembered=remembered[name])
            values[name] = (values[name] - before).clamp_min(0.0)
        total = torch.zeros(rollout.T, rollout.B, device=rollout.device)
        if self._counted:
            happened = torch.stack([values[name] for name in self._counted], dim=-1)
            total = happened @ happened.new_tensor([self.weights[n] for n in self._counted])
        if HEIGHT in self.weights:
            if values["ball_position"].shape[-1] < 3:
                raise UserError("touch_height needs positions with three coordinates.")
            height = values["ball_position"][..., 2] / self.field.ceiling_z
            total = total + self.weights[HEIGHT] * torch.where(values["touch"] > 0, height, 0.0)
        if ACCELERATION in self.weights:
            speed = self._speed(values)
            before = previous_in_episode(speed, rollout, remembered=remembered["speed"])
            gain = (speed - before) / self.field.car_max_speed
            gained = torch.where(values["touch"] > 0, gain, 0.0)
            total = total + self.weights[ACCELERATION] * gained
        return total

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Remember the ball's speed and the totals where each column arrived."""
        if self.memory is not None:
            values = self.quantities.read(rollout, self._wanted)
            if ACCELERATION in self.weights:
                values["speed"] = self._speed(values)
            self.memory.write(
                **{
                    name: last_of_columns(values[name], rollout, kept=kept)
                    for name, kept in self.memory.read(rollout).items()
                }
            )
        return {}

    def _speed(self, values: Mapping[str, Tensor]) -> Tensor:
        return speed_to_goal(
            values["ball_position"], values["ball_velocity"], values["team"], field=self.field
        )
