"""Streams of random numbers for code that draws from Python's and numpy's global generators.

RLGym's components do (a kick-off is shuffled by the ``random`` module) and know no seed. While such
code runs, a stream of ours stands in for both global generators; afterwards they are put back, so
that nobody else's numbers change and a seed means the same match.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import numpy as np

# What `numpy.random.seed` and `numpy.random.rand` mean; naming the functions would look as if this
# project drew from it.
_LEGACY: Any = np.random.mtrand._rand


@final
class GlobalStream:
    """The states of both global generators for one user of them.

    Args:
        seed: at least 0; the same seed gives the same numbers.
    """

    def __init__(self, seed: int) -> None:
        self._python: Any = random.Random(seed).getstate()
        self._numpy: Any = np.random.RandomState(seed % 2**32).get_state()

    @contextmanager
    def standing_in(self) -> Iterator[None]:
        """Run the body with this stream as the global generators; it goes on where it stopped."""
        python, numpy = random.getstate(), _LEGACY.get_state()
        random.setstate(self._python)
        _LEGACY.set_state(self._numpy)
        try:
            yield
        finally:
            self._python, self._numpy = random.getstate(), _LEGACY.get_state()
            random.setstate(python)
            _LEGACY.set_state(numpy)
