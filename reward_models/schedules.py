"""Weights that change with the number of environment steps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from reward_models.errors import UnknownNameError, UserError


class Schedule(ABC):
    """A number as a pure function of the environment steps done so far."""

    @abstractmethod
    def at(self, steps: int) -> float:
        """Return the value after ``steps`` environment steps."""


@dataclass(frozen=True)
class Fixed(Schedule):
    """Always ``value``."""

    value: float

    def at(self, steps: int) -> float:
        """Return ``value``."""
        return self.value


@dataclass(frozen=True)
class Linear(Schedule):
    """From ``start`` to ``end`` over ``steps`` environment steps, then ``end``."""

    start: float
    end: float
    steps: float

    def __post_init__(self) -> None:
        _positive("linear", "steps", self.steps)

    def at(self, steps: int) -> float:
        """Interpolate between start and end."""
        share = min(max(steps / self.steps, 0.0), 1.0)
        return self.start + share * (self.end - self.start)


@dataclass(frozen=True)
class Exponential(Schedule):
    """``start * 2 ** (-steps / half_life)``."""

    start: float
    half_life: float

    def __post_init__(self) -> None:
        _positive("exponential", "half_life", self.half_life)

    def at(self, steps: int) -> float:
        """Return the decayed value."""
        return self.start * 2.0 ** (-steps / self.half_life)


@dataclass(frozen=True)
class Decay(Schedule):
    """``start * (1 - kappa) ** g``, ``g`` the rollouts of ``steps`` steps before the present one.

    A weight is read at the end of a rollout, so the first rollout has the weight ``start``. In
    smooth form this is ``Exponential`` with a half life of ``steps * log(2) / -log(1 - kappa)``.
    """

    start: float
    kappa: float
    steps: float

    def __post_init__(self) -> None:
        _positive("decay", "steps", self.steps)
        if not 0.0 <= self.kappa < 1.0:
            raise UserError(f"Weight schedule 'decay': kappa must lie in [0, 1), got {self.kappa}.")

    def at(self, steps: int) -> float:
        """Return the decayed value."""
        before = max(math.ceil(steps / self.steps) - 1, 0)
        return self.start * (1.0 - self.kappa) ** before


_KINDS: dict[str, tuple[type[Schedule], tuple[str, ...]]] = {
    "linear": (Linear, ("start", "end", "steps")),
    "exponential": (Exponential, ("start", "half_life")),
    "decay": (Decay, ("start", "kappa", "steps")),
}


def as_schedule(weight: Any) -> Schedule:
    """Read a weight: a number, a schedule, or its text form.

    The text forms are ``{linear: [start, end, steps]}``, ``{exponential: [start, half_life]}`` and
    ``{decay: [start, kappa, steps]}``.

    Raises:
        UserError: not a finite number, or the wrong count of numbers.
        UnknownNameError: no such kind of schedule.
    """
    if isinstance(weight, Schedule):
        return weight
    if isinstance(weight, Mapping):
        if len(weight) != 1:
            raise UserError(
                "A weight schedule has one kind, for example {linear: [1, 0, 100000]}; "
                f"got {dict(weight)}."
            )
        ((kind, values),) = weight.items()
        if kind not in _KINDS:
            raise UnknownNameError("weight schedule", str(kind), _KINDS)
        schedule, names = _KINDS[kind]
        if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != len(names):
            raise UserError(f"Weight schedule {kind!r} takes [{', '.join(names)}], got {values!r}.")
        return schedule(*(_finite(value) for value in values))
    return Fixed(_finite(weight))


def _positive(kind: str, name: str, value: float) -> None:
    if not value > 0:
        raise UserError(f"Weight schedule {kind!r}: {name} must be positive, got {value}.")


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise UserError(f"A weight must be a finite number or a schedule, got {value!r}.")
    return float(value)
