"""Shapers and loss terms that can be used by name, and how one is built."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from ctrl.objectives.hooks import AdvantageShaper, LossTerm
from ctrl.objectives.objective import Objective, Weighted
from reward_models.errors import UnknownNameError, UserError
from reward_models.registry import Listed, is_own_code, load_attribute

if TYPE_CHECKING:
    from ctrl.config import PartConfig

OBJECTIVES: dict[str, Listed] = {
    "entropy_bonus": Listed(
        "ctrl.objectives.entropy_bonus:EntropyBonus",
        "loss term: entropy of the policy, with a fixed or an adaptive weight",
    ),
    "reference_divergence": Listed(
        "ctrl.objectives.reference_divergence:ReferenceDivergence",
        "loss term: divergence from the reference policy (k1, k2, k3, k3+ or abs)",
    ),
    "reward_prediction": Listed(
        "ctrl.objectives.auxiliary.reward_prediction:RewardPrediction",
        "loss term: sign of the reward from the last observations (policy: entity)",
    ),
    "state_representation": Listed(
        "ctrl.objectives.auxiliary.state_representation:StateRepresentation",
        "loss term: rebuilding the entities that were seen (policy: entity)",
    ),
    "whitened": Listed(
        "ctrl.objectives.whitened:Whitened",
        "shaper: advantages with mean 0 and deviation 1 over all valid steps",
    ),
}
"""Parts of an objective by name."""


def build_objective(parts: Mapping[str, PartConfig], *, seed: int = 0) -> Objective:
    """Build the parts of a configuration.

    The seed of a part that takes one is the run's, mixed with the part's name.

    Raises:
        UserError: a part cannot be built, or names something else.
        UnknownNameError: no such part or option.
    """
    built: dict[str, AdvantageShaper | LossTerm | Weighted] = {}
    for name, part in parts.items():
        kind = _load(part.use)
        parameters = inspect.signature(kind).parameters
        options = dict(part.options)
        for key in options:
            if key not in parameters:
                valid = [each for each in parameters if each != "seed"]
                raise UnknownNameError(f"option of objective {part.use!r}", key, valid)
        if "seed" in parameters:
            mixed = np.random.SeedSequence([seed, zlib.crc32(name.encode())])
            options.setdefault("seed", int(mixed.generate_state(1)[0]))
        try:
            made = kind(**options)
        except TypeError as error:
            raise UserError(f"objective.{name} cannot be built: {error}.") from error
        if isinstance(made, LossTerm):
            built[name] = Weighted(made, part.weight)
            continue
        if part.weight != 1.0:
            raise UserError(f"objective.{name} shapes advantages and has no weight.")
        built[name] = made
    return Objective(built)


def _load(use: str) -> type[AdvantageShaper | LossTerm]:
    if is_own_code(use):
        found = load_attribute(use, what="Objective")
    elif use in OBJECTIVES:
        module, _, name = OBJECTIVES[use].path.partition(":")
        found = getattr(import_module(module), name)
    else:
        raise UnknownNameError("part of the objective", use, OBJECTIVES)
    if not isinstance(found, type) or not issubclass(found, AdvantageShaper | LossTerm):
        raise UserError(f"{use!r} must name a class that is an AdvantageShaper or a LossTerm.")
    return found
