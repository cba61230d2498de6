"""What a moment is worth: a weighted sum of named shape functions and combinations of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from reward_models.errors import UnknownNameError, UserError
from reward_models.kinesthetic.combination import kinesthetic_combination
from reward_models.kinesthetic.components import COMPONENTS
from reward_models.kinesthetic.field import FIELD, Field

Values = Mapping[str, Tensor]

COMBINATIONS: Mapping[str, Callable[[list[Tensor]], Tensor]] = {
    "krc": kinesthetic_combination,
    "sum": lambda parts: torch.stack(parts).sum(0),
    "mean": lambda parts: torch.stack(parts).mean(0),
    "product": lambda parts: torch.stack(parts).prod(0),
}
"""How the parts of one term can be combined; the last three are what krc is compared with."""

LUCY: Mapping[str, Any] = {
    "goal_difference": {"weight": 2.0, "offence_dispersion": 0.6, "defence_dispersion": 0.4},
    "velocity_ball_to_goal": 0.8,
    "save_boost": 0.5,
    "distance_weighted_align": {"weight": 0.6, "dispersion": 1.1},
    "offensive_potential": {"weight": 1.0, "density": 1.1},
}
"""The terms of Lucy-SKG's potential."""


@final
@dataclass(frozen=True)
class _Term:
    weight: float
    quantities: frozenset[str]
    function: Callable[[Values], Tensor]

    def __call__(self, values: Values) -> Tensor:
        value = self.function(values)
        return value if self.weight == 1.0 else self.weight * value


@final
class Utility:
    """A weighted sum of terms over the quantities of one moment.

    A term is a weight alone, ``{align: 0.6}``; a mapping of ``weight`` (1 when left out) and
    options, ``{player_to_ball: {weight: 0.5, density: 1.1}}``; the same under a name of its own,
    ``{near: {use: player_to_ball, density: 2}}``; or a combination of further terms,
    ``{attack: {krc: {align: {}, player_to_ball: {density: 1.1}}}}``, with ``krc``, ``sum``,
    ``mean`` or ``product``. Terms of krc and product have no weights.

    Args:
        terms: name -> term; None for `LUCY`.
        field: what is measured on.

    Attributes:
        names: of the terms.
        quantities: names of what is read, see `reward_models.kinesthetic.quantities`.

    Raises:
        UnknownNameError: no such shape function, combination or option.
        UserError: no terms, or a number out of its range.
    """

    def __init__(self, terms: Mapping[str, Any] | None = None, field: Field = FIELD) -> None:
        self._terms = _parsed("terms", LUCY if terms is None else terms, field, weights=True)
        self.names = tuple(self._terms)
        self.quantities: tuple[str, ...] = tuple(
            sorted(frozenset().union(*(term.quantities for term in self._terms.values())))
        )

    def __call__(self, values: Values) -> Tensor:
        """Return the sum, ``[...]``.

        Args:
            values: quantity -> ``[...]`` or ``[..., D]``.
        """
        return torch.stack(list(self.parts(values).values())).sum(0)

    def parts(self, values: Values) -> dict[str, Tensor]:
        """Return what every term adds, by name, ``[...]`` each."""
        return {name: term(values) for name, term in self._terms.items()}


def _parsed(where: str, terms: Any, field: Field, *, weights: bool) -> dict[str, _Term]:
    if not isinstance(terms, Mapping) or not terms:
        raise UserError(
            f"{where} must be a mapping of at least one term, such as {{align: 0.5}}, got "
            f"{terms!r}."
        )
    return {str(name): _term(str(name), term, field, weights) for name, term in terms.items()}


def _term(name: str, term: Any, field: Field, weighted: bool) -> _Term:
    if isinstance(term, int | float) and not isinstance(term, bool):
        term = {"weight": term}
    if term is None:
        term = {}
    if not isinstance(term, Mapping):
        raise UserError(f"The term {name!r} must be a weight or a mapping, got {term!r}.")
    options = dict(term)
    if "weight" in options and not weighted:
        raise UserError(
            f"The term {name!r} stands in a krc or product, where weights mean nothing; leave "
            "weight out."
        )
    weight = _number(name, "weight", options.pop("weight", 1.0))
    combined = [key for key in options if key in COMBINATIONS]
    if combined:
        if len(options) != 1:
            raise UserError(
                f"The term {name!r} must have one combination and a weight at most, got "
                f"{', '.join(map(str, options))}."
            )
        return _combined(name, combined[0], options[combined[0]], field, weight)
    use = str(options.pop("use", name))
    if use not in COMPONENTS:
        raise UnknownNameError("shape function", use, [*COMPONENTS, *COMBINATIONS])
    component = COMPONENTS[use]
    for key, value in options.items():
        if key not in component.options:
            raise UnknownNameError(f"option of {use!r}", str(key), [*component.options, "weight"])
        if not isinstance(value, bool):
            options[key] = _number(name, str(key), value)
    if component.takes_field:
        options["field"] = field

    def evaluate(values: Values) -> Tensor:
        given = [values[quantity] for quantity in component.quantities]
        return component.function(*given, **options)

    # Options out of their range are refused here, not in the middle of training.
    evaluate({q: torch.ones(3 if "_" in q else ()) for q in component.quantities})
    return _Term(weight, frozenset(component.quantities), evaluate)


def _combined(name: str, how: str, parts: Any, field: Field, weight: float) -> _Term:
    terms = _parsed(f"{name}: {how}", parts, field, weights=how in ("sum", "mean"))
    combine = COMBINATIONS[how]

    def evaluate(values: Values) -> Tensor:
        return combine([term(values) for term in terms.values()])

    quantities: frozenset[str] = frozenset().union(*(t.quantities for t in terms.values()))
    return _Term(weight, quantities, evaluate)


def _number(term: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"The term {term!r}: {name} must be a finite number, got {value!r}.")
    return float(value)
