"""E3B: novelty within an episode as the elliptical norm of features that tell the action."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from gymnasium import spaces
from jaxtyping import Float, Int
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.curiosity.column_memory import ColumnMemory
from reward_models.curiosity.inverse_dynamics import FEATURES_OF, InverseDynamics
from reward_models.curiosity.networks import require_finite
from reward_models.encoders import Encoder
from reward_models.errors import UnknownNameError, UserError
from reward_models.rollout import Rollout

# Steps that enter the inverse at once, and rows over all columns that are enough to be efficient:
# measured fastest for 16 columns among 8 to 256 steps.
_SHORTEST_CHUNK, _LONGEST_CHUNK, _CHUNK_ROWS = 16, 64, 256


def elliptical_bonuses(
    features: Float[Tensor, "T B D"],
    pieces: Int[Tensor, "T B"],
    inverse: Float[Tensor, "B D D"],
    *,
    ridge: float,
) -> tuple[Float[Tensor, "T B"], Float[Tensor, "B D D"]]:
    """Return ``b_t = f_t^T C_{t-1}^{-1} f_t`` and the inverse ``C^{-1}`` after the last step.

    ``C_t = ridge * I + sum f_i f_i^T`` over the steps of the episode up to ``t``. Instead of one
    rank-one step after the other, a chunk of ``L`` steps enters at once: with its features ``F``
    ``[L, D]``, ``C_0`` before the chunk and the Cholesky factor ``R R^T = I + F C_0^{-1} F^T``,

    ``b_t = (F C_0^{-1} F^T)_tt - sum_{s<t} R_ts^2`` and ``C_L^{-1} = C_0^{-1} - W^T W`` with
    ``W = R^{-1} F C_0^{-1}``.

    Pairs of different episodes are left out of the matrix, and those that begin in the chunk have
    ``C_0 = ridge * I``. All of it in double precision: small bonuses are differences of large
    numbers.

    Args:
        features: zero where a step is to be left out.
        pieces: ``Rollout.episode_numbers()``; piece 0 goes on from ``inverse``.
        inverse: ``C^{-1}`` before the first step, float64; its memory is reused for the result
            where no gradient is recorded.
        ridge: ``C`` of an episode without a step is ``ridge * I``.

    Returns:
        Bonuses in float64, never negative, and the new inverse.
    """
    steps, columns, size = features.shape
    length = min(max(_CHUNK_ROWS // columns, _SHORTEST_CHUNK), _LONGEST_CHUNK)
    # The latest piece of each column, which goes on through padding.
    latest = pieces.clamp_min(0).cummax(0).values.T
    before = torch.cat([torch.zeros_like(latest[:, :1]), latest[:, :-1]], 1)
    firsts = range(0, steps, length)
    lasts = [min(first + length, steps) - 1 for first in firsts]
    whole = (before[:, list(firsts)] == latest[:, lasts]).all(0).tolist()
    fresh = torch.eye(size, dtype=torch.float64, device=features.device) / ridge
    found = []
    for first, last, one_piece in zip(firsts, lasts, whole, strict=True):
        chunk = features[first : last + 1].transpose(0, 1).to(torch.float64).contiguous()
        spread = torch.bmm(chunk, inverse)
        piece, now = latest[:, first : last + 1], latest[:, last]
        if not one_piece:
            begun = piece > before[:, first, None]
            spread = torch.where(begun.unsqueeze(-1), chunk / ridge, spread)
        gram = torch.bmm(spread, chunk.mT)
        if not one_piece:
            gram = gram * (piece.unsqueeze(2) == piece.unsqueeze(1))
        norms = gram.diagonal(dim1=-2, dim2=-1)
        root, _ = torch.linalg.cholesky_ex(gram + torch.diag_embed(torch.ones_like(norms)))
        found.append((norms - root.tril(-1).square().sum(-1)).clamp_min(0.0))
        entering = torch.linalg.solve_triangular(root, spread, upper=False)
        # In place, because new memory costs more than the product; a graph needs the old one.
        inverse = inverse.clone() if torch.is_grad_enabled() else inverse
        if not one_piece:
            entering = entering * (piece == now[:, None]).unsqueeze(-1)
            inverse[now > before[:, first]] = fresh
        inverse.baddbmm_(entering.mT, entering, alpha=-1.0)
    return torch.cat(found, 1).T, inverse


@final
class E3B(RewardModel):
    """Exploration via elliptical episodic bonuses (Henaff et al. 2022).

    ``b_t = f_t^T C_{t-1}^{-1} f_t`` with ``C_{t-1} = ridge * I + sum_{i<t} f_i f_i^T`` over the
    features of the running episode (section 3.2, algorithm 1): a count for features that are
    never the same twice. The features come from an inverse dynamics model. A feature that comes
    again earns less each time, and nothing is remembered beyond an end of an episode, terminated
    or truncated. Values lie in ``[0, |f|^2 / ridge]``.

    The memory of open episodes belongs to the columns of one vector environment and cannot serve
    single replayed transitions. With an encoder that reads the policy's ``hidden``, the successor
    of a rollout's last step is unknown: it gets no value and is not remembered.

    Args:
        observation_space: space of one observation.
        action_space: Discrete, MultiDiscrete, MultiBinary or Box space of one action.
        encoder: ``phi``, copied with its present weights; None takes the one that fits the space.
        keys: keys of a Dict observation to read; all when None.
        latent_size: number of features ``D`` of ``phi``, when no encoder is given.
        ridge: ``C`` of an episode without a step is ``ridge * I``; positive.
        features_of: ``next``, ``f_t = phi(o_{t+1})`` as in the paper, or ``present``,
            ``phi(o_t)``.
        learning_rate: of Adam.
        batch_size: steps in a minibatch.
        epochs: passes over a rollout in one update.
        update_proportion: probability with which a step enters the loss.
        normalize_observations: observation vectors as ``clip((x - mean) / std, -5, 5)``; the
            running statistics learn in ``update`` only, before the networks do.
        seed: seed of the weights and of the shuffling.

    Raises:
        UserError: a number out of its range, or a space that cannot be used.
        UnknownNameError: no such ``features_of``.
    """

    preferred_scale = "reward_std"
    concurrent_update = True
    replayable = False

    def __init__(
        self,
        *,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        encoder: Encoder | None = None,
        keys: Sequence[str] | None = None,
        latent_size: int = 128,
        ridge: float = 0.1,
        features_of: str = "next",
        learning_rate: float = 1e-3,
        batch_size: int = 256,
        epochs: int = 1,
        update_proportion: float = 1.0,
        normalize_observations: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not (math.isfinite(ridge) and ridge > 0.0):
            raise UserError(f"ridge must be positive and finite, got {ridge}.")
        if features_of not in FEATURES_OF:
            raise UnknownNameError("features_of", features_of, FEATURES_OF)
        self.ridge, self.features_of = ridge, features_of
        self.dynamics = InverseDynamics(
            observation_space=observation_space,
            action_space=action_space,
            encoder=encoder,
            keys=keys,
            latent_size=latent_size,
            learning_rate=learning_rate,
            batch_size=batch_size,
            epochs=epochs,
            update_proportion=update_proportion,
            normalize_observations=normalize_observations,
            seed=seed,
        )
        self.memory = ColumnMemory(
            inverse=torch.eye(self.dynamics.size, dtype=torch.float64) / ridge
        )
        self.requires = self.dynamics.requires

    def forward(
        self, rollout: Rollout
    ) -> Float[Tensor, "T B"] | tuple[Float[Tensor, "T B"], dict[str, Tensor]]:
        """Return the bonus of every step; with ``defined`` where its features may lack."""
        features, defined = self.dynamics.features(rollout, of=self.features_of)
        bonus = self._carried(rollout, features)[0].to(torch.float32)
        if self.dynamics.knows_successors:
            return bonus
        return bonus, {"defined": defined}

    @torch.no_grad()
    def update(self, rollout: Rollout) -> dict[str, float]:
        """Remember the running episodes as ``forward`` saw them, then train the features.

        Returns:
            ``inverse_loss`` before each gradient step; ``{}`` when no step could be learned from.

        Raises:
            UserError: an observation or an action is NaN or infinite; nothing was learned then.
        """
        features, _ = self.dynamics.features(rollout, of=self.features_of)
        require_finite("features", features)
        inverse = self._carried(rollout, features)[1]
        metrics = self.dynamics.update(rollout)
        self.memory.write(inverse=inverse)
        return metrics

    def _carried(self, rollout: Rollout, features: Tensor) -> tuple[Tensor, Tensor]:
        return elliptical_bonuses(
            features,
            rollout.episode_numbers(),
            self.memory.read(rollout)["inverse"],
            ridge=self.ridge,
        )
