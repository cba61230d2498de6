"""A fixed random linear view of observations, as the target of a world model."""

from __future__ import annotations

import math
from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor, nn

from reward_models.encoders import Encoder, OneHot, encoder_class, seeded
from reward_models.errors import UserError

_MOST_WEIGHTS = 2**26


@final
class LinearTarget(Encoder):
    """``phi(x) = sum_i W_i x_i`` with fixed ``W ~ N(0, 1)`` and without a bias.

    Every number of the observation reaches every feature with the same strength, so that what is
    unpredictable in the observation is as visible in its embedding as what is new, and embeddings
    of different observations are far from parallel, which a bias or a ReLU would make them.
    Discrete values, and bytes on a line (messages, the cursor), count as one zero-or-one number
    for each of their values; images are divided by 255; other numbers stay as they are.

    Args:
        space: space of one observation; a Dict of such spaces adds up.
        size: number of features ``D``.
        seed: seed of the weights.

    Raises:
        UserError: a grid of so many different codes that the weights would not fit memory.
    """

    def __init__(self, *, space: spaces.Space, size: int = 32, seed: int = 0) -> None:
        super().__init__(input_space=space, output_size=size)
        self.parts = nn.ModuleDict()
        self.codes: OneHot | None = None
        self.divisor = 1.0
        if isinstance(space, spaces.Dict):
            for index, key in enumerate(space):
                self.parts[key] = LinearTarget(space=space[key], size=size, seed=seed + 1 + index)
            return
        encoder_class(space)  # refuses what nothing can read
        numbers = math.prod(space.shape or ())
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            self.codes = OneHot(space)
        elif isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 1:
            counts = (space.high.astype(np.int64) - space.low + 1).tolist()
            self.codes = OneHot(spaces.MultiDiscrete(counts, start=space.low.astype(np.int64)))
        elif isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3:
            self.divisor = 255.0
        rows = numbers if self.codes is None else self.codes.output_size
        if rows * size > _MOST_WEIGHTS:
            raise UserError(
                f"A linear target of {space} would need {rows} x {size} weights; choose smaller "
                "entries with keys=[...], or target: slow_twin."
            )
        with seeded(seed):
            self.weight = nn.Parameter(torch.randn(rows, size), requires_grad=False)

    def forward(self, inputs: Any) -> Float[Tensor, "*batch D"]:
        """Return the features."""
        if len(self.parts):
            parts = [part(inputs[key]) for key, part in self.parts.items()]
            return torch.stack(parts).sum(0)
        axes = len(self.input_space.shape or ())
        lead = inputs.shape[: inputs.ndim - axes]
        rows = inputs.reshape(math.prod(lead), -1)
        if self.codes is None:
            found = (rows.to(torch.float32) / self.divisor) @ self.weight
        else:
            # The product with zeros and ones, without making them.
            columns = self.codes.columns(rows)
            found = nn.functional.embedding_bag(columns, self.weight, mode="sum")
        return found.reshape(*lead, self.output_size)

    def redraw(self) -> None:
        """Nothing is trained, so nothing is drawn anew."""
