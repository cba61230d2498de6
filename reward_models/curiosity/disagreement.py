"""Disagreement: novelty as the variance of an ensemble of forward models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from gymnasium import spaces
from jaxtyping import Float, Int
from torch import Tensor, nn

from reward_models.base import RewardModel
from reward_models.curiosity.networks import (
    ActionCode,
    ObservationNormalizer,
    action_rows,
    chosen_encoder,
    flat_steps,
    in_chunks,
    prediction_error,
    real_steps,
    require_finite,
)
from reward_models.curiosity.training import Losses, MinibatchTrainer
from reward_models.encoders import Encoder, initialize, mlp, seeded
from reward_models.errors import UnknownNameError, UserError
from reward_models.rollout import Rollout

_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_ROWS_AT_ONCE = 512


def ensemble_variance(predictions: Float[Tensor, "E *batch D"]) -> Float[Tensor, "*batch"]:
    """Return the unbiased variance over the ``E`` predictions, averaged over ``D`` features."""
    lengths = torch.linalg.vector_norm(predictions - predictions.mean(0), dim=-1)
    return lengths.square().sum(0) / (predictions.shape[-1] * (predictions.shape[0] - 1))


@final
class Disagreement(RewardModel):
    """Self-supervised exploration via disagreement (Pathak et al. 2019, section 3).

    Features ``f = phi(o_t)``, ``f' = phi(o_{t+1})`` of a frozen random network; ``E`` forward
    models ``F_e(f, a)`` predict ``f'``. The reward (eq. 1) is the variance of their predictions,
    unbiased over the ensemble and averaged over features:

    ``r_t = mean_d var_e F_e(phi(o_t), a_t)``

    All models learn the mean of what follows, so noise that none can predict does not keep them
    apart: the reward of a noisy transition goes to zero once it was seen often. The models differ
    in their first weights and in their data, since minibatch ``i`` trains model ``i mod E`` alone;
    ``i`` counts on from update to update. The reward needs no successor and no task reward.

    Args:
        observation_space: space of one observation.
        action_space: Discrete, MultiDiscrete, MultiBinary or Box space of one action.
        encoder: ``phi``, copied with its present weights and frozen; None takes the one that fits
            the space.
        keys: keys of a Dict observation to read; all when None.
        latent_size: number of features ``d`` of ``phi``, when no encoder is given.
        ensemble_size: ``E``, at least 2.
        learning_rate: of Adam.
        batch_size: steps in a minibatch.
        epochs: passes over a rollout in one update; each step trains one model in a pass.
        update_proportion: probability with which a step enters the loss.
        normalize_observations: observation vectors as ``clip((x - mean) / std, -5, 5)``; the
            running statistics learn in ``update`` only, before the models do.
        precision: ``float32``, or ``bfloat16`` for the ensemble's matrix products in ``forward``:
            two thirds of the time on processors that have such instructions, with rewards that
            differ by a few thousandths of their size.
        seed: seed of the weights and of the shuffling.

    Raises:
        UserError: a number out of its range, or a space that cannot be used.
        UnknownNameError: no such ``precision``.
    """

    preferred_scale = "reward_std"
    goal_relabelling = True
    concurrent_update = True
    minibatches: Tensor
    generator_state: Tensor

    def __init__(
        self,
        *,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        encoder: Encoder | None = None,
        keys: Sequence[str] | None = None,
        latent_size: int = 128,
        ensemble_size: int = 4,
        learning_rate: float = 1e-3,
        batch_size: int = 256,
        epochs: int = 1,
        update_proportion: float = 1.0,
        normalize_observations: bool = True,
        precision: str = "float32",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if ensemble_size < 2:
            raise UserError(
                f"ensemble_size must be at least 2, got {ensemble_size}: one model agrees with "
                "itself."
            )
        if precision not in _PRECISIONS:
            raise UnknownNameError("precision", precision, tuple(_PRECISIONS))
        if epochs < 1:
            raise UserError(f"epochs must be at least 1, got {epochs}.")
        self.batch_size, self.epochs, self.precision = batch_size, epochs, precision
        self.encoder = chosen_encoder(encoder, observation_space, latent_size, keys, seed)
        self.encoder.requires_grad_(False)
        self.actions = ActionCode(space=action_space)
        features = self.encoder.output_size
        with seeded(seed + 1):
            self.members = nn.ModuleList(
                mlp(features + self.actions.size, features) for _ in range(ensemble_size)
            )
            initialize(self.members)
        self.normalizer = ObservationNormalizer(
            space=self.encoder.input_space, enabled=normalize_observations
        )
        self.trainers = nn.ModuleList(
            MinibatchTrainer(
                member.parameters(),
                learning_rate=learning_rate,
                batch_size=batch_size,
                update_proportion=update_proportion,
                seed=seed + index,
            )
            for index, member in enumerate(self.members)
        )
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("generator_state", generator.get_state())
        self.register_buffer("minibatches", torch.zeros((), dtype=torch.int64))
        self.requires, self.replayable = self.encoder.requires, self.encoder.replayable

    def forward(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return the variance of the predictions at every step."""
        before = flat_steps(self.encoder.inputs(rollout)).split(_ROWS_AT_ONCE)
        actions = action_rows(self.actions, rollout).split(_ROWS_AT_ONCE)
        dtype = _PRECISIONS[self.precision]
        with torch.autocast(rollout.device.type, dtype, enabled=dtype != torch.float32):
            weights = [weight.to(dtype) for weight in self._stacked()]
            variance = [
                self._variance(torch.cat([self._features(rows), codes], -1), *weights)
                for rows, codes in zip(before, actions, strict=True)
            ]
        return torch.cat(variance).reshape(rollout.T, rollout.B)

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Train the models on the real steps with a known successor; ``{}`` without any.

        Returns:
            ``loss``, the mean error before each gradient step.

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
        with torch.no_grad():
            inputs = torch.cat([in_chunks(self._features, before), self.actions(action)], -1)
            targets = in_chunks(self._features, after)
        generator = torch.Generator()
        generator.set_state(self.generator_state.cpu())
        total = 0.0
        for _ in range(self.epochs):
            for index, rows in enumerate(self._dealt(len(inputs), generator)):
                if len(rows):
                    losses = _Losses(self.members[index], inputs, targets)
                    found = self.trainers[index].minimize((rows.to(inputs.device),), losses)  # type: ignore[operator]
                    total += found["loss"] * len(rows)
        self.generator_state.copy_(generator.get_state())
        return {"loss": total / (len(inputs) * self.epochs)}

    def _dealt(self, size: int, generator: torch.Generator) -> list[Int[Tensor, " n"]]:
        """Cut shuffled rows into minibatches and deal them to the models in turn."""
        hands: list[list[Tensor]] = [[] for _ in self.members]
        for rows in torch.randperm(size, generator=generator).split(self.batch_size):
            hands[int(self.minibatches) % len(hands)].append(rows)
            self.minibatches += 1
        return [torch.cat([*hand, torch.zeros(0, dtype=torch.int64)]) for hand in hands]

    def _features(self, inputs: Any) -> Float[Tensor, "N D"]:
        return self.encoder(self.normalizer(inputs))

    def _stacked(self) -> list[Tensor]:
        """Return the models' weights side by side, so that all run as two matrix products."""
        first, second = ([member[layer] for member in self.members] for layer in (0, -1))  # type: ignore[index]
        return [
            torch.cat([layer.weight for layer in first]),
            torch.cat([layer.bias for layer in first]),
            torch.stack([layer.weight.t() for layer in second]),
            torch.stack([layer.bias for layer in second]).unsqueeze(1),
        ]

    def _variance(
        self, rows: Tensor, first: Tensor, first_bias: Tensor, second: Tensor, second_bias: Tensor
    ) -> Float[Tensor, " N"]:
        hidden = nn.functional.linear(rows, first, first_bias).relu_()
        hidden = hidden.view(len(rows), len(second), -1).transpose(0, 1)
        return ensemble_variance(torch.baddbmm(second_bias, hidden, second).to(torch.float32))


class _Losses:
    """The errors of one model on some rows, as the trainer wants them."""

    def __init__(self, member: nn.Module, inputs: Tensor, targets: Tensor) -> None:
        self.member, self.inputs, self.targets = member, inputs, targets

    def __call__(self, rows: Int[Tensor, " n"]) -> Losses:
        prediction = self.member(self.inputs.index_select(0, rows))
        return {"loss": prediction_error(prediction, self.targets.index_select(0, rows))}
