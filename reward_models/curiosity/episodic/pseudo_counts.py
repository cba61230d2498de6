"""Pseudo-counts: novelty within an episode from the nearest embeddings seen in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.curiosity.episodic.neighbour_novelty import NeighbourNovelty
from reward_models.curiosity.inverse_dynamics import FEATURES_OF, InverseDynamics
from reward_models.curiosity.networks import require_finite
from reward_models.encoders import Encoder
from reward_models.errors import UnknownNameError
from reward_models.rollout import Rollout


@final
class PseudoCounts(RewardModel):
    """Episodic novelty of Never Give Up (Badia et al. 2020, section 2.1, algorithm 1) alone.

    Embeddings ``f`` are learned so that an inverse dynamics model tells the action from them. The
    bonus of a step compares its embedding with the ``k`` nearest ones of the running episode by a
    kernel, which stands for the number of visits: about ``1 / sqrt(visits)``, and up to
    ``1 / constant`` far from everything. Nothing is remembered beyond an end of an episode,
    terminated or truncated, but the running mean of squared distances.

    The memory of open episodes belongs to the columns of one vector environment and cannot serve
    single replayed transitions. With an encoder that reads the policy's ``hidden``, the successor
    of a rollout's last step is unknown: it gets no value and is not remembered.

    Args:
        observation_space: space of one observation.
        action_space: Discrete, MultiDiscrete, MultiBinary or Box space of one action.
        encoder: ``f``, copied with its present weights; None takes the one that fits the space.
        keys: keys of a Dict observation to read; all when None.
        latent_size: numbers in an embedding, when no encoder is given.
        neighbours: nearest embeddings ``k`` that are compared; all, while there are fewer.
        cluster_distance: squared distance, in units of the running mean, below which two
            embeddings count as the same.
        epsilon: width of the kernel.
        constant: keeps the bonus below ``1 / constant``.
        max_similarity: places more familiar than this earn nothing.
        capacity: newest embeddings of the episode that are remembered, at least ``neighbours``.
        first_reward: bonus of an episode's first step, which has nothing to be compared with.
        features_of: ``next``, embeddings of the successors, or ``present``, those of ``o_t``.
        learning_rate: of Adam.
        batch_size: steps in a minibatch.
        epochs: passes over a rollout in one update.
        update_proportion: probability with which a step enters the loss.
        normalize_observations: observation vectors as ``clip((x - mean) / std, -5, 5)``; the
            running statistics learn in ``update`` only, before the networks do.
        seed: seed of the weights and of the shuffling.

    Raises:
        UserError: a number out of its range, or a space that cannot be used.
        UnknownNameError: no such ``features_of``.
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
        latent_size: int = 32,
        neighbours: int = 10,
        cluster_distance: float = 0.008,
        epsilon: float = 1e-4,
        constant: float = 1e-3,
        max_similarity: float = 8.0,
        capacity: int = 1000,
        first_reward: float = 0.0,
        features_of: str = "next",
        learning_rate: float = 1e-3,
        batch_size: int = 256,
        epochs: int = 1,
        update_proportion: float = 1.0,
        normalize_observations: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if features_of not in FEATURES_OF:
            raise UnknownNameError("features_of", features_of, FEATURES_OF)
        self.features_of = features_of
        self.dynamics = InverseDynamics(
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
            seed=seed,
        )
        self.novelty = NeighbourNovelty(
            size=self.dynamics.size,
            neighbours=neighbours,
            cluster_distance=cluster_distance,
            epsilon=epsilon,
            constant=constant,
            max_similarity=max_similarity,
            capacity=capacity,
            first_reward=first_reward,
        )
        self.requires = self.dynamics.requires

    def forward(
        self, rollout: Rollout
    ) -> Float[Tensor, "T B"] | tuple[Float[Tensor, "T B"], dict[str, Tensor]]:
        """Return the bonus of every step; with ``defined`` where its embedding may lack."""
        embeddings, defined = self.dynamics.features(rollout, of=self.features_of)
        bonus = self.novelty(rollout, embeddings, defined)
        if self.dynamics.knows_successors:
            return bonus
        return torch.where(defined, bonus, 0.0), {"defined": defined}

    @torch.no_grad()
    def update(self, rollout: Rollout) -> dict[str, float]:
        """Remember the running episodes as ``forward`` saw them, then train the embeddings.

        Returns:
            ``inverse_loss`` before each gradient step; ``{}`` when no step could be learned from.

        Raises:
            UserError: an observation or an action is NaN or infinite; nothing was learned then.
        """
        embeddings, defined = self.dynamics.features(rollout, of=self.features_of)
        require_finite("features", embeddings)
        metrics = self.dynamics.update(rollout)
        self.novelty.remember(rollout, embeddings, defined)
        return metrics
