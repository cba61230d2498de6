"""Fixed features of observations: one-hot, scaled vectors, Fourier bases and tile coding."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor, nn

from reward_models.errors import UnknownNameError, UserError

Bounds = Sequence[Sequence[float]]
"""``[[low, high], ...]``, one pair for each number of the observation."""

_MOST = 100_000


class Features(nn.Module, ABC):
    """A fixed map from an observation to ``D`` numbers, in double precision.

    Nothing in it is trained: what learns stands on top of it.

    Args:
        size: number of features ``D``.

    Attributes:
        size: see above.
        sums_to_one: the features of every observation add up to 1, so that a linear layer on them
            needs no bias.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        if size > _MOST:
            raise UserError(
                f"These features would be {size} numbers, more than {_MOST}. Lower the order, or "
                "the tiles and tilings, or use features: vector with hidden layers."
            )
        self.size = size
        self.sums_to_one = False

    @abstractmethod
    def forward(self, observation: Tensor) -> Float[Tensor, "*batch D"]:
        """Return the features, float64 ``[..., D]``."""


@final
class OneHotFeatures(Features):
    """One feature per value of a ``Discrete`` observation: a table.

    Args:
        space: of one observation.
    """

    def __init__(self, *, space: spaces.Discrete) -> None:
        super().__init__(int(space.n))
        self.start = int(space.start)
        self.sums_to_one = True

    def forward(self, observation: Tensor) -> Float[Tensor, "*batch D"]:
        """Return the one-hot rows."""
        index = observation.to(torch.int64) - self.start
        return nn.functional.one_hot(index, self.size).to(torch.float64)


@final
class VectorFeatures(Features):
    """The numbers of a ``Box`` observation.

    Args:
        space: of one observation.
        bounds: of each number, which are mapped to [-1, 1]; without them the finite bounds of the
            space are, and other numbers stay as they are.
    """

    centre: Tensor
    width: Tensor

    def __init__(self, *, space: spaces.Box, bounds: Bounds | None = None) -> None:
        super().__init__(int(np.prod(space.shape)))
        low, high = _limits(space, bounds)
        finite = np.isfinite(low) & np.isfinite(high) & (high > low) & (high - low < 1e9)
        low, high = np.where(finite, low, -1.0), np.where(finite, high, 1.0)
        self.register_buffer("centre", torch.as_tensor((low + high) / 2))
        self.register_buffer("width", torch.as_tensor((high - low) / 2))
        self._dimensions = len(space.shape)

    def forward(self, observation: Tensor) -> Float[Tensor, "*batch D"]:
        """Return the scaled numbers."""
        return (_flat(observation, self._dimensions) - self.centre) / self.width


@final
class FourierFeatures(Features):
    """The Fourier basis ``cos(pi c . x)`` for every ``c`` in ``{0, ..., order}^n``.

    ``x`` is the observation scaled to [0, 1] and clipped there (Konidaris, Osentoski and Thomas
    2011); the first feature is constant.

    Args:
        space: of one observation.
        order: highest frequency of each number.
        bounds: of each number; those of the space when None.

    Raises:
        UserError: a number without finite bounds, or more than 100,000 features.
    """

    low: Tensor
    width: Tensor
    frequencies: Tensor

    def __init__(self, *, space: spaces.Box, order: int = 3, bounds: Bounds | None = None) -> None:
        if order < 1:
            raise UserError(f"order must be at least 1, got {order}.")
        numbers = int(np.prod(space.shape))
        super().__init__((order + 1) ** numbers)
        low, width = _finite(space, bounds, "Fourier features")
        grid = list(itertools.product(range(order + 1), repeat=numbers))
        self.register_buffer("low", torch.as_tensor(low))
        self.register_buffer("width", torch.as_tensor(width))
        self.register_buffer("frequencies", np.pi * torch.tensor(grid, dtype=torch.float64))
        self._dimensions = len(space.shape)

    def forward(self, observation: Tensor) -> Float[Tensor, "*batch D"]:
        """Return the cosines, each in [-1, 1]."""
        flat = _flat(observation, self._dimensions)
        unit = ((flat - self.low) / self.width).clamp(0.0, 1.0)
        return (unit @ self.frequencies.T).cos()


