"""Random draws of torch that nobody else's draws can change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import numpy as np
import torch


@final
class TorchDraws:
    """A stream of torch's random numbers of its own, for code that draws from the global one."""

    def __init__(self) -> None:
        self.seed(0)

    def seed(self, number: int) -> None:
        """Start the stream anew.

        Args:
            number: at least 0.
        """
        self._random = torch.Generator().manual_seed(number).get_state()

    @contextmanager
    def own(self) -> Iterator[None]:
        """Draw from this stream inside of the block; torch's global one is left as it was found."""
        before = torch.get_rng_state()
        torch.set_rng_state(self._random)
        try:
            yield
        finally:
            self._random = torch.get_rng_state()
            torch.set_rng_state(before)

    def state(self) -> np.ndarray:
        """Return where the stream is, uint8."""
        return self._random.numpy().copy()

    def set_state(self, state: np.ndarray) -> None:
        """Go on from `state`."""
        self._random = torch.from_numpy(np.array(state, dtype=np.uint8))
