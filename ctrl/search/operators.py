"""How genomes come about: drawn at the start, mutated later, always inside of their limit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reward_models.errors import UserError


def normal_genomes(
    count: int, size: int, limit: float, random: np.random.Generator
) -> NDArray[np.float64]:
    """Return genomes ``[count, size]`` of N(0, 1), clipped to ``[-limit, limit]``."""
    return np.clip(random.standard_normal((count, size)), -limit, limit)


def uniform_genomes(
    count: int, size: int, limit: float, random: np.random.Generator
) -> NDArray[np.float64]:
    """Return genomes ``[count, size]``, every gene uniform in ``[-limit, limit)``."""
    return random.uniform(-limit, limit, (count, size))


# The operator of ribs draws from a generator that it hides, and mutates every gene.
def mutated(
    parents: NDArray[np.float64],
    sigma: float,
    probability: float,
    limit: float,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Return mutants ``clip(parent + N(0, sigma^2))``, gene by gene.

    Args:
        parents: ``[n, D]``, left as they are.
        sigma: standard deviation of one gene's change.
        probability: with which a gene changes at all.
        limit: genes are clipped to ``[-limit, limit]``.
        random: drawn from; ``n * D`` numbers more when ``probability < 1``.
    """
    change = sigma * random.standard_normal(parents.shape)
    if probability < 1:
        change *= random.random(parents.shape) < probability
    return np.clip(parents + change, -limit, limit)


def at_least(name: str, value: Any, least: int) -> int:
    """Return a whole number that is at least ``least``.

    Raises:
        UserError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise UserError(f"{name} must be a whole number of at least {least}, got {value!r}.")
    return int(value)


def positive(name: str, value: float) -> float:
    """Return a finite number above 0.

    Raises:
        UserError: it is not.
    """
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"{name} must be a finite number above 0, got {value!r}.")
    return float(value)


def probability(name: str, value: float) -> float:
    """Return a number in (0, 1].

    Raises:
        UserError: it is not.
    """
    if not 0 < value <= 1:
        raise UserError(f"{name} must be in (0, 1], got {value!r}.")
    return float(value)


def random_state(random: np.random.Generator) -> dict[str, Any]:
    """Return the state of a generator as plain data."""
    return dict(random.bit_generator.state)


def set_random_state(random: np.random.Generator, state: Mapping[str, Any]) -> None:
    """Take over what `random_state` returned."""
    random.bit_generator.state = dict(state)