@final
class TileFeatures(Features):
    """Tile coding: which tile of each of several shifted grids the observation lies in.

    Grid ``i`` of ``n`` is shifted by ``i / n`` of a tile, so each has one tile more along an axis.
    Every active tile counts ``1 / n``: the features sum to 1.

    Args:
        space: of one observation.
        tiles: tiles of a grid along each axis.
        tilings: number of grids ``n``.
        bounds: of each number; those of the space when None.

    Raises:
        UserError: a number without finite bounds, or more than 100,000 features.
    """

    low: Tensor
    width: Tensor
    shifts: Tensor
    strides: Tensor

    def __init__(
        self, *, space: spaces.Box, tiles: int = 4, tilings: int = 5, bounds: Bounds | None = None
    ) -> None:
        if tiles < 1 or tilings < 1:
            raise UserError(f"tiles and tilings must be at least 1, got {tiles} and {tilings}.")
        numbers = int(np.prod(space.shape))
        super().__init__(tilings * (tiles + 1) ** numbers)
        self.sums_to_one = True
        self.tiles, self.tilings = tiles, tilings
        low, width = _finite(space, bounds, "tile coding")
        strides = [(tiles + 1) ** k for k in range(numbers)]
        self.register_buffer("low", torch.as_tensor(low))
        self.register_buffer("width", torch.as_tensor(width))
        self.register_buffer("shifts", torch.arange(tilings, dtype=torch.float64) / tilings)
        self.register_buffer("strides", torch.tensor(strides))
        self._dimensions = len(space.shape)

    def forward(self, observation: Tensor) -> Float[Tensor, "*batch D"]:
        """Return ``1 / tilings`` in the active tiles."""
        flat = _flat(observation, self._dimensions)
        unit = ((flat - self.low) / self.width).clamp(0.0, 1.0 - 1e-12) * self.tiles
        cell = (unit.unsqueeze(-2) + self.shifts.unsqueeze(-1)).floor().to(torch.int64)
        index = (cell * self.strides).sum(-1)  # [..., tilings]
        index = index + torch.arange(self.tilings, device=index.device) * (
            self.size // self.tilings
        )
        found = torch.zeros(*index.shape[:-1], self.size, dtype=torch.float64, device=index.device)
        return found.scatter(-1, index, 1.0 / self.tilings)


_KINDS: dict[str, type[Features]] = {
    "one_hot": OneHotFeatures,
    "vector": VectorFeatures,
    "fourier": FourierFeatures,
    "tiles": TileFeatures,
}


def make_features(
    name: str | None, space: spaces.Space, options: Mapping[str, Any] | None = None
) -> Features:
    """Build features by name.

    Args:
        name: ``one_hot``, ``vector``, ``fourier`` or ``tiles``; None takes ``one_hot`` for a
            ``Discrete`` space and ``vector`` for a ``Box``.
        space: of one observation.
        options: keyword arguments of the class.

    Raises:
        UnknownNameError: no such features.
        UserError: features that cannot read this space, or an option they do not have.
    """
    if name is None:
        name = "one_hot" if isinstance(space, spaces.Discrete) else "vector"
    if name not in _KINDS:
        raise UnknownNameError("features", name, _KINDS)
    needed = spaces.Discrete if name == "one_hot" else spaces.Box
    if not isinstance(space, needed):
        raise UserError(
            f"features: {name} reads a {needed.__name__} observation, got {space}. "
            "Take an observation option of the environment that gives one."
        )
    kind: Any = _KINDS[name]
    try:
        return kind(space=space, **(options or {}))
    except TypeError as error:
        raise UserError(f"features: {name} cannot be built: {error}.") from error


def _flat(observation: Tensor, dimensions: int) -> Tensor:
    values = observation.to(torch.float64)
    return values.unsqueeze(-1) if dimensions == 0 else values.flatten(-dimensions)


def _limits(space: spaces.Box, bounds: Bounds | None) -> tuple[np.ndarray, np.ndarray]:
    if bounds is None:
        return space.low.astype(float).ravel(), space.high.astype(float).ravel()
    pairs = np.asarray(bounds, dtype=float)
    numbers = int(np.prod(space.shape))
    if pairs.shape != (numbers, 2) or not (pairs[:, 0] < pairs[:, 1]).all():
        raise UserError(
            f"bounds must be {numbers} pairs [low, high] with low < high, got {bounds!r}."
        )
    return pairs[:, 0], pairs[:, 1]


def _finite(space: spaces.Box, bounds: Bounds | None, what: str) -> tuple[np.ndarray, np.ndarray]:
    low, high = _limits(space, bounds)
    unknown = np.flatnonzero(~np.isfinite(high - low) | (high - low > 1e9)).tolist()
    if unknown:
        raise UserError(
            f"{what} needs finite bounds, and the space has none for the numbers {unknown}. "
            "Give bounds: [[low, high], ...], one pair for each number of the observation."
        )
    return low, high - low
