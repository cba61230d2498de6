"""Features of what an agent can influence, learned by telling its actions from their effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from gymnasium import spaces
from jaxtyping import Bool, Float
from torch import Tensor, nn

from reward_models.curiosity.networks import (
    ActionCode,
    ObservationNormalizer,
    chosen_encoder,
    flat_steps,
    in_chunks,
    real_steps,
    require_finite,
)
from reward_models.curiosity.training import Losses, MinibatchTrainer
from reward_models.encoders import Encoder, initialize, mlp, seeded
from reward_models.errors import UnknownNameError
from reward_models.rollout import Rollout

FEATURES_OF = ("next", "present")
"""Whose features a bonus reads: of the successor ``o_{t+1}`` or of ``o_t``."""


@final
class InverseDynamics(nn.Module):
    """Encoder ``phi`` with a model that tells the action from ``phi(o_t)`` and ``phi(o_{t+1})``.

    The inverse half of the intrinsic curiosity module (Pathak et al. 2017, eq. 2). What no action
    changes does not help to tell it, so ``phi`` learns to leave it out. Bonuses that measure
    novelty in such features hold one of these as a child.

    Args:
        observation_space: space of one observation.
        action_space: Discrete, MultiDiscrete, MultiBinary or Box space of one action.
        encoder: ``phi``, copied with its present weights; None takes the one that fits the space.
        keys: keys of a Dict observation to read; all when None.
        latent_size: number of features ``D`` of ``phi``, when no encoder is given.
        learning_rate: of Adam.
        batch_size: steps in a minibatch.
        epochs: passes over a rollout in one update.
        update_proportion: probability with which a step enters the loss.
        normalize_observations: observation vectors as ``clip((x - mean) / std, -5, 5)``; the
            running statistics learn in ``update`` only, before the networks do.
        seed: seed of the weights and of the shuffling.

    Attributes:
        size: number of features ``D``.
        requires: record keys beyond the core ones.
        knows_successors: the successor's features are known at every real step; false for an
            encoder that finds them in the next time step.

    Raises:
        UserError: a number out of its range, or a space that cannot be used.
    """

    def __init__(
        self,
        *,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        encoder: Encoder | None = None,
        keys: Sequence[str] | None = None,
        latent_size: int = 128,
        learning_rate: float = 1e-3,
        batch_size: int = 256,
        epochs: int = 1,
        update_proportion: float = 1.0,
        normalize_observations: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.encoder = chosen_encoder(encoder, observation_space, latent_size, keys, seed)
        self.actions = ActionCode(space=action_space)
        with seeded(seed + 1):
            self.inverse = mlp(2 * self.encoder.output_size, self.actions.size)
            initialize(self.inverse)
        self.normalizer = ObservationNormalizer(
            space=self.encoder.input_space, enabled=normalize_observations
        )
        self.trainer = MinibatchTrainer(
            self.parameters(),
            learning_rate=learning_rate,
            batch_size=batch_size,
            epochs=epochs,
            update_proportion=update_proportion,
            seed=seed,
        )
        self.size = self.encoder.output_size
        self.requires, self.knows_successors = self.encoder.requires, self.encoder.replayable

    def features(
        self, rollout: Rollout, *, of: str = "next"
    ) -> tuple[Float[Tensor, "T B D"], Bool[Tensor, "T B"]]:
        """Return the features of every step, zero where they are unknown, and where they are known.

        Args:
            rollout: any rollout.
            of: ``next`` for those of the true successor, ``present`` for those of ``o_t``.

        Raises:
            UnknownNameError: another ``of``.
        """
        if of == "next":
            inputs, defined = self.encoder.next_inputs(rollout)
        elif of == "present":
            inputs, defined = self.encoder.inputs(rollout), rollout.mask
        else:
            raise UnknownNameError("features_of", of, FEATURES_OF)
        found = in_chunks(self._features, flat_steps(inputs)).unflatten(0, (rollout.T, rollout.B))
        if bool(defined.all()):
            return found, defined
        return torch.where(defined.unsqueeze(-1), found, 0.0), defined

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Train ``phi`` and the inverse model on the real steps with a known successor.

        Returns:
            ``inverse_loss`` before each gradient step (cross-entropy, or squared error averaged
            over the action's numbers); ``{}`` without any such step.

        Raises:
            UserError: an observation or an action is NaN or infinite; nothing was learned then.
        """
        after, defined = self.encoder.next_inputs(rollout)
        if not bool(defined.any()):
            return {}
        before = real_steps(self.encoder.inputs(rollout), defined)
        after, action = real_steps(after, defined), real_steps(rollout.action, defined)
        require_finite("observation", before)
        require_finite("next_observation", after)
        require_finite("action", action)
        code = self.actions(action)
        self.normalizer.update(before)
        samples = (self.normalizer(before), self.normalizer(after), code)
        return {"inverse_loss": self.trainer.minimize(samples, self._losses)["loss"]}

    def _features(self, inputs: Any) -> Float[Tensor, "N D"]:
        return self.encoder(self.normalizer(inputs))

    def _losses(self, before: Any, after: Any, action: Tensor) -> Losses:
        # Both observations of a step side by side: one pass, and the inverse model's input.
        pairs = self.encoder(torch.stack([before, after], 1).flatten(0, 1)).unflatten(0, (-1, 2))
        return {"loss": self.actions.loss(self.inverse(pairs.flatten(1)), action)}
