"""What noisy televisions show: random numbers, cells or letters that never stop being new."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import final

import numpy as np

from envs.simulation import ColumnRandom
from envs.worlds.options import choice, positive

KINDS = ("iid", "brownian", "on_demand")


class Screen(ABC):
    """B pictures of random values, one per column.

    ``iid``: every step redraws the picture with probability ``probability``. ``brownian``: every
    step moves each value a little. ``on_demand``: the picture is redrawn in steps that ask for it,
    and blank after all others.

    Args:
        num_envs: columns, B.
        shape: of one picture.
        dtype: of the values.
        kind: ``iid``, ``brownian`` or ``on_demand``.
        probability: of a redraw per step with ``iid``.

    Attributes:
        kind: see above.
        values: the pictures, ``[B, *shape]``.
        shown: bool ``[B]``: whether there is a picture; false while an on-demand one is blank.
        redrawn: bool ``[B]``: whether the last step changed the picture into a new one.

    Raises:
        ValueError: an unknown kind, or a probability outside [0, 1].
    """

    def __init__(
        self,
        num_envs: int,
        shape: tuple[int, ...],
        dtype: np.dtype,
        *,
        kind: str,
        probability: float = 1.0,
    ) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f"Expected a probability of a redraw, got {probability}.")
        self.kind = choice("kind", kind, KINDS)
        self.shape = shape
        self._probability = probability
        self.values = np.zeros((num_envs, *shape), dtype=dtype)
        self.shown = np.zeros(num_envs, dtype=np.bool_)
        self.redrawn = np.zeros(num_envs, dtype=np.bool_)

    def reset(self, columns: np.ndarray, random: ColumnRandom) -> None:
        """Begin an episode: a first picture, or a blank one on demand."""
        for column in columns.tolist():
            self.values[column] = self._first(random.generator(column))
        self.shown[columns] = self.kind != "on_demand"
        self.redrawn[columns] = False

    def step(self, asked: np.ndarray, random: ColumnRandom) -> None:
        """Show what follows a step.

        Args:
            asked: bool ``[B]``: which columns ask for a new picture; only read with ``on_demand``.
            random: of the pictures; every column advances equally.
        """
        if self.kind == "brownian":
            self.redrawn = np.ones_like(self.redrawn)
            self.values = self._moved(random)
            return
        fresh = self._fresh(random)
        if self.kind == "on_demand":
            self.redrawn = asked.copy()
            self.shown = asked.copy()
        else:
            self.redrawn = random.uniform()[:, 0] < self._probability
        place = self.redrawn.reshape(-1, *(1,) * len(self.shape))
        self.values = np.where(place, fresh, self.values)

    @abstractmethod
    def _first(self, generator: np.random.Generator) -> np.ndarray:
        """Return the picture at the start of an episode."""

    @abstractmethod
    def _fresh(self, random: ColumnRandom) -> np.ndarray:
        """Return new pictures ``[B, *shape]``."""

    @abstractmethod
    def _moved(self, random: ColumnRandom) -> np.ndarray:
        """Return the present pictures one small step on."""

    def state(self) -> dict[str, np.ndarray]:
        """Return everything that changes, in new arrays."""
        return {
            "values": self.values.copy(),
            "shown": self.shown.copy(),
            "redrawn": self.redrawn.copy(),
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        for name in ("values", "shown", "redrawn"):
            setattr(self, name, np.array(state[name]))


@final
class RealScreen(Screen):
    """Numbers: N(0, ``scale``^2) each, or a Gaussian walk between ``-3 scale`` and ``3 scale``.

    The walk starts anywhere in its range and is reflected at the ends.

    Args:
        num_envs: columns, B.
        size: numbers per picture, k.
        dtype: of the numbers.
        kind: see `Screen`.
        probability: see `Screen`.
        scale: standard deviation of fresh numbers.
        step: standard deviation of a step of the walk, in units of ``scale``.

    Raises:
        ValueError: a scale or a step that is not positive, or see `Screen`.
    """

    def __init__(
        self,
        num_envs: int,
        size: int,
        dtype: np.dtype,
        *,
        kind: str,
        probability: float = 1.0,
        scale: float = 1.0,
        step: float = 0.1,
    ) -> None:
        super().__init__(num_envs, (size,), dtype, kind=kind, probability=probability)
        self._scale = positive("scale", scale)
        self._step = positive("step", step) * scale
        self.bound = 3 * scale if kind == "brownian" else np.inf

    def _first(self, generator: np.random.Generator) -> np.ndarray:
        if self.kind == "brownian":
            return generator.uniform(-self.bound, self.bound, self.shape)
        return self._scale * generator.standard_normal(self.shape)

    def _fresh(self, random: ColumnRandom) -> np.ndarray:
        return (self._scale * random.normal(self.shape[0])).astype(self.values.dtype)

    def _moved(self, random: ColumnRandom) -> np.ndarray:
        moved = self.values + self._step * random.normal(self.shape[0])
        moved = np.where(moved > self.bound, 2 * self.bound - moved, moved)
        moved = np.where(moved < -self.bound, -2 * self.bound - moved, moved)
        return np.clip(moved, -self.bound, self.bound).astype(self.values.dtype)


@final
class IntegerScreen(Screen):
    """Whole numbers from ``low`` to ``high``: uniform, or a walk of -1, 0 or 1 within them.

    Args:
        num_envs: columns, B.
        shape: of one picture.
        dtype: of the numbers.
        kind: see `Screen`.
        probability: see `Screen`.
        low: lowest value.
        high: highest value.

    Raises:
        ValueError: ``low`` above ``high``, or see `Screen`.
    """

    def __init__(
        self,
        num_envs: int,
        shape: tuple[int, ...],
        dtype: np.dtype,
        *,
        kind: str,
        probability: float = 1.0,
        low: int,
        high: int,
    ) -> None:
        if low > high:
            raise ValueError(f"Expected low <= high, got {low} and {high}.")
        super().__init__(num_envs, shape, dtype, kind=kind, probability=probability)
        self._low, self._high = low, high
        self._size = int(np.prod(shape))

    def _first(self, generator: np.random.Generator) -> np.ndarray:
        return generator.integers(self._low, self._high, self.shape, endpoint=True)

    def _fresh(self, random: ColumnRandom) -> np.ndarray:
        return self._low + self._below(self._high - self._low + 1, random)

    def _moved(self, random: ColumnRandom) -> np.ndarray:
        moved = self.values.astype(np.int64) + self._below(3, random) - 1
        return np.clip(moved, self._low, self._high).astype(self.values.dtype)

    def _below(self, count: int, random: ColumnRandom) -> np.ndarray:
        """Return uniform whole numbers from 0 to ``count - 1``."""
        drawn = count * random.uniform(self._size)
        return drawn.reshape(-1, *self.shape).astype(self.values.dtype)
