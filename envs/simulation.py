"""Many copies of one world stepped together: what a new world has to define.

A world is written once, for a batch of columns. `envs.single.SingleEnv` and
`envs.vector.BatchedVectorEnv` put gymnasium's two interfaces around it, with time limits, seeding,
action checks and exact saving, so that both always mean the same world.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gymnasium
import numpy as np

Arrays = Any
"""One array ``[B, ...]``, or a dict of such arrays where the observation space is a Dict."""

_BLOCK = 256


class Outcome(NamedTuple):
    """What one step of all columns brought.

    Attributes:
        reward: float64 ``[B]``.
        terminated: bool ``[B]``: the episode reached an end of the task (never a time limit).
        info: quantities of this transition by name, each ``[B, ...]``; always the same names.
    """

    reward: np.ndarray
    terminated: np.ndarray
    info: dict[str, np.ndarray]


class ColumnRandom:
    """Random numbers for a batch, drawn from one generator per column.

    A column gets the same numbers whether it is alone or one of many, as long as every step asks
    for equally many. Numbers are drawn in blocks of 256, because a call per column and step would
    cost more than most worlds.

    Args:
        num_envs: columns, B.
    """

    def __init__(self, num_envs: int) -> None:
        self._generators: list[np.random.Generator | None] = [None] * num_envs
        self._blocks = {
            "uniform": np.empty((num_envs, _BLOCK)),
            "normal": np.empty((num_envs, _BLOCK)),
        }
        self._used = {name: np.full(num_envs, _BLOCK) for name in self._blocks}
        self._rows = np.arange(num_envs)[:, None]

    def seed(self, column: int, seed: int) -> None:
        """Start the numbers of a column anew."""
        self._generators[column] = gymnasium.utils.seeding.np_random(seed)[0]
        for used in self._used.values():
            used[column] = _BLOCK

    def is_seeded(self, column: int) -> bool:
        """Return whether the column has a generator yet."""
        return self._generators[column] is not None

    def generator(self, column: int) -> np.random.Generator:
        """Return the generator of a column, for draws at a reset.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        found = self._generators[column]
        if found is None:
            raise gymnasium.error.ResetNeeded("Cannot call step() before calling reset().")
        return found

    def uniform(self, size: int = 1) -> np.ndarray:
        """Return float64 ``[B, size]``, uniform in [0, 1); every column advances by ``size``."""
        return self._draw("uniform", size)

    def normal(self, size: int = 1) -> np.ndarray:
        """Return float64 ``[B, size]``, standard normal; every column advances by ``size``."""
        return self._draw("normal", size)

    def _draw(self, kind: str, size: int) -> np.ndarray:
        block, used = self._blocks[kind], self._used[kind]
        if size > _BLOCK:
            parts = [
                self._draw(kind, min(_BLOCK, size - start)) for start in range(0, size, _BLOCK)
            ]
            return np.concatenate(parts, axis=1)
        for column in np.flatnonzero(used + size > _BLOCK).tolist():
            generator = self.generator(column)
            fresh = generator.random if kind == "uniform" else generator.standard_normal
            block[column] = fresh(_BLOCK)
            used[column] = 0
        places = used[:, None] + np.arange(size)
        used += size
        return block[self._rows, places]

    def snapshot(self) -> dict[str, Any]:
        """Return the state as plain numbers and arrays."""
        return {
            "generators": [
                None if generator is None else dict(generator.bit_generator.state)
                for generator in self._generators
            ],
            "blocks": {name: block.copy() for name, block in self._blocks.items()},
            "used": {name: used.copy() for name, used in self._used.items()},
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue from a snapshot."""
        for column, state in enumerate(tree["generators"]):
            if state is None:
                self._generators[column] = None
                continue
            bits = np.random.PCG64()
            bits.state = state
            self._generators[column] = np.random.Generator(bits)
        for name in self._blocks:
            self._blocks[name][...] = tree["blocks"][name]
            self._used[name][...] = tree["used"][name]


class BatchedSimulation(ABC):
    """B independent copies of a world.

    The constructor takes ``num_envs`` and the options of the world, all by keyword, and sets the
    spaces. It draws nothing: every column is reset before its first step.

    Attributes:
        num_envs: columns, B.
        observation_space: of one column.
        action_space: of one column.
        info_keys: every name in ``info``, with one line on its meaning, unit and shape.
    """

    num_envs: int
    observation_space: gymnasium.Space
    action_space: gymnasium.Space
    info_keys: Mapping[str, str]

    @abstractmethod
    def reset(self, columns: np.ndarray, random: ColumnRandom) -> None:
        """Put some columns at the start of an episode.

        Args:
            columns: int64 ``[n]``, without repeats; all other columns stay as they are.
            random: draw from ``random.generator(column)`` only.
        """

    @abstractmethod
    def observe(self) -> Arrays:
        """Return the observations of the present state, ``[B, ...]``, in new arrays."""

    @abstractmethod
    def step(self, actions: np.ndarray, random: ColumnRandom) -> Outcome:
        """Step all columns once.

        Args:
            actions: ``[B, ...]``, valid ones: they were checked.
            random: every call must draw equally many numbers for every column.
        """

    @abstractmethod
    def reset_info(self) -> dict[str, np.ndarray]:
        """Return the quantities of ``info`` for the present state, as after a reset."""

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """Return everything that changes from step to step, in new arrays."""

    @abstractmethod
    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` returned."""

    def render(self) -> np.ndarray:
        """Return a picture of column 0, uint8 ``[H, W, 3]``.

        Raises:
            NotImplementedError: the world has no picture.
        """
        raise NotImplementedError(f"{type(self).__name__} has no picture.")

    def close(self) -> None:  # noqa: B027
        """Free what the simulation holds; nothing by default."""


def load(path: str) -> Callable[..., BatchedSimulation]:
    """Return the class, or the function that makes a simulation, named by ``"module:name"``."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def pick(arrays: Arrays, column: int) -> Arrays:
    """Return one column of arrays ``[B, ...]``, in new arrays; of ``[B]`` a numpy number."""
    if isinstance(arrays, Mapping):
        return {name: pick(values, column) for name, values in arrays.items()}
    return arrays[column] if arrays.ndim == 1 else np.array(arrays[column])
