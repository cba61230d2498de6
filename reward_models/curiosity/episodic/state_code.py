"""Observations as single numbers, so that coming back to one of them can be counted."""

from __future__ import annotations

import math
from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Int
from torch import Tensor, nn

from reward_models.curiosity.counting.visits import state_keys
from reward_models.errors import UserError


@final
class StateCode(nn.Module):
    """One 64-bit number for each observation, equal for observations that count as the same.

    Whole numbers (discrete values, pixels, glyphs) count as they are. Each array of real ones
    counts by the signs of ``bits`` random projections of ``(x, 1)``: SimHash (Charikar 2002) with
    an offset, so that not only directions are told apart. Borders are densest within a distance
    of about 1 of the origin.

    Args:
        space: space of one observation.
        bits: projections of each array of real numbers, at least 1.
        seed: of the projections.

    Raises:
        UserError: ``bits`` below 1.
    """

    projection: Tensor

    def __init__(self, *, space: spaces.Space, bits: int = 64, seed: int = 0) -> None:
        super().__init__()
        if bits < 1:
            raise UserError(f"hash_bits must be at least 1, got {bits}.")
        self.names: list[str] = []
        generator = torch.Generator().manual_seed(seed)
        if isinstance(space, spaces.Dict):
            self.names = list(space)
            seeds = torch.randint(2**62, (len(self.names),), generator=generator).tolist()
            self.parts = nn.ModuleList(
                StateCode(space=part, bits=bits, seed=own)
                for part, own in zip(space.values(), seeds, strict=True)
            )
        self.is_real = isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)
        if self.is_real:
            size = math.prod(space.shape or ())
            projection = torch.randn(size + 1, bits, generator=generator, dtype=torch.float64)
            self.register_buffer("projection", projection)

    def forward(self, inputs: Any) -> Int[Tensor, " N"]:
        """Return the code of every row of ``inputs [N, ...]``, a tensor or nested dict."""
        if self.names:
            codes = [part(inputs[n]) for n, part in zip(self.names, self.parts, strict=True)]
            return state_keys(torch.stack(codes, -1), 1)
        return state_keys(self._signs(inputs) if self.is_real else inputs, 1)

    def _signs(self, inputs: Tensor) -> Bool[Tensor, "N b"]:
        rows = inputs.flatten(1) if inputs.ndim > 1 else inputs.unsqueeze(1)
        projected = rows.to(torch.float64) @ self.projection[:-1] + self.projection[-1]
        return projected >= 0
