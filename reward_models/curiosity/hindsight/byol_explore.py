"""BYOL-Explore: surprise of a world model in the embeddings of its own slow twin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from gymnasium import spaces
from torch import Tensor

from reward_models.curiosity.hindsight.latent_errors import direction_error, mean_over_starts
from reward_models.curiosity.hindsight.latent_prediction import LatentPrediction
from reward_models.curiosity.hindsight.latent_world import Pairs
from reward_models.curiosity.training import MinibatchTrainer
from reward_models.encoders import Encoder


@final
class BYOLExplore(LatentPrediction):
    """Exploration by bootstrapped prediction (Guo et al. 2022, arXiv 2206.08332).

    ``L(t, k) = || n(g(b_{t,k})) - n(f_phi(o_{t+k})) ||^2`` with ``n(v) = v / ||v||``: how badly the
    belief after ``k`` open-loop steps predicts the target encoder's view of what came (eq. 1). The
    reward of a transition sums the errors of all predictions of its outcome (eq. 3), and pays what
    exceeds their moving average, in deviations (section 3.2). Dynamics that cannot be predicted,
    such as a noisy television or sticky actions, keep paying: see `BYOLHindsight`.

    Args:
        observation_space: space of one observation.
        action_space: Discrete, MultiDiscrete, MultiBinary or Box space of one action.
        encoder: online encoder, copied with its present weights; None takes one that fits.
        target_encoder: a fixed encoder of the outcomes; None takes a slow twin of ``encoder``.
        keys: keys of a Dict observation to read; all when None.
        mode: ``one_step`` or ``multi_step``, see `LatentPrediction`.
        target: ``slow_twin`` of the encoder, or ``random_linear``: fixed random sums of all
            numbers of the observation, see `LinearTarget`.
        target_size: how many sums ``random_linear`` has.
        horizon: how many steps ahead ``multi_step`` predicts, ``K``.
        embedding_size: numbers of an embedding, when no encoder is given.
        belief_size: numbers of a recurrent belief.
        action_embedding_size: numbers that an action becomes beside a recurrent belief.
        hidden: widths of the predictor's hidden layers.
        target_decay: how slowly the target follows, in [0, 1].
        reward_decay: of the moving averages of the raw rewards, in [0, 1).
        learning_rate: of Adam.
        batch_size: steps in a minibatch of ``one_step``.
        sequence_length: steps of all columns in a gradient step of ``multi_step``.
        epochs: passes over a rollout in one update.
        normalize_observations: observation vectors as ``clip((x - mean) / std, -5, 5)``; not for a
            ``target_encoder`` of your own.
        seed: seed of the weights and of the shuffling.

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
        hidden: Sequence[int] | None = None,
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
            predicts=True,
            target_decay=target_decay,
            reward_decay=reward_decay,
            learning_rate=learning_rate,
            batch_size=batch_size,
            sequence_length=sequence_length,
            epochs=epochs,
            normalize_observations=normalize_observations,
            seed=seed,
        )
        self.trainer = self._trainer(self.encoder, self.world, seed=seed)

    @property
    def shuffling(self) -> MinibatchTrainer:
        """The trainer of encoder and world model."""
        return self.trainer

    def pair_errors(self, pairs: Sequence[Pairs], targets: Sequence[Tensor]) -> list[Tensor]:
        """Return ``L(t, k)``."""
        return [
            direction_error(pair.prediction, target)  # type: ignore[arg-type]
            for pair, target in zip(pairs, targets, strict=True)
        ]

    def learn(self, pairs: Sequence[Pairs], targets: Sequence[Tensor]) -> dict[str, Tensor]:
        """Step on the mean of ``L`` over steps and over what each predicts (eq. 2)."""
        loss = mean_over_starts(self.pair_errors(pairs, targets), [pair.valid for pair in pairs])
        self.trainer.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.trainer.optimizer.step()
        return {"loss": loss.detach()}
