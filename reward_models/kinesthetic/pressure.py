"""Pressure: rewards for having stayed near a goal together, paid when it comes to something."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.curiosity.column_memory import ColumnMemory
from reward_models.errors import UserError
from reward_models.kinesthetic.field import Field, as_field
from reward_models.kinesthetic.previous import last_of_columns, previous_in_episode
from reward_models.kinesthetic.quantities import Quantities
from reward_models.kinesthetic.shapes import goal_distance
from reward_models.rollout import Rollout

_WANTED = (
    "ball_position", "car_position", "teammate_positions", "opponent_positions", "team",
    "team_goal", "conceded",
)  # fmt: skip


def pressure_release(
    mean: Float[Tensor, "*batch"], steps: Float[Tensor, "*batch"], *, horizon: float = 90.0
) -> Float[Tensor, "*batch"]:
    """Return ``(1 - min(t - 1, 90) / 90)^0.7`` times the mean pressure: long sieges pay less.

    Args:
        mean: pressure over the steps, in [0, 1].
        steps: t; the value is 0 where it is 0.
        horizon: steps after which nothing is left, 90.
    """
    late = ((steps - 1.0).clamp_min(0.0) / horizon).clamp_max(1.0)
    return torch.where(steps > 0, (1.0 - late) ** 0.7 * mean, 0.0)


@final
class Pressure(RewardModel):
    """Pays for pressure on a goal when it is released by a goal or by a clearance (Lucy-SKG).

    While the ball is in the zone of a goal, every step records ``0.5 + 0.5 (share of the attackers
    in the zone - share of the defenders in it)``. When that ends,
    ``(1 - min(t - 1, 90) / 90)^0.7`` times the mean over the t steps is paid:

    - ``offensive`` to the attackers, when they score;
    - ``defensive``, times -1, to the defenders, when they concede;
    - ``counter`` to the defenders, with one minus the mean, when the ball leaves the zone without a
      goal after at least ``counter_steps``.

    Steps themselves pay nothing. A zone is where the distance to the back of the goal, minus the
    goal's depth, is below ``zone``. A share of no cars is 0.

    Args:
        offensive: weight, 0 for none.
        defensive: weight, 0 for none.
        counter: weight, 0 for none.
        zone: uu from the goal line, positive.
        horizon: steps after which pressure is worth nothing, positive.
        counter_steps: see above, at least 1.
        names: quantity -> name in ``state``, where they differ.
        field: measures that differ from Rocket League's.

    Raises:
        UnknownNameError: no such quantity or measure.
        UserError: a number out of its range.
    """

    replayable = False

    def __init__(
        self,
        *,
        offensive: float = 1.0,
        defensive: float = 1.0,
        counter: float = 1.0,
        zone: float = 3680.0,
        horizon: float = 90.0,
        counter_steps: int = 3,
        names: Mapping[str, str] | None = None,
        field: Field | Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        for name, number in (("offensive", offensive), ("defensive", defensive),
                             ("counter", counter)):  # fmt: skip
            if not math.isfinite(number):
                raise UserError(f"{name} must be finite, got {number}.")
        for name, number in (("zone", zone), ("horizon", horizon)):
            if not (number > 0.0 and math.isfinite(number)):
                raise UserError(f"{name} must be positive and finite, got {number}.")
        if counter_steps < 1:
            raise UserError(f"counter_steps must be at least 1, got {counter_steps}.")
        self.offensive, self.defensive, self.counter = offensive, defensive, counter
        self.zone, self.horizon, self.counter_steps = zone, horizon, counter_steps
        self.field, self.quantities = as_field(field), Quantities(names)
        self.requires = self.quantities.requires(_WANTED)
        fresh = torch.zeros((), dtype=torch.float64)
        self.memory = ColumnMemory(
            attack_steps=fresh, attack_sum=fresh, defence_steps=fresh, defence_sum=fresh
        )

    @property
    def learns(self) -> bool:
        """False: the memory of running episodes follows the steps, nothing is learned."""
        return False

    def forward(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return what is paid at every step, 0 at most of them."""
        values = self.quantities.read(rollout, _WANTED)
        remembered = self.memory.read(rollout)
        scored, conceded = values["team_goal"] > 0, values["conceded"] > 0
        total = torch.zeros(rollout.T, rollout.B, device=rollout.device)
        if self.offensive:
            steps, sums, _ = self._sieges(values, rollout, remembered, "attack")
            paid = pressure_release(sums / steps.clamp_min(1.0), steps, horizon=self.horizon)
            total = total + torch.where(scored, self.offensive * paid, 0.0)
        if self.defensive or self.counter:
            steps, sums, inside = self._sieges(values, rollout, remembered, "defence")
            paid = pressure_release(sums / steps.clamp_min(1.0), steps, horizon=self.horizon)
            total = total - torch.where(conceded, self.defensive * paid, 0.0)
            over = scored | conceded
            held = [
                previous_in_episode(
                    torch.where(over, 0.0, now), rollout, remembered=remembered[f"defence_{what}"]
                )
                for what, now in (("steps", steps), ("sum", sums))
            ]
            mean = 1.0 - held[1] / held[0].clamp_min(1.0)
            paid = pressure_release(mean, held[0], horizon=self.horizon)
            cleared = ~inside & ~over & (held[0] >= self.counter_steps)
            total = total + torch.where(cleared, self.counter * paid, 0.0)
        return total.to(torch.float32)

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Remember the sieges that are going on where each column arrived."""
        values = self.quantities.read(rollout, _WANTED)
        kept = self.memory.read(rollout)
        over = (values["team_goal"] > 0) | (values["conceded"] > 0)
        written = {}
        for side in ("attack", "defence"):
            steps, sums, _ = self._sieges(values, rollout, kept, side)
            for what, now in (("steps", steps), ("sum", sums)):
                name = f"{side}_{what}"
                left = torch.where(over, 0.0, now)
                written[name] = last_of_columns(left, rollout, kept=kept[name])
        self.memory.write(**written)
        return {}

    def _sieges(
        self,
        values: Mapping[str, Tensor],
        rollout: Rollout,
        remembered: Mapping[str, Tensor],
        side: str,
    ) -> tuple[Float[Tensor, "T B"], Float[Tensor, "T B"], Bool[Tensor, "T B"]]:
        """Return how long the ball has been in a goal's zone, the summed pressure, and if it is."""
        team = values["team"] if side == "attack" else 1.0 - values["team"]
        inside = (self._distance(values["ball_position"], team) < self.zone) & rollout.mask
        own = torch.cat([values["car_position"][:, :, None], values["teammate_positions"]], 2)
        share = self._share(own, team) - self._share(values["opponent_positions"], team)
        pressure = 0.5 + 0.5 * (share if side == "attack" else -share)
        over = (values["team_goal"] > 0) | (values["conceded"] > 0)
        broken = torch.zeros_like(inside)
        broken[1:] = ~rollout.mask[:-1] | rollout.done[:-1] | over[:-1]
        steps = torch.where(inside, 1.0, 0.0).to(torch.float64)
        begun = remembered[f"{side}_steps"], remembered[f"{side}_sum"]
        return (
            _running_sum(steps, inside, broken, begun[0]),
            _running_sum(steps * pressure, inside, broken, begun[1]),
            inside,
        )

    def _share(self, positions: Tensor, team: Tensor) -> Tensor:
        """Return the share of cars ``[T, B, n, D]`` that are in the zone, 0 of none."""
        if not positions.shape[2]:
            return torch.zeros_like(team)
        near = self._distance(positions, team[..., None].expand(positions.shape[:3])) < self.zone
        return near.to(torch.float32).mean(-1)

    def _distance(self, positions: Tensor, team: Tensor) -> Tensor:
        return goal_distance(positions, team, field=self.field)


def _running_sum(values: Tensor, inside: Tensor, broken: Tensor, begun: Tensor) -> Tensor:
    """Add values up over each unbroken stretch of steps inside, without a loop over time.

    Args:
        values: float64 ``[T, B]``, 0 outside.
        inside: bool ``[T, B]``.
        broken: bool ``[T, B]``: a stretch cannot go on from the step before.
        begun: ``[B]``: of the stretch that reaches into the first step.

    Returns:
        Float64 ``[T, B]``, 0 outside.
    """
    if not len(values):
        return values
    time = torch.arange(1, len(values) + 1, device=values.device)[:, None]
    # 1 + the last step that does not belong to the stretch; 0 where it began before the rollout.
    outside = torch.where(inside, torch.where(broken, time - 1, -1), time)
    border = outside.cummax(0).values
    since = torch.cat([torch.zeros_like(values[:1]), values.cumsum(0)])
    start = since.gather(0, border.clamp_min(0))
    sums = since[1:] - start + torch.where(border < 0, begun, 0.0)
    return torch.where(inside, sums, 0.0)
