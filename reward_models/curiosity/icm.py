"""Intrinsic curiosity module: surprise of a forward model in features the agent can influence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.curiosity.networks import (
    ActionCode,
    ObservationNormalizer,
    action_rows,
    chosen_encoder,
    over_transitions,
    prediction_error,
    real_steps,
    require_finite,
)
from reward_models.curiosity.training import Losses, MinibatchTrainer
from reward_models.encoders import Encoder, initialize, mlp, seeded
from reward_models.errors import UnknownNameError, UserError
from reward_models.rollout import Rollout

_FORMS = ("mean", "eta")


class ICM(RewardModel):
    """Curiosity of Pathak et al. (2017).

    Features ``f = phi(o_t)`` and ``f' = phi(o_{t+1})`` are learned so that the inverse model
    ``I(f, f')`` (eq. 2) tells the action, which keeps what the agent can influence. The forward
    model ``F(f, a)`` (eq. 4) predicts ``f'``, and its error is the reward (eq. 6):

    - ``mean``: ``r_t = mean_d (f' - F(f, a))^2``;
    - ``eta``: ``r_t = eta / 2 * sum_d (f' - F(f, a))^2``, the paper's.

    The loss is the inverse loss (cross-entropy, or squared error averaged over the action's
    numbers) plus ``mean_d (f' - F(f, a))^2``, or with ``beta`` the paper's weighting (eq. 7)
    ``(1 - beta) * inverse + beta * forward``. Both train ``phi`` unless ``stop_forward_grad``.
    Successors are the true ones, also at the end of an episode. A source of noise that an action
    can switch on (a television) keeps this reward high forever.

    Args:
        observation_space: space of one observation.
        action_space: Discrete, MultiDiscrete, MultiBinary or Box space of one action.
        encoder: ``phi``, copied with its present weights; None takes the one that fits the space.
        keys: keys of a Dict observation to read; all when None.
        latent_size: number of features ``d`` of ``phi``, when no encoder is given.
        learning_rate: of Adam.
        batch_size: steps in a minibatch.
        epochs: passes over a rollout in one update.
        update_proportion: probability with which a step enters the loss.
        normalize_observations: observation vectors as ``clip((x - mean) / std, -5, 5)``; the
            running statistics learn in ``update`` only, before the networks do.
        stop_forward_grad: the forward loss trains the forward model alone.
        beta: share of the forward loss in [0, 1]; None adds both losses with weight 1.
        reward_form: ``mean`` or ``eta``.
        eta: factor of the ``eta`` form, positive.
        seed: seed of the weights and of the shuffling.

    Raises:
        UserError: a number out of its range, or a space that cannot be used.
        UnknownNameError: no such ``reward_form``.
    """

    preferred_scale = "return_std"
    goal_relabelling = True
    concurrent_update = True

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
        stop_forward_grad: bool = False,
        beta: float | None = None,
        reward_form: str = "mean",
        eta: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if beta is not None and not 0.0 <= beta <= 1.0:
            raise UserError(f"beta must lie in [0, 1] or be None, got {beta}.")
        if not 0.0 < eta < float("inf"):
            raise UserError(f"eta must be positive and finite, got {eta}.")
        if reward_form not in _FORMS:
            raise UnknownNameError("reward_form", reward_form, _FORMS)
        self.stop_forward_grad, self.beta = stop_forward_grad, beta
        self.reward_form, self.eta = reward_form, eta
        self.encoder = chosen_encoder(encoder, observation_space, latent_size, keys, seed)
        self.actions = ActionCode(space=action_space)
        features = self.encoder.output_size
        with seeded(seed + 1):
            self.dynamics = mlp(features + self.actions.size, features)
            self.inverse = mlp(2 * features, self.actions.size)
            initialize(self.dynamics)
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
        self.requires, self.replayable = self.encoder.requires, self.encoder.replayable

    def forward(
        self, rollout: Rollout
    ) -> Float[Tensor, "T B"] | tuple[Float[Tensor, "T B"], dict[str, Tensor]]:
        """Return the forward model's error; with ``defined`` where the successor may lack."""
        before = self.encoder.inputs(rollout)
        after, defined = self.encoder.next_inputs(rollout)
        actions = action_rows(self.actions, rollout)
        error = over_transitions(self._error, self._features, before, after, actions)
        error = error.reshape(rollout.T, rollout.B)
        if self.reward_form == "eta":
            error = error * (0.5 * self.eta * self.encoder.output_size)
        if self.replayable:
            return error
        return torch.where(defined, error, 0.0), {"defined": defined}

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Train all networks on the real steps with a known successor; ``{}`` without any.

        Returns:
            ``loss``, ``forward_loss`` and ``inverse_loss``, each before its gradient step.

        Raises:
            UserError: an observation or an action is NaN or infinite.
        """
        after, defined = self.encoder.next_inputs(rollout)
        if not bool(defined.any()):
            return {}
        before = real_steps(self.encoder.inputs(rollout), defined)
        after, action = real_steps(after, defined), real_steps(rollout.action, defined)
        require_finite("observation", before)
        require_finite("next_observation", after)
        require_finite("action", action)
        self.normalizer.update(before)
        samples = (self.normalizer(before), self.normalizer(after), self.actions(action))
        return self.trainer.minimize(samples, self._losses)

    def _features(self, inputs: Any) -> Float[Tensor, "N D"]:
        return self.encoder(self.normalizer(inputs))

    def _error(self, before: Tensor, after: Tensor, action: Tensor) -> Float[Tensor, " N"]:
        return prediction_error(self.dynamics(torch.cat([before, action], -1)), after)

    def _losses(self, before: Any, after: Any, action: Tensor) -> Losses:
        # Both observations of a step side by side: one pass, and the inverse model's input.
        pairs = self.encoder(torch.stack([before, after], 1).flatten(0, 1)).unflatten(0, (-1, 2))
        before, after = pairs.unbind(1)
        inverse = self.actions.loss(self.inverse(pairs.flatten(1)), action)
        if self.stop_forward_grad:
            before, after = before.detach(), after.detach()
        forward = prediction_error(self.dynamics(torch.cat([before, action], -1)), after)
        if self.beta is None:
            loss = inverse + forward
        else:
            loss = (1.0 - self.beta) * inverse + self.beta * forward
        return {"loss": loss, "forward_loss": forward, "inverse_loss": inverse}
