"""Surprise of whole episodes as a reward: how badly an autoencoder rebuilds what they showed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor

from reward_models.base import RewardModel, Scope
from reward_models.curiosity.networks import require_finite
from reward_models.curiosity.training import Losses, MinibatchTrainer
from reward_models.errors import UserError
from reward_models.novelty.autoencoder import Autoencoder, ImageAutoencoder, VectorAutoencoder
from reward_models.novelty.episode_ends import Finished
from reward_models.novelty.episode_samples import EpisodeSamples
from reward_models.novelty.newest import Newest
from reward_models.novelty.quantity import Quantity
from reward_models.rollout import Rollout
from reward_models.statistics import RunningStatistics


@final
class AESurprise(RewardModel):
    """Reconstruction error of an episode's end, given at the episode's last step.

    ``r = sum_s mean_j (x_sj - decode(encode(x_s))_j)^2`` over the samples ``s`` of the episode
    (only its end by default): the surprise of TAXONS (Paolo et al. 2020) as a reward. Pictures of
    64 x 64 pixels pass that paper's convolutions, vectors a small network, after normalisation by
    running mean and deviation, clipped to 5 deviations.

    Values are not negative and have no unit; 0 on every step that ends no episode. An episode that
    is open at the end of a rollout earns nothing there, and is judged as a whole when it ends in a
    later one. ``update`` puts the samples of finished episodes into a memory of the newest ones,
    on all of which the autoencoder then trains; without a finished episode it does not train.

    Args:
        observation_space: space of one observation.
        quantity: what is looked at: ``observation``, or a recorded quantity such as
            ``state.final_image``.
        quantity_shape: of one value of a recorded quantity; ``()`` is a single number.
        keys: keys of a Dict observation to read; all when None.
        samples: values of an episode, evenly spaced; the last is its end.
        horizon: steps of the longest episode, which several samples need.
        code_size: numbers in the autoencoder's code.
        memory: newest samples that are trained on.
        epochs: passes over them in one update.
        learning_rate: of Adam.
        batch_size: samples in a minibatch.
        seed: of the weights and of the shuffling.

    Raises:
        UserError: a number out of its range, or pictures of another size.
    """

    scope = Scope.EPISODE
    replayable = False
    preferred_scale = "return_std"
    concurrent_update = True

    def __init__(
        self,
        *,
        observation_space: spaces.Space,
        quantity: str = "observation",
        quantity_shape: Sequence[int] = (),
        keys: Sequence[str] | None = None,
        samples: int = 1,
        horizon: int | None = None,
        code_size: int = 10,
        memory: int = 256,
        epochs: int = 4,
        learning_rate: float = 1e-3,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.quantity = Quantity(
            observation_space=observation_space, name=quantity, shape=quantity_shape, keys=keys
        )
        self.requires = self.quantity.requires
        self.autoencoder: Autoencoder
        self.statistics: RunningStatistics | None = None
        shape = self.quantity.shape
        if self.quantity.is_image:
            self.autoencoder = ImageAutoencoder(code_size=code_size, seed=seed)
            dtype = torch.uint8 if self.quantity.is_bytes else torch.float32
        else:
            if self.quantity.has_pictures:
                raise UserError(
                    "The autoencoder reads vectors, or pictures of shape [64, 64, 3] alone; scale "
                    "the pictures to 64 x 64 pixels, or name keys or a quantity."
                )
            self.autoencoder = VectorAutoencoder(size=shape[0], code_size=code_size, seed=seed)
            self.statistics = RunningStatistics(shape=shape)
            dtype = torch.float64
        self.episodes = EpisodeSamples(shape=shape, dtype=dtype, samples=samples, horizon=horizon)
        self.newest = Newest(row=torch.zeros(shape, dtype=dtype), capacity=memory)
        self.trainer = MinibatchTrainer(
            self.autoencoder.parameters(),
            learning_rate=learning_rate,
            batch_size=batch_size,
            epochs=epochs,
            seed=seed,
        )

    def forward(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return the surprise at the last step of every episode, 0 on all other steps."""
        ends = self._ends(rollout)
        reward = torch.zeros(rollout.T, rollout.B, device=rollout.device)
        errors = self.autoencoder.errors(self._scaled(ends.described.flatten(0, 1)))
        samples = self.episodes.samples
        reward[ends.step, ends.column] = errors.reshape(-1, samples).sum(1).to(reward)
        return reward

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Train on the newest samples, and remember the open episodes.

        Returns:
            ``loss``, the mean error before each gradient step, and ``episodes``, how many ended;
            ``{}`` when none did.

        Raises:
            UserError: a sample is NaN or infinite.
        """
        ends = self._ends(rollout)
        require_finite("what an episode is described by", ends.described)
        self.episodes.remember(rollout, self.quantity.after(rollout), None)
        if not len(ends.step):
            return {}
        samples = ends.described.flatten(0, 1)
        if self.statistics is not None:
            self.statistics.update(samples)
        self.newest.add(samples)
        inputs = self._scaled(self.newest.rows)
        measured = self.trainer.minimize((inputs,), self._losses)
        return {**measured, "episodes": float(len(ends.step))}

    def _losses(self, inputs: Tensor) -> Losses:
        return {"loss": self.autoencoder.losses(self.autoencoder.prepared(inputs))}

    def _scaled(self, samples: Tensor) -> Tensor:
        return samples if self.statistics is None else self.statistics.normalize(samples)

    def _ends(self, rollout: Rollout) -> Finished:
        return self.episodes.finished(rollout, self.quantity.after(rollout), None)
