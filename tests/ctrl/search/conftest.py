"""Searches without an environment: what a genome does and earns is a formula of its genes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from ctrl.search.descriptors import Descriptor, LastSample
from ctrl.search.episodes import Episodes

SIZE = 4
CENTRE, RADIUS = np.array([1.5, 1.5]), 0.75


class Landscape:
    """Genes 0 and 1 are where an episode ends; a disc is paid ``(R - d) / R``."""

    def __init__(self, centre: NDArray[np.float64] = CENTRE, radius: float = RADIUS) -> None:
        self.centre, self.radius = centre, radius
        self.used = 0
        self.batches: list[int] = []

    def __call__(self, genomes: NDArray[np.float64]) -> Episodes:
        assert np.abs(genomes).max() <= 5
        count = len(genomes)
        distance = np.linalg.norm(genomes[:, :2] - self.centre, axis=1)
        reward = np.maximum(0.0, (self.radius - distance) / self.radius)
        first, self.used = self.used, self.used + count
        self.batches.append(count)
        return Episodes(
            genomes=genomes.copy(),
            evaluation=np.arange(first, self.used, dtype=np.int64),
            reward=reward,
            task_reward=reward.copy(),
            area=np.where(distance <= self.radius, 0, -1).astype(np.int64),
            length=np.ones(count, dtype=np.int64),
            samples=genomes[:, None, :2].copy(),
            images=None,
            place=genomes[:, :2].copy(),
        )


class Scaled(Descriptor):
    """The end of the episode times a number that every training doubles."""

    learned = True

    def __init__(self) -> None:
        self.size, self.scale, self.learned_from = 2, 1.0, list[int]()

    def describe(self, episodes: Episodes) -> NDArray[np.float64]:
        return self.scale * episodes.samples[:, -1]

    def surprise(self, episodes: Episodes) -> NDArray[np.float64]:
        return self.scale * np.abs(episodes.genomes[:, 2])

    def learn(self, episodes: Episodes) -> dict[str, float]:
        self.scale *= 2
        self.version += 1
        self.learned_from.append(len(episodes))
        return {"loss": 1 / self.scale}

    def state_dict(self) -> dict[str, float]:
        return {"scale": self.scale}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.scale = state["scale"]


@pytest.fixture
def landscape() -> Callable[..., Landscape]:
    return Landscape


@pytest.fixture
def scaled() -> type[Scaled]:
    return Scaled


@pytest.fixture
def last_sample() -> LastSample:
    return LastSample(observation_size=2)
