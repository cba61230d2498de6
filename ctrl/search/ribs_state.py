"""What changes inside of the objects of ribs, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ribs.emitters.opt import CMAEvolutionStrategy

from ctrl.search.operators import random_state, set_random_state

_PATHS = ("mean", "sigma", "pc", "ps", "current_eval")
_COVARIANCE = (
    "cov", "eigenbasis", "eigenvalues", "condition_number", "invsqrt", "updated_eval",
)  # fmt: skip


def strategy_state(strategy: CMAEvolutionStrategy) -> dict[str, Any]:
    """Return everything of a CMA-ES that changes between its generations, but its generator."""
    paths = {name: np.copy(getattr(strategy, name)) for name in _PATHS}
    covariance = {name: np.copy(getattr(strategy.cov, name)) for name in _COVARIANCE}
    return {**paths, "covariance": covariance}


def set_strategy_state(strategy: CMAEvolutionStrategy, state: Mapping[str, Any]) -> None:
    """Take over what `strategy_state` returned."""
    for owner, names, values in (
        (strategy, _PATHS, state),
        (strategy.cov, _COVARIANCE, state["covariance"]),
    ):
        for name in names:
            value = np.copy(values[name])
            setattr(owner, name, value if value.ndim else value.item())


# The objects of ribs 0.8 keep their generators under a private name and have no other way to save
# them; `pyproject.toml` pins the version, and the tests of resumed searches would notice a change.
def hidden_random_state(owner: Any) -> dict[str, Any]:
    """Return the state of the generator of an archive, an emitter or a strategy of ribs."""
    return random_state(owner._rng)


def set_hidden_random_state(owner: Any, state: Mapping[str, Any]) -> None:
    """Take over what `hidden_random_state` returned."""
    set_random_state(owner._rng, state)
