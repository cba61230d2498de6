"""Random network distillation: novelty as the error of predicting a fixed random network."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.curiosity.networks import (
    ObservationNormalizer,
    chosen_encoder,
    flat_steps,
    in_chunks,
    prediction_error,
    real_steps,
    require_finite,
)
from reward_models.curiosity.training import Losses, MinibatchTrainer
from reward_models.encoders import Encoder, seeded
from reward_models.rollout import Rollout


class RND(RewardModel):
    """Exploration bonus of random network distillation (Burda et al. 2018, section 2.2).

    ``r_t = mean_d (p(o_{t+1}) - t(o_{t+1}))^2``: the error of a trained predictor ``p`` against a
    frozen random target ``t``, which is large where little was seen. It is measured on the true
    successor, also at the end of an episode; the predictor then learns the same error on ``o_t``
    of the rollout's real steps. Values are non-negative without a natural unit, so a mix divides
    them by the running deviation of their return unless told otherwise.

    Args:
        observation_space: space of one observation.
        encoder: architecture of predictor and target; each draws its own trainable weights, frozen
            parameters and buffers are copied. None takes the one that fits the space.
        keys: keys of a Dict observation to read; all when None.
        latent_size: number of features ``d`` of the networks, when no encoder is given.
        learning_rate: of Adam.
        batch_size: steps in a minibatch.
        epochs: passes over a rollout in one update.
        update_proportion: probability with which a step enters the loss.
        normalize_observations: observation vectors as ``clip((x - mean) / std, -5, 5)``; the
            running statistics learn in ``update`` only, before the predictor does.
        seed: seed of the weights and of the shuffling.

    Raises:
        UserError: a number out of its range, or a space without an encoder.
    """

    preferred_scale = "return_std"
    goal_relabelling = True
    concurrent_update = True

    def __init__(
        self,
        *,
        observation_space: spaces.Space,
        encoder: Encoder | None = None,
        keys: Sequence[str] | None = None,
        latent_size: int = 128,
        learning_rate: float = 1e-3,
        batch_size: int = 256,
        epochs: int = 1,
        update_proportion: float = 1.0,
        normalize_observations: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        template = chosen_encoder(encoder, observation_space, latent_size, keys, seed)
        self.target, self.predictor = template, copy.deepcopy(template)
        with seeded(seed):
            self.target.redraw()
            self.predictor.redraw()
        self.target.requires_grad_(False)
        self.normalizer = ObservationNormalizer(
            space=template.input_space, enabled=normalize_observations
        )
        self.trainer = MinibatchTrainer(
            self.predictor.parameters(),
            learning_rate=learning_rate,
            batch_size=batch_size,
            epochs=epochs,
            update_proportion=update_proportion,
            seed=seed,
        )
        self.requires, self.replayable = template.requires, template.replayable

    def forward(
        self, rollout: Rollout
    ) -> Float[Tensor, "T B"] | tuple[Float[Tensor, "T B"], dict[str, Tensor]]:
        """Return the error at the successor of every step; with ``defined`` where it may lack."""
        inputs, defined = self.predictor.next_inputs(rollout)
        error = in_chunks(self._error, flat_steps(inputs)).reshape(rollout.T, rollout.B)
        if self.replayable:
            return error
        return torch.where(defined, error, 0.0), {"defined": defined}

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Train the predictor on the observations of the real steps; ``{}`` when there are none.

        Returns:
            ``loss``, the mean error before each gradient step.

        Raises:
            UserError: an observation is NaN or infinite.
        """
        inputs = real_steps(self.predictor.inputs(rollout), rollout.mask)
        if not inputs.shape[0]:
            return {}
        require_finite("observation", inputs)
        self.normalizer.update(inputs)
        inputs = self.normalizer(inputs)
        if self.trainer.epochs == 1:
            return self.trainer.minimize((inputs,), self._losses)
        with torch.no_grad():
            targets = in_chunks(self.target, inputs)
        return self.trainer.minimize((inputs, targets), self._losses)

    def _error(self, inputs: Any) -> Float[Tensor, " N"]:
        inputs = self.normalizer(inputs)
        return prediction_error(self.predictor(inputs), self.target(inputs))

    def _losses(self, inputs: Any, targets: Float[Tensor, "N D"] | None = None) -> Losses:
        if targets is None:
            with torch.no_grad():
                targets = self.target(inputs)
        return {"loss": prediction_error(self.predictor(inputs), targets)}
