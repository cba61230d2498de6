"""BYOL-Hindsight: the same surprise without what no model could have known."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import final

from gymnasium import spaces
from torch import Tensor

from reward_models.curiosity.hindsight.latent_prediction import LatentPrediction
from reward_models.curiosity.hindsight.latent_world import Pairs
from reward_models.curiosity.hindsight.learner import ONE_COLUMN, HindsightLearner
from reward_models.curiosity.training import MinibatchTrainer
from reward_models.encoders import Encoder
from reward_models.rollout import Rollout


@final
class BYOLHindsight(LatentPrediction):
    """Curiosity in hindsight (Jarrett et al. 2023, arXiv 2211.10515) on top of BYOL-Explore.

    For each prediction a vector ``Z`` is generated from belief, action, outcome and noise; with it
    the outcome's embedding is reconstructed, and a critic tells how much ``Z`` says about belief
    and action. The raw reward of a prediction is

    ``R = L_rec / lambda + l_inv``, ``L_rec = || n(Rec(b, a, Z)) - n(f_phi(o')) ||^2`` in [0, 4],
    ``l_inv = log(exp(S_ii) / mean_j exp(S_ij))`` over the other columns at the same time and the
    same number of steps ahead.

    Both vanish at known dynamics and at irreducible noise. Encoder, world model and reconstructor
    minimise ``L_rec / lambda``, the generator ``L_rec / lambda + l_inv``, and the critic, with an
    optimiser of its own, maximises ``l_inv``. Sums over outcomes and the normalisation are those of
    `BYOLExplore`.

    With a single column there is nothing to compare with, ``l_inv`` is 0 and ``Z`` may carry
    everything: use 8 columns or more. When rewarding, all columns of a time step share the noise.

    Args:
        observation_space: see `BYOLExplore`, as for all that is not described here.
        action_space: of one environment.
        encoder: online encoder.
        target_encoder: a fixed encoder of the outcomes.
        keys: keys of a Dict observation to read.
        mode: ``one_step`` or ``multi_step``.
        target: ``slow_twin`` of the encoder, or ``random_linear``: fixed random sums of all
            numbers of the observation, see `LinearTarget`.
        target_size: how many sums ``random_linear`` has.
        horizon: how many steps ahead ``multi_step`` predicts.
        embedding_size: numbers of an embedding.
        belief_size: numbers of a recurrent belief.
        action_embedding_size: numbers that an action becomes.
        hindsight_size: numbers of ``Z``; None: 8 in ``one_step``, 256 in ``multi_step``.
        noise_size: numbers of the generator's noise; None: like ``hindsight_size``.
        hidden: widths of the hidden layers of generator, reconstructor and critic.
        trade_off: ``lambda``, positive; small values tolerate more noise in ``Z``. None: 0.1 in
            ``one_step``, 1 in ``multi_step``.
        critic_bound: scores lie in (-bound, bound).
        negatives: the most columns (or steps of a ``one_step`` minibatch) that are compared with
            each other; more are cut into groups of neighbours.
        invariance_loss: false trains the generator without ``l_inv``, an ablation that lets
            ``Z`` copy the outcome.
        target_decay: how slowly the target follows.
        reward_decay: of the moving averages of the raw rewards.
        learning_rate: of both Adams.
        batch_size: steps in a minibatch of ``one_step``.
        sequence_length: steps of all columns in a gradient step of ``multi_step``.
        epochs: passes over a rollout in one update.
        normalize_observations: observation vectors by running mean and deviation.
        seed: seed of weights, shuffling and noise.

    Raises:
        UserError: a number out of its range, or a space that cannot be used.
        UnknownNameError: no such ``mode`` or ``target``.
    """

    def __init__(
        self,
        *,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        encoder: Encoder | None = None,
        target_encoder: Encoder | None = None,
        keys: Sequence[str] | None = None,
        mode: str = "one_step",
        target: str = "slow_twin",
        target_size: int = 32,
        horizon: int = 8,
        embedding_size: int | None = None,
        belief_size: int = 256,
        action_embedding_size: int = 32,
        hindsight_size: int | None = None,
        noise_size: int | None = None,
        hidden: Sequence[int] | None = None,
        trade_off: float | None = None,
        critic_bound: float = 5.0,
        negatives: int = 32,
        invariance_loss: bool = True,
        target_decay: float = 0.99,
        reward_decay: float = 0.99,
        learning_rate: float | None = None,
        batch_size: int = 256,
        sequence_length: int = 32,
        epochs: int = 1,
        normalize_observations: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(
            observation_space=observation_space,
            action_space=action_space,
            encoder=encoder,
            target_encoder=target_encoder,
            keys=keys,
            mode=mode,
            target=target,
            target_size=target_size,
            horizon=horizon,
            embedding_size=embedding_size,
            belief_size=belief_size,
            action_embedding_size=action_embedding_size,
            hidden=hidden,
            predicts=False,
            target_decay=target_decay,
            reward_decay=reward_decay,
            learning_rate=learning_rate,
            batch_size=batch_size,
            sequence_length=sequence_length,
            epochs=epochs,
            normalize_observations=normalize_observations,
            seed=seed,
        )
        small = mode == "one_step"
        size = (8 if small else 256) if hindsight_size is None else hindsight_size
        self.learner = HindsightLearner(
            self.encoder,
            self.world,
            context_size=self.world.context_size,
            target_size=self.target.output_size,
            horizon=self.world.horizon,
            negatives=negatives,
            hindsight_size=size,
            noise_size=size if noise_size is None else noise_size,
            hidden=self.hidden,
            trade_off=(0.1 if small else 1.0) if trade_off is None else trade_off,
            critic_bound=critic_bound,
            invariance_loss=invariance_loss,
            learning_rate=self.learning_rate,
            batch_size=batch_size,
            epochs=epochs,
            seed=seed + 2,
        )

    @property
    def shuffling(self) -> MinibatchTrainer:
        """The trainer of everything but the critic."""
        return self.learner.trainer

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Learn; see `LatentPrediction.update`. Warns when there is a single column."""
        if rollout.B == 1 and (rollout.T == 1 or self.mode == "multi_step"):
            warnings.warn(ONE_COLUMN, stacklevel=2)
        return super().update(rollout)

    def pair_errors(self, pairs: Sequence[Pairs], targets: Sequence[Tensor]) -> list[Tensor]:
        """Return ``R``; see `HindsightLearner.pair_errors`."""
        return self.learner.pair_errors(pairs, targets)

    def learn(self, pairs: Sequence[Pairs], targets: Sequence[Tensor]) -> dict[str, Tensor]:
        """Train all networks; see `HindsightLearner.learn`."""
        return self.learner.learn(pairs, targets)
