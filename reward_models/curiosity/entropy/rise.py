"""RISE: Renyi entropy of states from distances between frozen random features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor

from reward_models.curiosity.entropy.recent_features import RecentFeatures
from reward_models.encoders import Encoder
from reward_models.errors import UserError


@final
class RISE(RecentFeatures):
    """Renyi state entropy maximisation (Yuan et al. 2022).

    ``r_t = d_(k+1)^(1 - alpha)``, the share of a state in an estimate of the Renyi entropy of
    order ``alpha``; ``d_(k+1)`` is the distance to the ``k``-th nearest visited state, and
    ``d_(1) = 0`` the state itself. Smaller ``alpha`` gives rarely visited states more weight;
    towards 1 all states pay the same. Non-negative. States are compared with the newest
    ``storage`` ones of their own column, see ``RecentFeatures``.

    Args:
        observation_space: space of one observation.
        encoder: ``phi``, copied with its present weights and frozen; None takes the one that fits
            the space.
        keys: keys of a Dict observation to read; all when None.
        latent_size: number of features of ``phi``, when no encoder is given.
        alpha: order of the entropy, strictly between 0 and 1.
        k: neighbours, from 1 to ``storage``.
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
        alpha: float = 0.5,
        k: int = 3,
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
        if not 0.0 < alpha < 1.0:
            raise UserError(f"alpha must lie strictly between 0 and 1, got {alpha}.")
        self.alpha = alpha

    def reward_of(self, distances: Float[Tensor, "*batch K"]) -> Float[Tensor, "*batch"]:
        """Return the reward of ascending distances ``d_(1) .. d_(k+1)``."""
        return distances[..., -1].pow(1.0 - self.alpha)
