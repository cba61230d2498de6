"""RE3: state entropy from distances between frozen random features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor

from reward_models.curiosity.entropy.recent_features import RecentFeatures
from reward_models.encoders import Encoder


@final
class RE3(RecentFeatures):
    """Random encoders for efficient exploration (Seo et al. 2021, section 4).

    The logarithm of the distance to the ``k``-th nearest visited state, ``d_(1) = 0`` being the
    state itself, is what the state adds to an estimate of the entropy of visited states (eq. 3):

    - ``r_t = log(d_(k+1) + 1)``;
    - with ``average``: ``r_t = mean_{j=1..k} log(d_(j) + 1)``, the zero distance included.

    Non-negative. States are compared with the newest ``storage`` ones of their own column, see
    ``RecentFeatures``; the paper compares with a whole replay buffer.

    Args:
        observation_space: space of one observation.
        encoder: ``phi``, copied with its present weights and frozen; None takes the one that fits
            the space.
        keys: keys of a Dict observation to read; all when None.
        latent_size: number of features of ``phi``, when no encoder is given.
        k: neighbours, from 1 to ``storage``.
        average: average over the neighbours instead of taking the ``k``-th.
        storage: states that each column keeps.
        normalize_observations: observation vectors as ``clip((x - mean) / std, -5, 5)``; the
            running statistics learn in ``update`` only, before the states are stored.
        seed: seed of the weights.

    Raises:
        UserError: a number out of its range, or a space without an encoder.
    """

    def __init__(
        self,
        *,
        observation_space: spaces.Space,
        encoder: Encoder | None = None,
        keys: Sequence[str] | None = None,
        latent_size: int = 128,
        k: int = 5,
        average: bool = False,
        storage: int = 1000,
        normalize_observations: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(
            observation_space=observation_space,
            encoder=encoder,
            keys=keys,
            latent_size=latent_size,
            k=k,
            storage=storage,
            normalize_observations=normalize_observations,
            seed=seed,
        )
        self.average = average

    def reward_of(self, distances: Float[Tensor, "*batch K"]) -> Float[Tensor, "*batch"]:
        """Return the reward of ascending distances ``d_(1) .. d_(k+1)``."""
        if self.average:
            return distances[..., :-1].log1p().mean(-1)
        return distances[..., -1].log1p()
