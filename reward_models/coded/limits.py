"""What a generated program may use: time, memory, depth, text and memory between steps."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import final

from reward_models.errors import UserError


@final
@dataclass(frozen=True)
class Limits:
    """Bounds of one call into the sandbox.

    A call works through all steps it is given; its time is ``seconds + seconds_per_step * steps``.
    The clock is that of the wall and runs only while the program executes, so the defaults leave
    room for a busy machine: a usual program needs a few microseconds a step.

    Attributes:
        seconds: of every call, above 0.
        seconds_per_step: more for each step of the call, at least 0.
        memory: bytes of the sandbox's heap, data included.
        recursion: depth of calls.
        output: characters that ``print`` may write in one call; they are thrown away.
        state: characters of one column's ``state`` between two calls, as JSON.
        source: characters of the program itself.

    Raises:
        UserError: a bound that is not above 0 (``seconds_per_step`` may be 0).
    """

    seconds: float = 2.0
    seconds_per_step: float = 0.001
    memory: int = 256 * 2**20
    recursion: int = 100
    output: int = 16_384
    state: int = 65_536
    source: int = 65_536

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "seconds_per_step" else None
            if not (value > 0 or value == least):
                raise UserError(f"The limit {field.name} must be above 0, got {value}.")

    def seconds_for(self, steps: int) -> float:
        """Return the time that a call over so many steps may take."""
        return self.seconds + self.seconds_per_step * steps
