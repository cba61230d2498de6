"""Never Give Up: novelty within the episode, raised where the whole training has seen little."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import final

import torch
from gymnasium import spaces
from jaxtyping import Bool, Float
from torch import Tensor

from reward_models.base import RewardModel, split_output
from reward_models.curiosity.episodic.pseudo_counts import PseudoCounts
from reward_models.curiosity.rnd import RND
from reward_models.encoders import Encoder
from reward_models.errors import UnknownNameError, UserError
from reward_models.rollout import Rollout
from reward_models.statistics import RunningStatistics

_LIFELONG = ("paper", "toolkit")


@final
class NGU(RewardModel):
    """Episodic novelty times a lifelong modulator (Badia et al. 2020, section 2.1, eq. 1).

    ``r_t = episodic_t * clip(1 + x_t, 1, max_modulator)``: ``episodic`` is ``PseudoCounts``, and
    ``x`` the error ``e`` of random network distillation, brought to scale by running statistics of
    all errors of the training:

    - ``paper``: ``x = (e - mean) / std``, so that only errors above the mean count;
    - ``toolkit``: ``x = e / std``, as in the collection of Yuan et al. (2025).

    The errors of a rollout enter the statistics before they are divided by them: ``forward``
    computes what they will be, ``update`` keeps it. Through them the values of a rollout depend on
    all of its columns. Nothing is remembered of an episode beyond its end, terminated or truncated.

    The memory of open episodes belongs to the columns of one vector environment and cannot serve
    single replayed transitions. With an encoder that reads the policy's ``hidden``, the successor
    of a rollout's last step is unknown: it gets no value and is not remembered.

    Args:
        observation_space: space of one observation.
        action_space: Discrete, MultiDiscrete, MultiBinary or Box space of one action.
        encoder: architecture of the embeddings, copied with its present weights, and of the two
            networks of the lifelong part, which draw their own; None takes the one that fits.
        keys: keys of a Dict observation to read; all when None.
        latent_size: numbers in an embedding, when no encoder is given.
        max_modulator: ``L``, at least 1; 1 leaves the episodic part alone.
        lifelong: ``paper`` or ``toolkit``.
        neighbours: see ``PseudoCounts``.
        cluster_distance: see there.
        epsilon: see there.
        constant: see there.
        max_similarity: see there.
        capacity: see there.
        first_reward: episodic part of an episode's first step.
        features_of: ``next`` or ``present``, for the episodic part; the lifelong part is always
            measured on the successor.
        learning_rate: of Adam, in both parts.
        batch_size: steps in a minibatch.
        epochs: passes over a rollout in one update.
        update_proportion: probability with which a step enters a loss.
        normalize_observations: observation vectors as ``clip((x - mean) / std, -5, 5)`` in both
            parts; the running statistics learn in ``update`` only, before the networks do.
        seed: seed of the weights and of the shuffling.

    Raises:
        UserError: a number out of its range, or a space that cannot be used.
        UnknownNameError: no such ``lifelong`` or ``features_of``.
    """

    preferred_scale = "reward_std"
    concurrent_update = True
    replayable = False
    batch_dependent = True

    def __init__(
        self,
        *,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        encoder: Encoder | None = None,
        keys: Sequence[str] | None = None,
        latent_size: int = 32,
        max_modulator: float = 5.0,
        lifelong: str = "paper",
        neighbours: int = 10,
        cluster_distance: float = 0.008,
        epsilon: float = 1e-4,
        constant: float = 1e-3,
        max_similarity: float = 8.0,
        capacity: int = 1000,
        first_reward: float = 0.0,
        features_of: str = "next",
        learning_rate: float = 1e-3,
        batch_size: int = 256,
        epochs: int = 1,
        update_proportion: float = 1.0,
        normalize_observations: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not (math.isfinite(max_modulator) and max_modulator >= 1.0):
            raise UserError(f"max_modulator must be at least 1 and finite, got {max_modulator}.")
        if lifelong not in _LIFELONG:
            raise UnknownNameError("lifelong", lifelong, _LIFELONG)
        self.max_modulator, self.lifelong_form = max_modulator, lifelong
        self.episodic = PseudoCounts(
            observation_space=observation_space,
            action_space=action_space,
            encoder=encoder,
            keys=keys,
            latent_size=latent_size,
            neighbours=neighbours,
            cluster_distance=cluster_distance,
            epsilon=epsilon,
            constant=constant,
            max_similarity=max_similarity,
            capacity=capacity,
            first_reward=first_reward,
            features_of=features_of,
            learning_rate=learning_rate,
            batch_size=batch_size,
            epochs=epochs,
            update_proportion=update_proportion,
            normalize_observations=normalize_observations,
            seed=seed,
        )
        self.lifelong = RND(
            observation_space=observation_space,
            encoder=encoder,
            keys=keys,
            latent_size=latent_size,
            learning_rate=learning_rate,
            batch_size=batch_size,
            epochs=epochs,
            update_proportion=update_proportion,
            normalize_observations=normalize_observations,
            seed=seed + 1,
        )
        self.statistics = RunningStatistics()
        self.requires = self.episodic.requires | self.lifelong.requires

    def forward(
        self, rollout: Rollout
    ) -> Float[Tensor, "T B"] | tuple[Float[Tensor, "T B"], dict[str, Tensor]]:
        """Return the bonus of every step; with ``defined`` where the successor may lack."""
        episodic, extras = split_output(self.episodic(rollout, gradient=torch.is_grad_enabled()))
        error, known = self._errors(rollout, gradient=torch.is_grad_enabled())
        bonus = episodic * self.modulator(error, self._merged(error, known))
        if not extras and self.lifelong.replayable:
            return bonus
        defined = known & extras.get("defined", rollout.mask)
        return torch.where(defined, bonus, 0.0), {"defined": defined}

    @torch.no_grad()
    def update(self, rollout: Rollout) -> dict[str, float]:
        """Keep episodes and statistics as ``forward`` saw them, then train both parts.

        Returns:
            ``inverse_loss`` of the embeddings and ``lifelong_loss``, before each gradient step;
            ``{}`` when no step could be learned from.

        Raises:
            UserError: an observation or an action is NaN or infinite; nothing was learned then.
        """
        merged = self._merged(*self._errors(rollout))
        metrics = self.episodic.update(rollout)
        self.statistics.load_state_dict(merged.state_dict())
        learned = self.lifelong.update(rollout)
        return metrics | {f"lifelong_{name}": value for name, value in learned.items()}

    def modulator(
        self, error: Float[Tensor, "T B"], statistics: RunningStatistics
    ) -> Float[Tensor, "T B"]:
        """Return ``clip(1 + x, 1, max_modulator)`` of lifelong errors."""
        shift = statistics.mean if self.lifelong_form == "paper" else 0.0
        scaled = (error - shift) / statistics.std.clamp_min(1e-8)
        return (1.0 + scaled).clamp(1.0, self.max_modulator).to(torch.float32)

    def _errors(
        self, rollout: Rollout, *, gradient: bool = False
    ) -> tuple[Float[Tensor, "T B"], Bool[Tensor, "T B"]]:
        error, extras = split_output(self.lifelong(rollout, gradient=gradient))
        return error, extras.get("defined", rollout.mask)

    def _merged(self, error: Tensor, known: Tensor) -> RunningStatistics:
        """Return the statistics as they are after this rollout."""
        merged = copy.deepcopy(self.statistics)
        merged.update(error[known])
        return merged
