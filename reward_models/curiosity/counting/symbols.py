"""Observations as rows of symbols, each with a context, for a density model that counts."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Int
from torch import Tensor, nn

from reward_models.encoders import CodeEncoder, ImageEncoder, OneHot, encoder_class
from reward_models.errors import UserError
from reward_models.statistics import RunningStatistics

Symbols = tuple[Int[Tensor, "N L"], Int[Tensor, "N L"]]
"""The symbol at each of ``L`` places, and the number of its context there."""

_LARGEST_SIDE = 42
_WIDEST_BIN = 2.0
_MOST_GRID_LEVELS = 16


class SymbolReader(nn.Module, ABC):
    """What the density model reads of an observation.

    Attributes:
        sizes: number of different symbols at each of the ``L`` places.
        contexts: number of different contexts of a place.
    """

    sizes: tuple[int, ...]
    contexts: int

    @abstractmethod
    def forward(self, inputs: Tensor) -> Symbols:
        """Return symbols and contexts of the inputs ``[N, ...]``, each ``[N, L]``."""

    def learn(self, inputs: Tensor) -> None:
        """Learn where the borders between symbols lie; the default has nothing to learn."""


class GridReader(SymbolReader):
    """Images and grids of codes, at most 42 x 42 places, in the context of three neighbours.

    Larger grids are cut into equal blocks (up to 42 along a side; the last may be smaller). An
    image's brightness, the mean over channels and block, falls into one of ``levels`` equal
    steps. Codes, whose size means nothing, are added up over a block and taken modulo ``levels``.
    The context is the symbols on the left, above, and above on the left; beyond the border 0.

    Args:
        space: Box of an image or of codes with one or two axes.
        levels: number of different symbols, at most 16.

    Raises:
        UserError: more levels than that.
    """

    def __init__(self, *, space: spaces.Box, levels: int) -> None:
        super().__init__()
        if levels > _MOST_GRID_LEVELS:
            raise UserError(
                f"levels must be at most {_MOST_GRID_LEVELS} for images and codes, whose contexts "
                f"are {levels}^3 for {levels} levels; leave such keys out, or use fewer levels."
            )
        shape = tuple(space.shape)
        self.image = len(shape) == 3
        self.channels_last = self.image and shape[2] < shape[0]
        if self.image:
            sides = shape[:2] if self.channels_last else shape[1:]
        else:
            sides = shape if len(shape) == 2 else (1, *shape)
        self.given = sides
        self.block = tuple(-(-side // _LARGEST_SIDE) for side in sides)
        self.grid = tuple(-(-side // size) for side, size in zip(sides, self.block, strict=True))
        self.levels, self.contexts = levels, levels**3
        self.sizes = (levels,) * math.prod(self.grid)

    def forward(self, inputs: Tensor) -> Symbols:
        """Return symbols and contexts, row by row of the grid."""
        if self.image:
            channels = -1 if self.channels_last else 1
            summed = self._over_blocks(inputs.to(torch.int64).sum(channels))
            full = (
                255
                * inputs.shape[channels]
                * self._over_blocks(
                    torch.ones((1, *self.given), dtype=torch.int64, device=inputs.device)
                )
            )
            symbols = (summed * self.levels // (full + 1)).clamp_max(self.levels - 1)
        else:
            grid = inputs.reshape(len(inputs), *self.given).to(torch.int64)
            symbols = self._over_blocks(grid).remainder(self.levels)
        bordered = nn.functional.pad(symbols, (1, 0, 1, 0))
        left, above, corner = bordered[:, 1:, :-1], bordered[:, :-1, 1:], bordered[:, :-1, :-1]
        context = (left * self.levels + above) * self.levels + corner
        return symbols.flatten(1), context.flatten(1)

    def _over_blocks(self, values: Int[Tensor, "N H W"]) -> Int[Tensor, "N h w"]:
        """Add up the values of each block."""
        if self.block == (1, 1):
            return values
        (height, width), (rows, columns) = self.block, self.grid
        missing = (0, columns * width - values.shape[2], 0, rows * height - values.shape[1])
        values = nn.functional.pad(values, missing)
        return values.unflatten(2, (columns, width)).sum(3).unflatten(1, (rows, height)).sum(2)


class VectorReader(SymbolReader):
    """Each number by itself, as one of ``levels`` bins by its running deviation.

    ``(x - mean) / std`` from -2 to 2 in equal bins, the outer ones open; the running statistics
    learn in ``learn`` only. There is no context: the density of a vector is the product of those
    of its numbers.

    Args:
        shape: shape of one input.
        levels: number of bins.
    """

    contexts = 1

    def __init__(self, *, shape: tuple[int, ...], levels: int) -> None:
        super().__init__()
        size = math.prod(shape)
        self.levels, self.sizes = levels, (levels,) * size
        self.statistics = RunningStatistics(shape=(size,))

    def forward(self, inputs: Tensor) -> Symbols:
        """Return the bins; contexts are 0."""
        normal = self.statistics.normalize(inputs.reshape(len(inputs), -1), clip=_WIDEST_BIN)
        share = (normal + _WIDEST_BIN) / (2 * _WIDEST_BIN)
        bins = (share * self.levels).nan_to_num().to(torch.int64).clamp(0, self.levels - 1)
        return bins, torch.zeros_like(bins)

    def learn(self, inputs: Tensor) -> None:
        """Learn mean and deviation from the inputs."""
        self.statistics.update(inputs.reshape(len(inputs), -1))


class DiscreteReader(SymbolReader):
    """Each component of a Discrete, MultiDiscrete or MultiBinary space as it is, no context."""

    contexts = 1

    def __init__(
        self, *, space: spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary
    ) -> None:
        super().__init__()
        self.one_hot = OneHot(space)
        self.sizes = self.one_hot.counts

    def forward(self, inputs: Tensor) -> Symbols:
        """Return the components' numbers; contexts are 0."""
        rows = inputs.reshape(len(inputs), len(self.sizes)).to(torch.int64) - self.one_hot.lowest
        symbols = rows.clamp_min(0).minimum(self.one_hot.count - 1)
        return symbols, torch.zeros_like(symbols)


def symbol_readers(
    space: spaces.Space, levels: int, path: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], SymbolReader]]:
    """Return what reads each part of an observation, with the keys that lead there.

    Raises:
        UserError: a space that no encoder reads either.
    """
    if isinstance(space, spaces.Dict):
        found = []
        for key in space:
            found += symbol_readers(space[key], levels, (*path, key))
        return found
    kind: Any = encoder_class(space, ".".join(path) or None)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        return [(path, DiscreteReader(space=space))]
    if isinstance(space, spaces.Box) and kind in (ImageEncoder, CodeEncoder):
        return [(path, GridReader(space=space, levels=levels))]
    return [(path, VectorReader(shape=tuple(np.shape(space.low)), levels=levels))]  # type: ignore[attr-defined]
