"""Shape and type checks on every call of the packages under test; one torch thread."""

from __future__ import annotations

import random

# The type checker draws which item of a container it looks at. It gets a generator of its own, so
# that tests can tell who uses the global one.
_GLOBAL_BITS = random.getrandbits
random.getrandbits = random.Random(0).getrandbits  # type: ignore[method-assign]
import beartype.beartype as _  # noqa: E402, F401
