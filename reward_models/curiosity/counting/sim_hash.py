"""SimHash: counts of similar states, for observations that never repeat exactly."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, final

import torch
from gymnasium import spaces
from jaxtyping import Bool, Float, Int
from torch import Tensor

from reward_models.curiosity.counting.counts import CountBonus
from reward_models.curiosity.counting.flat import FlatEncoder, chosen_space
from reward_models.curiosity.counting.visits import state_keys
from reward_models.curiosity.networks import (
    ObservationNormalizer,
    flat_steps,
    in_chunks,
    require_finite,
)
from reward_models.encoders import Encoder, seeded
from reward_models.errors import UserError
from reward_models.rollout import Rollout


@final
class SimHash(CountBonus):
    """Count-based exploration with locality-sensitive hashing (Tang et al. 2017, section 2.2).

    The key of a state is ``sign(A g(o)) in {-1, 1}^b`` (eq. 2) with a fixed random ``A`` of normal
    numbers, so states whose ``g`` point in similar directions share one. The reward is
    ``1 / sqrt(N(key))`` of the state arrived at, see ``CountBonus``. More bits tell more states
    apart.

    Args:
        observation_space: space of one observation.
        encoder: ``g``, copied with its present weights and frozen; None takes the flattened
            observation (``FlatEncoder``).
        keys: keys of a Dict observation to read; all when None.
        bits: ``b``, at least 1.
        episodic: count in each column's running episode alone.
        arrival_order: see ``CountBonus``; false for learners that replay single transitions.
        normalize_observations: observation vectors as ``clip((x - mean) / std, -5, 5)``, which
            makes all directions count alike; states then change their keys while the running
            statistics settle.
        seed: seed of ``A``.

    Raises:
        UserError: a number out of its range, or options that exclude each other.
    """

    projection: Tensor

    def __init__(
        self,
        *,
        observation_space: spaces.Space,
        encoder: Encoder | None = None,
        keys: Sequence[str] | None = None,
        bits: int = 32,
        episodic: bool = False,
        arrival_order: bool = True,
        normalize_observations: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(episodic=episodic, arrival_order=arrival_order)
        if bits < 1:
            raise UserError(f"bits must be at least 1, got {bits}.")
        if encoder is None:
            self.encoder: Encoder = FlatEncoder(space=chosen_space(observation_space, keys))
        elif keys is None:
            self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        else:
            raise UserError("Pass either keys or an encoder; with an encoder, choose keys in it.")
        self.normalizer = ObservationNormalizer(
            space=self.encoder.input_space, enabled=normalize_observations
        )
        with seeded(seed):
            self.register_buffer("projection", torch.randn(self.encoder.output_size, bits))
        self.requires = self.encoder.requires
        self.replayable = self.replayable and self.encoder.replayable
        self.successor_may_lack = not self.encoder.replayable

    def keys_of(self, rollout: Rollout) -> tuple[Int[Tensor, "T B"], Bool[Tensor, "T B"]]:
        """Return the key of the state each step arrives at, and where that is known."""
        inputs, real = self.encoder.next_inputs(rollout)
        signs = in_chunks(self._signs, flat_steps(inputs))
        return state_keys(signs, 1).reshape(rollout.T, rollout.B), real

    def require_countable(self, rollout: Rollout, real: Bool[Tensor, "T B"]) -> None:
        """Refuse to count what is not finite."""
        require_finite("next_observation", self.encoder.next_inputs(rollout)[0][real])

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Count the real steps, see ``CountBonus.update``; the normalisation learns after it."""
        metrics = super().update(rollout)
        inputs, real = self.encoder.next_inputs(rollout)
        if bool(real.any()):
            self.normalizer.update(inputs[real])
        return metrics

    def _signs(self, inputs: Any) -> Bool[Tensor, "N b"]:
        features: Float[Tensor, "N D"] = self.encoder(self.normalizer(inputs))
        return features @ self.projection >= 0
