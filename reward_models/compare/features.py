"""Fixed random features of observations: what values and potentials are linear in."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from gymnasium import spaces

from reward_models.errors import UserError

_MOST_LINEAR = 64


def flat_observations(space: spaces.Space, observation: Any) -> np.ndarray:
    """Return observations as float64 ``[..., D]``; a discrete one becomes one-hot.

    Args:
        space: of one observation: Box, Discrete, MultiBinary, or a Dict of these.
        observation: ``[..., *shape]`` array or tensor, or a mapping of them.

    Raises:
        UserError: another kind of space.
    """
    if isinstance(space, spaces.Dict):
        parts = [flat_observations(part, observation[key]) for key, part in space.spaces.items()]
        return np.concatenate(parts, axis=-1)
    values = np.asarray(observation)
    if isinstance(space, spaces.Discrete):
        return np.eye(int(space.n))[values.astype(np.int64) - int(space.start)]
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        lead = values.shape[: values.ndim - len(space.shape)]
        return values.reshape(*lead, -1).astype(np.float64)
    raise UserError(
        f"Observations of {type(space).__name__} cannot be turned into features; Box, Discrete, "
        "MultiBinary and Dict can."
    )


@final
class FourierFeatures:
    """A constant, the observation itself, and random cosines of it (Rahimi and Recht 2007).

    ``cos(w_i . z + b_i)`` with the observation z standardised by the samples it is made from, w
    normal with a deviation of ``1 / (width * sqrt(D))`` (half of the features) and half of that
    width (the other half), and b uniform. Dimensions that never vary are left out, and beyond 64
    dimensions so is the observation itself.

    Args:
        samples: ``[N, D]``: what the features are fitted to; at least two rows.
        size: how many cosines.
        width: how smooth functions are, in standard deviations.
        seed: of w and b.
    """

    def __init__(
        self, samples: np.ndarray, *, size: int = 512, width: float = 0.7, seed: int
    ) -> None:
        self._mean, deviation = samples.mean(axis=0), samples.std(axis=0)
        # Below this a dimension is a constant and its deviation is rounding.
        self._used = deviation > 1e-9 * (1.0 + np.abs(self._mean))
        self._deviation = deviation[self._used]
        dimensions = int(self._used.sum())
        random = np.random.default_rng(seed)
        scales = 1.0 / (width * np.sqrt(max(dimensions, 1)) * np.where(np.arange(size) % 2, 0.5, 1))
        self._directions = random.standard_normal((dimensions, size)) * scales
        self._phases = random.uniform(0.0, 2.0 * np.pi, size)
        self._linear = dimensions <= _MOST_LINEAR

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """Return the features of observations ``[..., D]``, float64 ``[..., F]``."""
        scaled = (observations - self._mean)[..., self._used] / self._deviation
        waves = np.cos(scaled @ self._directions + self._phases)
        parts = [np.ones((*observations.shape[:-1], 1)), waves]
        return np.concatenate([*parts, scaled] if self._linear else parts, axis=-1)


def random_potentials(samples: np.ndarray, *, count: int, seed: int) -> Any:
    """Return a function that gives random potentials of observations, each rougher than the last.

    Each is a sum of 32 random cosines, drawn apart from any other features, so that it is none of
    the functions that values are made of; the first has a width of one standard deviation,
    every next one half of the width before.

    Returns:
        ``observations [..., D] -> [..., count]``.
    """
    random = np.random.default_rng([seed, 1])
    parts = []
    for number in range(count):
        features = FourierFeatures(samples, size=32, width=0.5**number, seed=seed + number)
        weights = random.standard_normal(features(samples[:1]).shape[-1]) / np.sqrt(32.0)
        weights[0] = 0.0  # not the constant
        parts.append((features, weights))

    def potentials(observations: np.ndarray) -> np.ndarray:
        return np.stack([features(observations) @ weights for features, weights in parts], axis=-1)

    return potentials
