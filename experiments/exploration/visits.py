"""An observer of exploration: what a training visited, and how often an event happened in it.

Added to a mix with weight 0 it changes nothing and logs what returns cannot show:

    reward:
      visits: {use: "experiments/exploration/visits.py:Visits", weight: 0, quantity: state_index}
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.errors import UserError
from reward_models.rollout import Rollout


@final
class Visits(RewardModel):
    """Count the distinct values of a quantity of ``info`` over a whole training; pay nothing.

    A quantity of several numbers (a position), or several quantities together, count as one place.
    Real numbers are counted by
    bins ``floor(x / width)``. What is counted is arrived at by a step, so the first state of an
    episode counts once a step ends in it.

    ``update`` returns, for the log:

    - ``visited``: distinct places in all steps so far, and with ``out_of`` ``visited_share``, the
      same divided by it;
    - ``share_<event>``: for each of ``events``, the share of the steps in which it was not 0, in
      the last ``window`` steps of all columns together;
    - ``last_<name>``: for each of ``at_end``, its mean over the last steps of the episodes that
      ended in those (0 while there is none), and ``highest_<name>``, the highest value of any step
      so far.

    The window is cut where rollouts begin: it holds the newest rollouts that together have at least
    ``window`` steps, and all of them until there are so many.

    Args:
        quantity: name of the quantity in ``info``, or several names.
        width: of a bin; None takes the values as whole numbers, as they are.
        out_of: number of all places, if there is one.
        events: names of quantities, single numbers, that are 0 where the event did not happen.
        at_end: names of quantities, single numbers, of an episode's last step.
        window: steps.

    Raises:
        UserError: a number that is not positive.
    """

    goal_relabelling = True

    places: Tensor
    rows: Tensor
    highest: Tensor

    def __init__(
        self,
        *,
        quantity: str | Sequence[str],
        width: float | None = None,
        out_of: int | None = None,
        events: Sequence[str] = (),
        at_end: Sequence[str] = (),
        window: int = 10_000,
    ) -> None:
        super().__init__()
        for name, value in (("width", width), ("out_of", out_of), ("window", window)):
            if value is not None and not 0 < value < math.inf:
                raise UserError(f"{name} must be positive and finite, got {value}.")
        self.quantities = (quantity,) if isinstance(quantity, str) else tuple(quantity)
        self.width, self.out_of = width, out_of
        self.events, self.at_end, self.window = tuple(events), tuple(at_end), window
        names = (*self.quantities, *self.events, *self.at_end)
        self.requires = frozenset(f"state.{name}" for name in names)
        # Distinct places in lexicographic order, [N, numbers of a place].
        self.register_buffer("places", torch.zeros(0, 0, dtype=torch.int64))
        # Per rollout of the window: steps, of each event its steps, ended episodes, and of each
        # quantity at their ends its sum.
        numbers = 2 + len(self.events) + len(self.at_end)
        self.register_buffer("rows", torch.zeros(0, numbers, dtype=torch.float64))
        self.register_buffer("highest", torch.full((len(self.at_end),), -math.inf))

    def forward(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return 0 at every step."""
        return torch.zeros_like(rollout.reward)

    @torch.no_grad()
    def update(self, rollout: Rollout) -> dict[str, float]:
        """Count the real steps of a rollout; ``{}`` while there was none."""
        if bool(rollout.mask.any()):
            self._count(rollout)
        if not len(self.rows):
            return {}
        visited = len(self.places)
        found = {"visited": float(visited)}
        if self.out_of is not None:
            found["visited_share"] = visited / self.out_of
        steps, *sums = self.rows.sum(0).tolist()
        events, (ended, *values) = sums[: len(self.events)], sums[len(self.events) :]
        for name, count in zip(self.events, events, strict=True):
            found[f"share_{name}"] = count / steps
        for name, value, top in zip(self.at_end, values, self.highest.tolist(), strict=True):
            found[f"last_{name}"] = value / ended if ended else 0.0
            found[f"highest_{name}"] = top
        return found

    def _count(self, rollout: Rollout) -> None:
        mask = rollout.mask
        parts = [
            rollout[f"state.{name}"][mask].reshape(int(mask.sum()), -1) for name in self.quantities
        ]
        places = self._places(torch.cat([part.to(torch.float64) for part in parts], dim=-1)).cpu()
        if self.places.shape[1] != places.shape[1]:
            self.places = places[:0]
        # Duplicates within the rollout go first: the sorted table of all is then a short sort.
        self.places = torch.unique(torch.cat([self.places, torch.unique(places, dim=0)]), dim=0)
        ends = rollout.done & mask
        happened = [self._number(rollout, name)[mask] != 0 for name in self.events]
        last = [self._number(rollout, name) for name in self.at_end]
        row = [mask.sum(), *(event.sum() for event in happened), ends.sum()]
        row += [values[ends].sum() for values in last]
        self.rows = torch.cat([self.rows, torch.stack([n.to(self.rows).cpu() for n in row])[None]])
        # Kept: the newest rollouts that are needed to fill the window.
        newer = self.rows[:, 0].flip(0).cumsum(0).flip(0) - self.rows[:, 0]
        self.rows = self.rows[newer < self.window]
        if last:
            tops = torch.stack([values[mask].max().to(self.highest).cpu() for values in last])
            self.highest = torch.maximum(self.highest, tops)

    def _places(self, rows: Float[Tensor, "N K"]) -> Int[Tensor, "N K"]:
        if self.width is not None:
            return torch.floor(rows / self.width).to(torch.int64)
        if not bool((rows == rows.round()).all()):
            raise UserError(
                f"{', '.join(self.quantities)} must be made of whole numbers to be counted as they "
                f"are, got {rows[rows != rows.round()][0]}; give the width of a bin (width: 0.5)."
            )
        return rows.to(torch.int64)

    def _number(self, rollout: Rollout, name: str) -> Float[Tensor, "T B"]:
        values = rollout[f"state.{name}"]
        if values.numel() != rollout.T * rollout.B:
            raise UserError(
                f"{name} must be one number per step, got shape [T, B, ...] = {list(values.shape)}."
            )
        return values.reshape(rollout.T, rollout.B).to(torch.float32)

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        # How many places and rollouts there are is known only from what was stored.
        for name in ("places", "rows"):
            stored = state.get(prefix + name)
            if stored is not None:
                setattr(self, name, torch.zeros_like(stored))
        super()._load_from_state_dict(state, prefix, *rest)
