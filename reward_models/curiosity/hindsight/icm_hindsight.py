"""Curiosity in hindsight on the features of an intrinsic curiosity module."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import final

import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.curiosity.hindsight.latent_errors import unit
from reward_models.curiosity.hindsight.latent_experience import Experience, shuffled_minibatches
from reward_models.curiosity.hindsight.latent_world import OneStepWorld, Pairs
from reward_models.curiosity.hindsight.learner import ONE_COLUMN, HindsightLearner
from reward_models.curiosity.hindsight.surprise import SurpriseNormalizer
from reward_models.curiosity.inverse_dynamics import InverseDynamics
from reward_models.curiosity.networks import action_rows
from reward_models.encoders import Encoder
from reward_models.rollout import Rollout


@final
class ICMHindsight(RewardModel):
    """The hindsight wrapper of Jarrett et al. (2023) around the forward model of `ICM`.

    Features ``phi`` are learned by the inverse model alone. The forward model is a reconstructor
    that gets ``phi(o)``, the action and a vector ``Z`` generated after the fact, and must find the
    direction of ``phi(o')``. The raw reward ``R = L_rec / lambda + l_inv`` is that of
    `BYOLHindsight`, and so is its normalisation; ``l_inv`` compares the columns of a time step.

    Args:
        observation_space: space of one observation.
        action_space: Discrete, MultiDiscrete, MultiBinary or Box space of one action.
        encoder: ``phi``, copied with its present weights; None takes the one that fits the space.
        keys: keys of a Dict observation to read; all when None.
        latent_size: number of features of ``phi``, when no encoder is given.
        hindsight_size: numbers of ``Z``.
        noise_size: numbers of the generator's noise.
        hidden: widths of the hidden layers of generator, reconstructor and critic.
        trade_off: ``lambda``, positive; small values tolerate more noise in ``Z``.
        critic_bound: scores lie in (-bound, bound).
        negatives: the most columns (or steps of a minibatch) that are compared with each other;
            more are cut into groups of neighbours.
        reward_decay: of the moving averages of the raw rewards, in [0, 1).
        learning_rate: of all Adams.
        batch_size: steps in a minibatch.
        epochs: passes over a rollout in one update.
        normalize_observations: observation vectors as ``clip((x - mean) / std, -5, 5)``.
        seed: seed of weights, shuffling and noise.

    Raises:
        UserError: a number out of its range, or a space that cannot be used.
    """

    concurrent_update = True
    goal_relabelling = True
    batch_dependent = True

    def __init__(
        self,
        *,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        encoder: Encoder | None = None,
        keys: Sequence[str] | None = None,
        latent_size: int = 128,
        hindsight_size: int = 8,
        noise_size: int = 8,
        hidden: Sequence[int] = (64, 64),
        trade_off: float = 0.1,
        critic_bound: float = 5.0,
        negatives: int = 32,
        reward_decay: float = 0.99,
        learning_rate: float = 1e-3,
        batch_size: int = 256,
        epochs: int = 1,
        normalize_observations: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.epochs = epochs
        self.features = InverseDynamics(
            observation_space=observation_space,
            action_space=action_space,
            encoder=encoder,
            keys=keys,
            latent_size=latent_size,
            learning_rate=learning_rate,
            batch_size=batch_size,
            epochs=epochs,
            normalize_observations=normalize_observations,
            seed=seed,
        )
        self.world = OneStepWorld(
            embedding_size=self.features.size,
            action_size=self.features.actions.size,
            target_size=None,
            hidden=hidden,
            seed=seed + 2,
        )
        self.learner = HindsightLearner(
            context_size=self.world.context_size,
            target_size=self.features.size,
            horizon=1,
            negatives=negatives,
            hindsight_size=hindsight_size,
            noise_size=noise_size,
            hidden=tuple(hidden),
            trade_off=trade_off,
            critic_bound=critic_bound,
            invariance_loss=True,
            learning_rate=learning_rate,
            batch_size=batch_size,
            epochs=epochs,
            seed=seed + 3,
        )
        self.surprise = SurpriseNormalizer(decay=reward_decay)
        self.requires = self.features.requires
        self.replayable = self.features.knows_successors

    def forward(
        self, rollout: Rollout
    ) -> Float[Tensor, "T B"] | tuple[Float[Tensor, "T B"], dict[str, Tensor]]:
        """Return the reward of every step; with ``defined`` where the successor may lack."""
        experience = self._experience(rollout)
        raw = self._raw(experience)
        reward = torch.zeros_like(raw)
        reward[experience.known] = self.surprise(raw[experience.known])
        if self.replayable:
            return reward
        return reward, {"defined": experience.known}

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Learn the features, the statistics, and hindsight on the features of before.

        Returns:
            Losses, and the average and deviation of the raw reward; ``{}`` when no step's
            successor is known.

        Raises:
            UserError: an observation or an action is NaN or infinite.
        """
        with torch.no_grad():
            experience = self._experience(rollout)
            if not bool(experience.known.any()):
                return {}
            raw = self._raw(experience)
        if rollout.B == 1 and rollout.T == 1:
            warnings.warn(ONE_COLUMN, stacklevel=2)
        # First, because it refuses what cannot be learned from before anything has changed.
        metrics = self.features.update(rollout)
        self.surprise.update(raw[experience.known])
        found: dict[str, list[float]] = {}
        for _ in range(self.epochs):
            for part in shuffled_minibatches(experience, self.learner.trainer):
                with torch.enable_grad():
                    losses = self.learner.learn(self._pairs(part), [unit(part.after)])
                for name, value in losses.items():
                    found.setdefault(name, []).append(float(value))
        return {
            **metrics,
            **{name: sum(values) / len(values) for name, values in found.items()},
            "raw_reward": self.surprise.mean,
            "raw_reward_deviation": self.surprise.deviation,
        }

    def _experience(self, rollout: Rollout) -> Experience:
        """Return the features before and after every step; they carry no graph."""
        before, _ = self.features.features(rollout, of="present")
        after, known = self.features.features(rollout, of="next")
        codes = action_rows(self.features.actions, rollout).unflatten(0, (rollout.T, rollout.B))
        return Experience(before.detach(), after.detach(), codes, rollout.episode_numbers(), known)

    def _pairs(self, experience: Experience) -> list[Pairs]:
        pairs = self.world.pairs(experience.before, experience.action, experience.episode)
        return [pair._replace(valid=pair.valid & experience.known) for pair in pairs]

    def _raw(self, experience: Experience) -> Float[Tensor, "T B"]:
        pairs = self._pairs(experience)
        errors = self.learner.pair_errors(pairs, [unit(experience.after)])[0]
        return torch.where(pairs[0].valid, errors, 0.0)
