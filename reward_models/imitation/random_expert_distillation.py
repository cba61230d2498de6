"""Random expert distillation: reward for what a network, fitted on the expert alone, recognises."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor, nn

from reward_models.base import RewardModel
from reward_models.curiosity.networks import in_chunks, prediction_error
from reward_models.curiosity.training import Losses, MinibatchTrainer
from reward_models.encoders import Encoder, seeded
from reward_models.errors import UserError
from reward_models.imitation.expert import Source, read_expert
from reward_models.imitation.pairs import PairCode, Pairs, chosen_numbers
from reward_models.rollout import Rollout
from reward_models.statistics import RunningStatistics

_LEAK = 0.1


@final
class RandomExpertDistillation(RewardModel):
    """Reward of the support of the expert's policy (RED, Wang et al. 2019).

    ``r = exp(-mse(f(s, a), g(s, a)) / std)``, in (0, 1]: a network f is trained to predict a frozen
    random network g on the expert's pairs, and errs elsewhere. ``std`` is the running deviation of
    the losses of single pairs while it is trained, as in the released code of Blondé et al. (2022),
    who compare it with adversarial imitation. The constructor trains f; after that nothing changes,
    so no adversary has to be balanced, and the reward is good in any loop.

    Observations are read as by `AdversarialImitation`; an encoder with weights stays as drawn.

    Args:
        demonstrations: see `AdversarialImitation`, as are the arguments that follow.
        observation_space: of one environment.
        action_space: of one environment.
        state_only: pairs of observation and successor.
        one_hot_actions: accept discrete actions, as zeros and ones.
        clamp: bound of every number the networks read.
        normalize_observations: by mean and deviation of the expert's.
        encoder: of observations.
        keys: keys of a Dict observation to read.
        latent_size: features of the encoder, where one is made.
        hidden_size: of the three hidden layers, and of the output.
        learning_rate: of Adam.
        batch_size: pairs in a minibatch.
        epochs: passes over the expert's pairs.
        count: how many demonstrations to use, the first ones.
        every: use every so many steps of each.
        seed: of weights and of everything drawn.

    Raises:
        UserError: a number out of its range, or demonstrations that cannot be used.
    """

    goal_relabelling = True

    def __init__(
        self,
        *,
        demonstrations: Source,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        state_only: bool = False,
        one_hot_actions: bool = False,
        clamp: float | None = None,
        normalize_observations: bool = False,
        encoder: Encoder | None = None,
        keys: Sequence[str] | None = None,
        latent_size: int = 128,
        hidden_size: int = 100,
        learning_rate: float = 5e-4,
        batch_size: int = 128,
        epochs: int = 200,
        count: int | None = None,
        every: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if hidden_size < 1:
            raise UserError(f"hidden_size must be at least 1, got {hidden_size}.")
        self.code = PairCode(
            encoder=chosen_numbers(encoder, observation_space, latent_size, keys, seed),
            action_space=action_space,
            state_only=state_only,
            one_hot_actions=one_hot_actions,
            normalize=normalize_observations,
            clamp=clamp,
        )
        expert = read_expert(
            demonstrations, code=self.code, action_space=action_space, count=count, every=every,
            seed=seed,
        )  # fmt: skip
        self.code.learn_scale(expert.pairs)
        self.code.requires_grad_(False)
        with seeded(seed):
            self.target = _network(self.code.size, hidden_size)
            self.predictor = _network(self.code.size, hidden_size)
        self.target.requires_grad_(False)
        self.losses = RunningStatistics()
        trainer = MinibatchTrainer(
            self.predictor.parameters(), learning_rate=learning_rate, batch_size=batch_size,
            epochs=epochs, seed=seed,
        )  # fmt: skip
        with torch.no_grad():
            rows = self.code(expert.pairs)
            targets = in_chunks(self.target, rows)
        trainer.minimize((rows, targets), self._losses)
        self.predictor.requires_grad_(False)
        self.requires = self.code.encoder.requires
        self.replayable = self.code.encoder.replayable or not state_only

    def forward(
        self, rollout: Rollout
    ) -> Float[Tensor, "T B"] | tuple[Float[Tensor, "T B"], dict[str, Tensor]]:
        """Return the reward of every step; with ``defined`` where the successor may lack."""
        with torch.autocast(rollout.device.type, enabled=False):
            pairs, known = self.code.steps(rollout)
            errors = in_chunks(self._errors, pairs.first, pairs.second, pairs.absorbing)
            scale = self.losses.std.clamp_min(1e-8).to(torch.float32)
            reward = torch.exp(-errors / scale).reshape(rollout.T, rollout.B)
        return reward if self.replayable else (reward, {"defined": known})

    def _errors(self, first: object, second: object, absorbing: Tensor) -> Float[Tensor, " N"]:
        rows = self.code(Pairs(first, second, absorbing))
        return prediction_error(self.predictor(rows), self.target(rows))

    def _losses(self, rows: Float[Tensor, "N D"], targets: Float[Tensor, "N E"]) -> Losses:
        errors = prediction_error(self.predictor(rows), targets)
        self.losses.update(errors.detach())
        return {"loss": errors}


def _network(inputs: int, size: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [nn.Linear(inputs, size), nn.LeakyReLU(_LEAK)]
        inputs = size
    network = nn.Sequential(*layers, nn.Linear(size, size))
    for layer in network:
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, math.sqrt(2.0))
            nn.init.zeros_(layer.bias)
    return network
