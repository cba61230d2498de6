"""Visit counts: novelty as one over the square root of how often a state was seen."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, final

import torch
from gymnasium import spaces
from jaxtyping import Bool, Float, Int
from tensordict import TensorDict
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.curiosity.counting.flat import FlatEncoder, chosen_space
from reward_models.curiosity.counting.visits import (
    EpisodeVisits,
    VisitTable,
    state_keys,
    visits_until,
)
from reward_models.curiosity.networks import require_finite
from reward_models.errors import UserError
from reward_models.rollout import CORE_KEYS, OPTIONAL_KEYS, Rollout


class CountBonus(RewardModel):
    """``r_t = 1 / sqrt(N(key))`` with ``N`` the visits of the key arrived at, this one included.

    A subclass says what the key of a step is. Values lie in (0, 1]. ``N`` counts in arrival order:
    visits before the rollout, visits at earlier times of the rollout in any column, and visits at
    the same time, so that the order of columns does not matter.

    Args:
        episodic: count in each column's running episode alone; forgotten at its end, terminated
            or truncated.
        arrival_order: when false, every step of a rollout gets ``N = 1 +`` the visits before the
            rollout. A value then belongs to its transition alone, and learners that replay single
            transitions can use the model; what they replay was counted once before.

    Raises:
        UserError: an episodic count without arrival order.
    """

    preferred_scale = "reward_std"
    goal_relabelling = True
    concurrent_update = True
    successor_may_lack = False

    def __init__(self, *, episodic: bool, arrival_order: bool) -> None:
        super().__init__()
        if episodic and not arrival_order:
            raise UserError(
                "episodic counts follow the steps of an episode one after the other, so "
                "arrival_order must stay true; leave one of the two options out."
            )
        self.episodic, self.arrival_order = episodic, arrival_order
        self.table = EpisodeVisits() if episodic else VisitTable()
        self.replayable = not arrival_order

    @abstractmethod
    def keys_of(self, rollout: Rollout) -> tuple[Int[Tensor, "T B"], Bool[Tensor, "T B"]]:
        """Return the key of the state each step arrives at, and where it is known."""

    @abstractmethod
    def require_countable(self, rollout: Rollout, real: Bool[Tensor, "T B"]) -> None:
        """Refuse to count what is not finite.

        Raises:
            UserError: it is not.
        """

    def forward(
        self, rollout: Rollout
    ) -> Float[Tensor, "T B"] | tuple[Float[Tensor, "T B"], dict[str, Tensor]]:
        """Return the bonus of every step; with ``defined`` where the successor may lack."""
        keys, real = self.keys_of(rollout)
        if isinstance(self.table, EpisodeVisits):
            visits = self.table.count(rollout, keys, real)
        elif self.arrival_order:
            visits = self.table.count(keys) + visits_until(keys, real)[0]
        else:
            visits = self.table.count(keys) + 1
        reward = torch.where(real, visits.clamp_min(1).to(torch.float32).rsqrt(), 0.0)
        return (reward, {"defined": real}) if self.successor_may_lack else reward

    @torch.no_grad()
    def update(self, rollout: Rollout) -> dict[str, float]:
        """Count the real steps; ``{}`` when there are none.

        Returns:
            ``visited``, the number of different states so far; with ``episodic`` those of the
            running episodes, averaged over columns.

        Raises:
            UserError: what is counted is NaN or infinite.
        """
        keys, real = self.keys_of(rollout)
        if not bool(real.any()):
            if isinstance(self.table, EpisodeVisits):
                self.table.add(rollout, keys, real)
            return {}
        self.require_countable(rollout, real)
        if isinstance(self.table, EpisodeVisits):
            self.table.add(rollout, keys, real)
            return {"visited": len(self.table) / rollout.B}
        self.table.add(*keys[real].unique(return_counts=True))
        return {"visited": float(len(self.table))}


@final
class Counts(CountBonus):
    """Tabular visit counts (the bonus of Strehl and Littman 2008).

    ``r_t = 1 / sqrt(N(s_{t+1}))``, see ``CountBonus``. States are told apart by their exact
    values, hashed to 64 bits (see ``state_keys``), and the table grows by 16 bytes for each.

    Args:
        observation_space: space of one observation.
        key: what the state is: an entry of the record such as ``state.position``, which learners
            then record; None takes the observation itself.
        keys: keys of a Dict observation that make the state; all when None.
        bin_width: numbers with decimals count as equal when they fall into one bin of this width,
            ``floor(x / bin_width)``; None compares them exactly.
        episodic: count in each column's running episode alone.
        arrival_order: see ``CountBonus``; false for learners that replay single transitions.

    Raises:
        UserError: an entry that cannot be counted, or options that exclude each other.
        UnknownNameError: a key that the observation space does not have.
    """

    def __init__(
        self,
        *,
        observation_space: spaces.Space,
        key: str | None = None,
        keys: Sequence[str] | None = None,
        bin_width: float | None = None,
        episodic: bool = False,
        arrival_order: bool = True,
    ) -> None:
        super().__init__(episodic=episodic, arrival_order=arrival_order)
        if bin_width is not None and not 0.0 < bin_width < math.inf:
            raise UserError(f"bin_width must be positive and finite or None, got {bin_width}.")
        if key is not None:
            _check_entry(key, keys)
            self.requires = frozenset({key})
        self.key, self.bin_width = key, bin_width
        space = None if key is not None else chosen_space(observation_space, keys)
        self.observations = None if space is None else FlatEncoder(space=space)

    def keys_of(self, rollout: Rollout) -> tuple[Int[Tensor, "T B"], Bool[Tensor, "T B"]]:
        """Return the key of the state each step arrives at, and where it is real."""
        return state_keys(_binned(self._values(rollout), self.bin_width), 2), rollout.mask

    def require_countable(self, rollout: Rollout, real: Bool[Tensor, "T B"]) -> None:
        """Refuse to count what is not finite."""
        require_finite(self.key or "next_observation", self._values(rollout)[real])

    def _values(self, rollout: Rollout) -> Any:
        if self.observations is None:
            return rollout[str(self.key)]
        return self.observations.next_inputs(rollout)[0]


def _check_entry(key: str, keys: Sequence[str] | None) -> None:
    """Refuse an entry of the record that no learner could be asked for."""
    name = key.partition(".")[0]
    if keys is not None:
        raise UserError(
            f"Pass either key={key!r} (an entry of the record) or keys (of the observation)."
        )
    if name in CORE_KEYS or name not in OPTIONAL_KEYS or name == "mask" or key == "state":
        raise UserError(
            f"key must name an optional entry of the record, for example state.position, got "
            f"{key!r}; leave it out to count observations (keys chooses among those of a Dict)."
        )


def _binned(values: Any, width: float | None) -> Any:
    if width is None:
        return values
    if isinstance(values, Tensor):
        return (values / width).floor() if values.is_floating_point() else values
    binned = {key: _binned(value, width) for key, value in values.items()}
    return TensorDict(binned, batch_size=values.batch_size)
