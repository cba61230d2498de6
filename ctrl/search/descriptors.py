"""What an episode is described by, so that two of them can be compared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from ctrl.search.episodes import Episodes
from reward_models.errors import UserError
from reward_models.novelty.signature import log_signature, signature, with_time


class Descriptor(ABC):
    """Turns episodes into vectors whose Euclidean distance says how differently they went.

    Attributes:
        size: numbers ``b`` in a descriptor.
        learned: whether ``learn`` changes the descriptor.
        version: grows whenever the same episode would be described differently than before, so
            that its user describes everything it keeps again.
    """

    size: int
    learned: bool = False
    version: int = 0

    @abstractmethod
    def describe(self, episodes: Episodes) -> NDArray[np.float64]:
        """Return the descriptors ``[n, b]``, in the order of the episodes.

        Raises:
            UserError: the episodes lack what is described, or it is NaN or infinite.
        """

    def surprise(self, episodes: Episodes) -> NDArray[np.float64]:
        """Return how badly each episode is represented, ``[n]``; 0 unless learned."""
        return np.zeros(len(episodes))

    def learn(self, episodes: Episodes) -> dict[str, float]:
        """Fit the descriptor to episodes and return numbers to log; nothing unless learned."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes: arrays and numbers; empty unless learned."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - mostly nothing
        """Take over what `state_dict` returned."""


@final
class LastSample(Descriptor):
    """The end of the episode: the last of its samples.

    Args:
        observation_size: numbers ``O`` in a sample, at least 1.
    """

    def __init__(self, *, observation_size: int) -> None:
        self.observation_size = _at_least("observation_size", observation_size, 1)
        self.size = observation_size

    def describe(self, episodes: Episodes) -> NDArray[np.float64]:
        """Return ``samples[:, -1]``, ``[n, O]``."""
        return checked_samples(episodes, self.observation_size)[:, -1].copy()


@final
class AllSamples(Descriptor):
    """All samples of the episode, one after the other.

    Args:
        observation_size: numbers ``O`` in a sample, at least 1.
        samples: samples ``S`` of an episode, at least 1.
    """

    def __init__(self, *, observation_size: int, samples: int) -> None:
        self.observation_size = _at_least("observation_size", observation_size, 1)
        self.samples = _at_least("samples", samples, 1)
        self.size = samples * observation_size

    def describe(self, episodes: Episodes) -> NDArray[np.float64]:
        """Return the samples in the order of time, ``[n, S * O]``."""
        samples = checked_samples(episodes, self.observation_size, self.samples)
        return samples.reshape(len(episodes), self.size).copy()


class PathDescriptor(Descriptor):
    """What Signature and LogSignature share: the path through an episode's samples.

    The path begins at the first sample, not at the start of the episode.

    Args:
        observation_size: numbers ``O`` in a sample, at least 1.
        samples: samples ``S`` of an episode, at least 2.
        horizon: steps of the longest episode. Given, ``t / horizon`` is appended to every sample,
            which tells apart the same path at other speeds.

    Raises:
        UserError: a number out of its range.
    """

    def __init__(self, *, observation_size: int, samples: int, horizon: int | None = None) -> None:
        self.observation_size = _at_least("observation_size", observation_size, 1)
        self.samples = _at_least("samples", samples, 2)
        self.horizon = None if horizon is None else _at_least("horizon", horizon, 1)
        dimensions = observation_size + (horizon is not None)
        self.size = dimensions + self._second_level(dimensions)

    def describe(self, episodes: Episodes) -> NDArray[np.float64]:
        """Return the descriptors of the paths, ``[n, size]``.

        Raises:
            UserError: the episodes have other samples, NaN or infinity, or are longer than the
                horizon.
        """
        path = torch.from_numpy(checked_samples(episodes, self.observation_size, self.samples))
        if self.horizon is not None:
            longest = int(episodes.length.max(initial=0))
            if longest > self.horizon:
                raise UserError(
                    f"An episode took {longest} steps, more than horizon = {self.horizon}, the "
                    "steps of the longest episode."
                )
            path = with_time(path, torch.from_numpy(self._moments(episodes) / self.horizon))
        return self._described(path).numpy()

    def _moments(self, episodes: Episodes) -> NDArray[np.int64]:
        """Return the steps after which the samples were taken, ``[n, S]``."""
        fractions = np.arange(1, self.samples + 1)
        return -(-episodes.length[:, None] * fractions // self.samples)

    @staticmethod
    @abstractmethod
    def _second_level(dimensions: int) -> int:
        """Return how many numbers follow the path's displacement."""

    @staticmethod
    @abstractmethod
    def _described(path: torch.Tensor) -> torch.Tensor:
        """Return the descriptors of paths ``[n, S, d]``."""


@final
class Signature(PathDescriptor):
    """Path signature of order 2, see `reward_models.novelty.signature.signature`."""

    @staticmethod
    def _second_level(dimensions: int) -> int:
        return dimensions * dimensions

    @staticmethod
    def _described(path: torch.Tensor) -> torch.Tensor:
        return signature(path)


@final
class LogSignature(PathDescriptor):
    """Log-signature of order 2, see `reward_models.novelty.signature.log_signature`."""

    @staticmethod
    def _second_level(dimensions: int) -> int:
        return dimensions * (dimensions - 1) // 2

    @staticmethod
    def _described(path: torch.Tensor) -> torch.Tensor:
        return log_signature(path)


def checked_samples(
    episodes: Episodes, observation_size: int, samples: int | None = None
) -> NDArray[np.float64]:
    """Return ``episodes.samples`` ``[n, S, O]`` when they have the expected sizes and are finite.

    Args:
        episodes: what is described.
        observation_size: expected ``O``.
        samples: expected ``S``; any number when None.

    Raises:
        UserError: another shape, NaN or infinity.
    """
    found = episodes.samples
    expected = found.shape[1] if samples is None and found.ndim == 3 else samples
    if found.ndim != 3 or found.shape[1:] != (expected, observation_size) or not expected:
        raise UserError(
            f"The descriptor reads samples [n, S, O] with O = {observation_size} numbers"
            + (f" at S = {samples} moments" if samples else "")
            + f", got shape {list(found.shape)}."
        )
    broken = ~np.isfinite(found).all((1, 2))
    if broken.any():
        raise UserError(
            f"A descriptor must be finite: {int(broken.sum())} of {len(found)} episodes have NaN "
            f"or infinity in their samples, the first is number {int(broken.argmax())}."
        )
    return found


def _at_least(name: str, value: int, least: int) -> int:
    if value < least:
        raise UserError(f"{name} must be at least {least}, got {value}.")
    return value
