"""Observations as plain numbers side by side: the encoder without a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor, nn

from reward_models.encoders import (
    CodeEncoder,
    Encoder,
    ImageEncoder,
    OneHot,
    encoder_class,
    make_encoder,
)


def chosen_space(
    observation_space: spaces.Space, keys: Sequence[str] | None = None
) -> spaces.Space:
    """Return the part of an observation space that ``keys`` name; all of it when None.

    Raises:
        UserError: a space that no encoder reads, or ``keys`` for a space without keys.
        UnknownNameError: a key that the space does not have.
    """
    return make_encoder(observation_space, size=1, keys=keys).input_space


class FlatEncoder(Encoder):
    """The numbers of an observation in one row, without weights.

    Images are divided by 255, grids and lines of codes brought to [0, 1], Discrete and
    MultiDiscrete values written as zeros and ones; other numbers stay as they are.

    Args:
        space: space of one observation; Dict spaces are read in the order of their keys.
    """

    def __init__(self, *, space: spaces.Space) -> None:
        parts = [FlatEncoder(space=part) for part in _parts(space).values()]
        kind = encoder_class(space)
        one_hot = None
        if parts:
            size = sum(part.output_size for part in parts)
        elif isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            one_hot = OneHot(space)
            size = one_hot.output_size
        else:
            size = math.prod(space.shape or ())
        super().__init__(input_space=space, output_size=size)
        self.one_hot = one_hot
        self.parts = nn.ModuleList(parts)
        self.lowest, self.range = 0.0, 1.0
        if kind is ImageEncoder:
            self.range = 255.0
        elif kind is CodeEncoder and isinstance(space, spaces.Box):
            self.lowest = float(space.low.min())
            self.range = max(float(space.high.max()) - self.lowest, 1.0)

    def forward(self, inputs: Any) -> Float[Tensor, "*batch D"]:
        """Return the numbers in float32."""
        if len(self.parts):
            keys = _parts(self.input_space)
            parts = [part(inputs[key]) for key, part in zip(keys, self.parts, strict=True)]
            return torch.cat(parts, -1)
        axes = len(self.input_space.shape or ())
        lead = inputs.shape[: inputs.ndim - axes]
        rows = inputs.reshape(math.prod(lead), -1)
        if self.one_hot is not None:
            return self.one_hot(rows).reshape(*lead, -1)
        return ((rows.to(torch.float32) - self.lowest) / self.range).reshape(*lead, -1)


def _parts(space: spaces.Space) -> dict[str, spaces.Space]:
    return dict(space.spaces) if isinstance(space, spaces.Dict) else {}
