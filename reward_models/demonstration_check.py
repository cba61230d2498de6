"""Checking that demonstrations come from an environment like the learner's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from reward_models.demonstrations import Demonstration
from reward_models.errors import UserError

_TOLERANCE = 1e-5


def check_demonstrations(
    demonstrations: Sequence[Demonstration],
    *,
    observation_space: spaces.Space,
    action_space: spaces.Space,
) -> None:
    """Check that demonstrations come from an environment with these spaces.

    Args:
        demonstrations: of an expert.
        observation_space: of the learner's environment; shapes and finite numbers are checked.
        action_space: of the learner's environment; actions must lie in it, up to 1e-5.

    Raises:
        UserError: no transition at all, or the first thing that does not fit, by episode.
    """
    if not sum(len(each) for each in demonstrations):
        raise UserError("Demonstrations need at least one transition, got none.")
    for number, each in enumerate(demonstrations):
        _check_rows(f"observations of demonstration {number}", each.observations, observation_space)
        _check_rows(f"actions of demonstration {number}", each.actions, action_space)
        actions = np.asarray(each.actions)
        if isinstance(action_space, spaces.Box):
            outside = (actions < action_space.low - _TOLERANCE) | (
                actions > action_space.high + _TOLERANCE
            )
            limits = f"[{action_space.low.min():g}, {action_space.high.max():g}]"
        elif isinstance(action_space, spaces.Discrete):
            first, last = action_space.start, action_space.start + action_space.n - 1
            outside, limits = (actions < first) | (actions > last), f"{first} to {last}"
        else:
            continue
        if outside.any():
            raise UserError(
                f"Demonstration {number} has the action {actions[outside].flat[0]:g}, outside of "
                f"{limits}. Actions are kept in the environment's own units."
            )


def _check_rows(what: str, values: Any, space: spaces.Space) -> None:
    if isinstance(space, spaces.Dict):
        if not isinstance(values, Mapping) or set(values) != set(space.spaces):
            has = sorted(values) if isinstance(values, Mapping) else "one array"
            raise UserError(f"The {what} must be {sorted(space.spaces)}, got {has}.")
        for key, part in space.spaces.items():
            _check_rows(f"{key} in the {what}", values[key], part)
        return
    if isinstance(values, Mapping):
        raise UserError(f"The {what} must be one array, got {sorted(values)}.")
    shape = np.shape(values)[1:]
    if shape != (space.shape or ()):
        raise UserError(
            f"The {what} have the shape {list(shape)}, the environment {list(space.shape or ())}."
        )
    if not np.isfinite(values).all():
        raise UserError(f"The {what} hold NaN or infinity.")
