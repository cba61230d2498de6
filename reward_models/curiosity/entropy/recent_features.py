"""State entropy from distances to recently visited states: the storage that RE3 and RISE share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from jaxtyping import Bool, Float, Int
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.curiosity.column_memory import ColumnMemory
from reward_models.curiosity.networks import (
    ObservationNormalizer,
    chosen_encoder,
    flat_steps,
    in_chunks,
    require_finite,
)
from reward_models.encoders import Encoder
from reward_models.errors import UserError
from reward_models.rollout import Rollout

_DISTANCES_AT_ONCE = 2**19
_GROUP = 8


def nearest_distances(
    queries: Float[Tensor, "B Q D"],
    stored: Float[Tensor, "B S D"],
    seen: Bool[Tensor, "B Q S"],
    count: int,
) -> Float[Tensor, "B Q K"]:
    """Return the ``count`` smallest distances of each query to the stored features it has seen.

    Ascending, Euclidean. Where fewer are seen, the largest of them fills the rest; zeros where
    none is. The candidates are found by one matrix product and their distances computed anew from
    differences, so that equal features have distance 0 exactly.
    """
    lengths = torch.linalg.vector_norm(stored, dim=-1).square().unsqueeze(1)
    # The query's own length is the same for all candidates and does not change their order.
    ranking = torch.bmm(queries, stored.transpose(1, 2)).mul_(-2.0).add_(lengths)
    scores, nearest = _smallest(ranking.masked_fill_(~seen, torch.inf), count)
    rows = torch.arange(len(stored), device=stored.device)[:, None, None]
    distances = torch.linalg.vector_norm(stored[rows, nearest] - queries.unsqueeze(2), dim=-1)
    known = scores.isfinite()
    largest = torch.where(known, distances, 0.0).amax(-1, keepdim=True)
    distances = torch.where(known, distances, largest).sort(-1).values
    missing = count - distances.shape[-1]
    return torch.cat([distances, largest.expand(*largest.shape[:-1], missing)], -1)


def _smallest(
    values: Float[Tensor, "B Q S"], count: int
) -> tuple[Float[Tensor, "B Q K"], Int[Tensor, "B Q K"]]:
    """Return the ``count`` smallest values of each row (all, where there are fewer), unordered."""
    size = values.shape[-1]
    if size % _GROUP or size // _GROUP < count:
        return values.topk(min(count, size), largest=False, sorted=False)
    # They lie in the groups with the smallest minima, so fewer numbers are searched.
    groups = values.unflatten(-1, (_GROUP, size // _GROUP))
    best = groups.amin(-2).topk(count, largest=False, sorted=False).indices
    members = torch.arange(_GROUP, device=values.device) * (size // _GROUP)
    places = (best.unsqueeze(-1) + members).flatten(-2)
    scores, among = values.gather(-1, places).topk(count, largest=False, sorted=False)
    return scores, places.gather(-1, among)


class RecentFeatures(RewardModel):
    """A reward from the distances between the state arrived at and those visited shortly before.

    ``phi`` is a frozen random network. Each column keeps the features of the newest ``storage``
    states in arrival order, across the ends of episodes. The state of a step is in there when its
    distances are taken: at step ``t`` the storage holds what came before the rollout, the states
    of steps ``0 .. t`` of the same column, and of all these the newest ``storage``. With
    ``d_(j)`` the ``j``-th smallest distance (``d_(1) = 0`` is the state itself), a subclass makes
    a reward of ``d_(1) .. d_(k+1)``. Where fewer than ``k + 1`` states are stored, the largest
    distance stands for the missing ones; the very first state of a column has distances 0.

    Rollouts of another number of columns (an evaluation's) begin with empty storages.

    Args:
        observation_space: space of one observation.
        encoder: ``phi``, copied with its present weights and frozen; None takes the one that fits
            the space.
        keys: keys of a Dict observation to read; all when None.
        latent_size: number of features of ``phi``, when no encoder is given.
        k: neighbours, from 1 to ``storage``.
        storage: states that each column keeps.
        normalize_observations: observation vectors as ``clip((x - mean) / std, -5, 5)``; the
            running statistics learn in ``update`` only, before the states are stored.
        seed: seed of the weights.

    Raises:
        UserError: a number out of its range, or a space without an encoder.
    """

    preferred_scale = "reward_std"
    concurrent_update = True
    replayable = False

    def __init__(
        self,
        *,
        observation_space: spaces.Space,
        encoder: Encoder | None,
        keys: Sequence[str] | None,
        latent_size: int,
        k: int,
        storage: int,
        normalize_observations: bool,
        seed: int,
    ) -> None:
        super().__init__()
        if not 1 <= k <= storage:
            raise UserError(
                f"k must lie between 1 and storage = {storage} (the states that are kept), got {k}."
            )
        self.k, self.storage = k, storage
        self.encoder = chosen_encoder(encoder, observation_space, latent_size, keys, seed)
        self.encoder.requires_grad_(False)
        self.normalizer = ObservationNormalizer(
            space=self.encoder.input_space, enabled=normalize_observations
        )
        self.memory = ColumnMemory(
            features=torch.zeros(storage, self.encoder.output_size),
            stored=torch.zeros((), dtype=torch.int64),
        )
        self.requires = self.encoder.requires

    @abstractmethod
    def reward_of(self, distances: Float[Tensor, "*batch K"]) -> Float[Tensor, "*batch"]:
        """Return the reward of ascending distances ``d_(1) .. d_(k+1)``."""

    def forward(
        self, rollout: Rollout
    ) -> Float[Tensor, "T B"] | tuple[Float[Tensor, "T B"], dict[str, Tensor]]:
        """Return the reward of every step; with ``defined`` where the successor may lack."""
        inputs, real = self.encoder.next_inputs(rollout)
        features, order = self._in_arrival_order(inputs, real)
        memory = self.memory.read(rollout, lasting=True)
        # Zeros in front, which nobody sees, make the size one that can be searched in groups.
        spare = -(self.storage + rollout.T) % _GROUP
        unseen = features.new_zeros((rollout.B, spare, features.shape[-1]))
        known = torch.cat([unseen, memory["features"], features], 1)
        steps = min(rollout.T, max(1, _DISTANCES_AT_ONCE // known.shape[1]))
        columns = max(1, _DISTANCES_AT_ONCE // (steps * known.shape[1]))
        parts = [
            torch.cat(
                [
                    self.reward_of(self._distances(*of_columns, rollout.T, start, start + steps))
                    for start in range(0, rollout.T, steps)
                ],
                1,
            )
            for of_columns in zip(
                known.split(columns), memory["stored"].split(columns), strict=True
            )
        ]
        ordered = torch.cat(parts).t()
        reward = torch.where(real, torch.zeros_like(ordered).scatter(0, order, ordered), 0.0)
        return reward if self.encoder.replayable else (reward, {"defined": real})

    @torch.no_grad()
    def update(self, rollout: Rollout) -> dict[str, float]:
        """Store the states of the real steps; ``{}`` when there are none.

        Returns:
            ``stored``, the number of states in a column's storage, averaged over columns.

        Raises:
            UserError: an observation is NaN or infinite.
        """
        inputs, real = self.encoder.next_inputs(rollout)
        if not bool(real.any()):
            return {}
        require_finite("next_observation", inputs[real])
        self.normalizer.update(inputs[real])
        features, _ = self._in_arrival_order(inputs, real)
        memory = self.memory.read(rollout, lasting=True)
        known = torch.cat([memory["features"], features], 1)
        arrived = real.sum(0)
        # Each column's newest states end where its own arrivals end; padding lies behind.
        slots = arrived[:, None] + torch.arange(self.storage, device=known.device)
        kept = known.gather(1, slots[..., None].expand(-1, -1, known.shape[-1]))
        stored = (memory["stored"] + arrived).clamp_max(self.storage)
        self.memory.write(features=kept, stored=stored)
        return {"stored": float(stored.to(torch.float64).mean())}

    def _in_arrival_order(
        self, inputs: Any, real: Bool[Tensor, "T B"]
    ) -> tuple[Float[Tensor, "B T D"], Int[Tensor, "T B"]]:
        """Return each column's features, those of real steps first, and the steps in that order."""
        features = in_chunks(self._features, flat_steps(inputs)).unflatten(0, real.shape)
        order = (~real).to(torch.int8).argsort(dim=0, stable=True)
        if not bool(real.all()):
            features = torch.where(real.unsqueeze(-1), features, 0.0)
            features = features.gather(0, order.unsqueeze(-1).expand_as(features))
        return features.transpose(0, 1), order

    def _distances(
        self,
        known: Float[Tensor, "B S D"],
        stored: Int[Tensor, " B"],
        steps: int,
        start: int,
        stop: int,
    ) -> Float[Tensor, "B Q K"]:
        """Return the distances of steps ``start .. stop - 1`` of a rollout's ``steps``.

        Args:
            known: features of the storage and then of the rollout's steps.
            stored: how many of the storage's newest places are filled.
            steps: of the rollout.
            start: first step to be rewarded.
            stop: one past the last one; past the end of the rollout means its end.
        """
        before = known.shape[1] - steps
        stop = min(stop, steps)
        # Only what some of these steps can see, in a size that is a multiple of the group's.
        first = max(0, before + start + 1 - self.storage) // _GROUP * _GROUP
        last = min(known.shape[1], -(-(before + stop) // _GROUP) * _GROUP)
        place = torch.arange(first, last, device=known.device)
        own = torch.arange(before + start, before + stop, device=known.device).unsqueeze(1)
        window = (place <= own) & (place > own - self.storage)
        filled = place >= before - stored.unsqueeze(1)
        return nearest_distances(
            known[:, before + start : before + stop],
            known[:, first:last],
            window & filled.unsqueeze(1),
            self.k + 1,
        )

    def _features(self, inputs: Any) -> Float[Tensor, "N D"]:
        return self.encoder(self.normalizer(inputs))
