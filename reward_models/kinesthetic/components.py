"""The shape functions by name: which quantities each reads, and which options it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

from torch import Tensor

from reward_models.kinesthetic import shapes


@final
@dataclass(frozen=True)
class Component:
    """One shape function.

    Attributes:
        function: takes the quantities by position, the others by name.
        quantities: names of what it reads, in order.
        options: names of its options.
        takes_field: whether it takes ``field``.
    """

    function: Callable[..., Tensor]
    quantities: tuple[str, ...]
    options: tuple[str, ...]
    takes_field: bool


def _component(function: Callable[..., Tensor]) -> Component:
    parameters = inspect.signature(function).parameters.values()
    by_name = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    quantities = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    options = tuple(name for name in by_name if name != "field")
    return Component(function, tuple(quantities), options, "field" in by_name)


COMPONENTS: Mapping[str, Component] = {
    function.__name__: _component(function)
    for function in (
        shapes.ball_to_goal,
        shapes.signed_ball_to_goal,
        shapes.goal_difference,
        shapes.player_to_ball,
        shapes.align,
        shapes.velocity_player_to_ball,
        shapes.velocity_ball_to_goal,
        shapes.save_boost,
        shapes.ball_y,
        shapes.distance_weighted_align,
        shapes.offensive_potential,
    )
}
"""Every shape function by its name."""
