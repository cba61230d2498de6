"""RIDE: reward for steps that change what the agent can influence, shared among repeated visits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from gymnasium import spaces
from jaxtyping import Float, Int
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.curiosity.counting.visits import EpisodeVisits
from reward_models.curiosity.episodic.neighbour_novelty import NeighbourNovelty
from reward_models.curiosity.episodic.state_code import StateCode
from reward_models.curiosity.icm import ICM
from reward_models.curiosity.networks import (
    flat_steps,
    in_chunks,
    over_transitions,
    require_finite,
)
from reward_models.encoders import Encoder
from reward_models.errors import UnknownNameError
from reward_models.rollout import Rollout

_EPISODIC = ("visits", "pseudo_counts")


@final
class RIDE(RewardModel):
    """Rewarding impact-driven exploration (Raileanu and Rocktaschel 2020, section 3).

    ``r_t = |phi(o_{t+1}) - phi(o_t)|_2 * e_t`` (eq. 1): the change in features of what the agent
    can influence, which are learned by an intrinsic curiosity module, times

    - ``visits``: ``e_t = 1 / sqrt(N(o_{t+1}))`` with the number of times this successor was
      reached in the running episode, this one included. What counts as the same observation:
      ``StateCode``; in a Dict observation leave clocks out with ``keys``, or nothing comes twice.
    - ``pseudo_counts``: ``e_t`` is the bonus of ``NeighbourNovelty`` of ``phi(o_{t+1})``, as in
      the collection of Yuan et al. (2025), and 0 at the first step of an episode.

    Nothing is remembered of an episode beyond its end, terminated or truncated, but the running
    mean of ``pseudo_counts``. The memory of open episodes belongs to the columns of one vector
    environment and cannot serve single replayed transitions. With an encoder that reads the
    policy's ``hidden``, the successor of a rollout's last step is unknown: it gets no value and is
    not remembered.

    Args:
        observation_space: space of one observation.
        action_space: Discrete, MultiDiscrete, MultiBinary or Box space of one action.
        encoder: ``phi``, copied with its present weights; None takes the one that fits the space.
        keys: keys of a Dict observation to read and to count; all when None.
        latent_size: number of features ``D`` of ``phi``, when no encoder is given.
        episodic: ``visits`` or ``pseudo_counts``.
        hash_bits: projections by which real numbers are told apart, for ``visits``.
        neighbours: nearest embeddings that are compared, for ``pseudo_counts``.
        capacity: newest embeddings of the episode that are remembered, for ``pseudo_counts``.
        stop_forward_grad: see ``ICM``.
        beta: see ``ICM``.
        learning_rate: of Adam.
        batch_size: steps in a minibatch.
        epochs: passes over a rollout in one update.
        update_proportion: probability with which a step enters the loss.
        normalize_observations: observation vectors as ``clip((x - mean) / std, -5, 5)`` for
            ``phi``; the running statistics learn in ``update`` only, before the networks do.
        seed: seed of the weights, the codes and the shuffling.

    Raises:
        UserError: a number out of its range, or a space that cannot be used.
        UnknownNameError: no such ``episodic``.
    """

    preferred_scale = "reward_std"
    concurrent_update = True
    replayable = False

    def __init__(
        self,
        *,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        encoder: Encoder | None = None,
        keys: Sequence[str] | None = None,
        latent_size: int = 128,
        episodic: str = "visits",
        hash_bits: int = 64,
        neighbours: int = 10,
        capacity: int = 1000,
        stop_forward_grad: bool = False,
        beta: float | None = None,
        learning_rate: float = 1e-3,
        batch_size: int = 256,
        epochs: int = 1,
        update_proportion: float = 1.0,
        normalize_observations: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if episodic not in _EPISODIC:
            raise UnknownNameError("episodic", episodic, _EPISODIC)
        self.episodic = episodic
        self.icm = ICM(
            observation_space=observation_space,
            action_space=action_space,
            encoder=encoder,
            keys=keys,
            latent_size=latent_size,
            learning_rate=learning_rate,
            batch_size=batch_size,
            epochs=epochs,
            update_proportion=update_proportion,
            normalize_observations=normalize_observations,
            stop_forward_grad=stop_forward_grad,
            beta=beta,
            seed=seed,
        )
        space = self.icm.encoder.input_space
        if episodic == "visits":
            self.code = StateCode(space=space, bits=hash_bits, seed=seed + 2)
            self.visits = EpisodeVisits()
        else:
            self.novelty = NeighbourNovelty(
                size=self.icm.encoder.output_size, neighbours=neighbours, capacity=capacity
            )
        self.requires = self.icm.requires

    def forward(
        self, rollout: Rollout
    ) -> Float[Tensor, "T B"] | tuple[Float[Tensor, "T B"], dict[str, Tensor]]:
        """Return the bonus of every step; with ``defined`` where the successor may lack."""
        before = self.icm.encoder.inputs(rollout)
        inputs, defined = self.icm.encoder.next_inputs(rollout)
        impact = over_transitions(_distance, self._encoded, before, inputs)
        impact = impact.view(rollout.T, rollout.B)
        if self.episodic == "visits":
            visits = self.visits.count(rollout, self._codes(rollout, inputs), defined)
            factor = visits.clamp_min(1).to(torch.float32).rsqrt()
        else:
            factor = self.novelty(rollout, self._embeddings(rollout), defined)
        bonus = impact * factor
        if self.icm.replayable:
            return bonus
        return torch.where(defined, bonus, 0.0), {"defined": defined}

    @torch.no_grad()
    def update(self, rollout: Rollout) -> dict[str, float]:
        """Remember the running episodes as ``forward`` saw them, then train the features.

        Returns:
            ``loss``, ``forward_loss`` and ``inverse_loss``, each before its gradient step; ``{}``
            when no step could be learned from.

        Raises:
            UserError: an observation or an action is NaN or infinite; nothing was learned then.
        """
        inputs, defined = self.icm.encoder.next_inputs(rollout)
        if self.episodic == "visits":
            metrics = self.icm.update(rollout)
            self.visits.add(rollout, self._codes(rollout, inputs), defined)
            return metrics
        embeddings = self._embeddings(rollout)
        require_finite("features", embeddings)
        metrics = self.icm.update(rollout)
        self.novelty.remember(rollout, embeddings, defined)
        return metrics

    def _encoded(self, inputs: Any) -> Float[Tensor, "N D"]:
        return self.icm.encoder(self.icm.normalizer(inputs))

    def _embeddings(self, rollout: Rollout) -> Float[Tensor, "T B D"]:
        """Return the features of the successors, zero where they are unknown."""
        inputs, defined = self.icm.encoder.next_inputs(rollout)
        found = in_chunks(self._encoded, flat_steps(inputs)).unflatten(0, defined.shape)
        return torch.where(defined.unsqueeze(-1), found, 0.0)

    def _codes(self, rollout: Rollout, inputs: Any) -> Int[Tensor, "T B"]:
        return self.code(flat_steps(inputs)).view(rollout.T, rollout.B)


def _distance(before: Float[Tensor, "N D"], after: Float[Tensor, "N D"]) -> Float[Tensor, " N"]:
    return torch.linalg.vector_norm(after - before, dim=-1)
