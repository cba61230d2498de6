"""Novelty of whole episodes as a reward: how far they ended from those seen before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor

from reward_models.base import RewardModel, Scope
from reward_models.curiosity.networks import require_finite
from reward_models.errors import UnknownNameError, UserError
from reward_models.novelty.archive import EpisodeArchive
from reward_models.novelty.episode_ends import EpisodeEnds, Finished
from reward_models.novelty.episode_samples import EpisodeSamples
from reward_models.novelty.episode_signature import EpisodeSignature
from reward_models.novelty.nearest import novelty
from reward_models.novelty.quantity import Quantity
from reward_models.rollout import Rollout

DESCRIPTORS = ("samples", "signature", "log_signature")


@final
class NoveltyKNN(RewardModel):
    """Novelty of an episode's descriptor against an archive, given at the episode's last step.

    ``N(x) = mean(d_1 ... d_k)`` over the Euclidean distances to the ``k`` nearest descriptors in
    the archive (Lehman and Stanley 2011), which holds earlier episodes and never the one that is
    rewarded, so that none is dropped; see `reward_models.novelty.nearest`. It is the objective of
    novelty search as a reward, so that a policy can be trained on it by gradients.

    Values are not negative, in the units of what is described: 0 before the archive holds an
    episode, and 0 on every step that ends none. An episode that is open at the end of a rollout
    earns nothing there; it is described as a whole when it ends in a later rollout. In ``update``
    the finished episodes enter the archive, in the order of their ends. An archive that is full
    stays a fair sample of all episodes seen, see `EpisodeArchive`. Episodes that end in the same
    rollout are not compared with each other.

    Args:
        observation_space: space of one observation.
        descriptor: ``samples`` takes the last value of the episode or values at several moments,
            ``signature`` and ``log_signature`` the path through all steps (order 2).
        quantity: what is looked at: ``observation``, or a recorded quantity such as
            ``state.position``.
        quantity_shape: of one value of a recorded quantity; ``()`` is a single number.
        keys: keys of a Dict observation to read; all when None.
        samples: values of an episode, evenly spaced, for ``samples``; the last is its end.
        horizon: steps of the longest episode. Several samples need it. To a signature, it appends
            the time as a coordinate.
        k: neighbours that count; all in the archive, while there are fewer.
        capacity: most episodes in the archive.
        seed: of the draws of a full archive.

    Raises:
        UserError: a number out of its range, or pictures, whose pixels say nothing as a vector.
        UnknownNameError: an unknown descriptor or key.
    """

    scope = Scope.EPISODE
    replayable = False
    preferred_scale = "return_std"
    concurrent_update = True

    def __init__(
        self,
        *,
        observation_space: spaces.Space,
        descriptor: str = "samples",
        quantity: str = "observation",
        quantity_shape: Sequence[int] = (),
        keys: Sequence[str] | None = None,
        samples: int = 1,
        horizon: int | None = None,
        k: int = 15,
        capacity: int = 2000,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if descriptor not in DESCRIPTORS:
            raise UnknownNameError("descriptor", descriptor, DESCRIPTORS)
        if k < 1:
            raise UserError(f"k must be at least 1, got {k}.")
        self.k = k
        self.quantity = Quantity(
            observation_space=observation_space, name=quantity, shape=quantity_shape, keys=keys
        )
        if self.quantity.has_pictures:
            raise UserError(
                "The pixels of pictures are no descriptor: distances between them hardly depend on "
                "what they show. Name a quantity (quantity: state.position, quantity_shape: [2]) "
                "or keys, or use ae_surprise, which learns from pictures."
            )
        self.requires = self.quantity.requires
        self.episodes: EpisodeEnds
        if descriptor == "samples":
            self.episodes = EpisodeSamples(
                shape=self.quantity.shape, dtype=torch.float64, samples=samples, horizon=horizon
            )
            size = samples * self.quantity.shape[0]
        else:
            if samples != 1:
                raise UserError(f"A {descriptor} takes every step; leave samples out.")
            self.episodes = EpisodeSignature(
                size=self.quantity.shape[0],
                logarithm=descriptor == "log_signature",
                horizon=horizon,
            )
            size = self.episodes.output_size
        self.archive = EpisodeArchive(size=size, capacity=capacity, seed=seed)

    def forward(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return the novelty at the last step of every episode, 0 on all other steps."""
        ends = self._ends(rollout)
        reward = torch.zeros(rollout.T, rollout.B, device=rollout.device)
        # What is not finite has no novelty; who asked for the reward says where that is.
        values = torch.full((len(ends.step),), torch.nan)
        finite = ends.described.isfinite().all(-1).cpu()
        found = novelty(
            ends.described.cpu()[finite].numpy(),
            self.archive.rows.cpu().numpy(),
            self.k,
            drop_nearest=False,
        )
        values[finite] = torch.from_numpy(found).to(values)
        reward[ends.step, ends.column] = values.to(reward)
        return reward

    @torch.no_grad()
    def update(self, rollout: Rollout) -> dict[str, float]:
        """Add the finished episodes to the archive, and remember the open ones.

        Returns:
            ``archive``, its size, and ``episodes``, how many ended in the rollout.

        Raises:
            UserError: an episode's descriptor is NaN or infinite.
        """
        ends = self._ends(rollout)
        require_finite("the descriptor of an episode", ends.described)
        after, before = self.quantity.after(rollout), self.quantity.before(rollout)
        self.episodes.remember(rollout, after, before)
        self.archive.add(ends.described)
        return {"archive": float(len(self.archive)), "episodes": float(len(ends.step))}

    def _ends(self, rollout: Rollout) -> Finished:
        after, before = self.quantity.after(rollout), self.quantity.before(rollout)
        found = self.episodes.finished(rollout, after, before)
        return found._replace(described=found.described.flatten(1))
