"""Checking actions before they reach an engine.

A NaN makes MuJoCo print a warning and reset itself in the middle of an episode, and a wrong shape
is broadcast or cut by some engines. Both are named here instead, with the column.
"""

from __future__ import annotations

from typing import Any, final

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.errors import ActionError


def check_actions(actions: Any, space: gymnasium.Space, num_envs: int) -> np.ndarray:
    """Return the actions of all columns as an array, checked.

    Args:
        actions: ``[B, ...]``: one action of ``space`` per column.
        space: of one action. Box (numbers beyond its bounds are passed on: engines clip them, each
            in its own documented way), Discrete, MultiDiscrete and MultiBinary are checked.
        num_envs: columns, B.

    Raises:
        ActionError: a wrong shape, a NaN or an infinity, a number outside of a discrete space.
    """
    array = np.asarray(actions)
    expected = (num_envs, *(space.shape or ()))
    if array.shape != expected:
        raise ActionError(
            f"Expected actions of shape {expected} (columns, then one action of {space}), "
            f"got {array.shape}."
        )
    wrong = _first_wrong(array, space)
    if wrong is not None:
        column, reason = wrong
        raise ActionError(f"The action of column {column} is {array[column]}: {reason}")
    # As an index a bool would be a mask.
    return array.astype(np.int64) if array.dtype.kind == "b" else array


@final
class CheckAction(gymnasium.ActionWrapper[Any, Any, Any], gymnasium.utils.RecordConstructorArgs):
    """Checks every action of a single environment as `check_actions` does.

    Spaces that `check_actions` does not know (text, Dict, Tuple) are passed on as they are.
    """

    def __init__(self, env: gymnasium.Env) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)

    def action(self, action: Any) -> Any:
        """Return the action as it came.

        Raises:
            ActionError: see `check_actions`; the message names the environment.
        """
        space = self.env.action_space
        # The usual cases first: this runs on every step of every environment.
        if isinstance(space, spaces.Discrete):
            if isinstance(action, int | np.integer) and 0 <= action - space.start < space.n:
                return action
        elif not isinstance(space, spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary):
            return action
        array = np.asarray(action)
        if array.shape != space.shape:
            raise ActionError(
                f"{_name(self)}: expected an action of shape {space.shape} ({space}), "
                f"got {array.shape}."
            )
        wrong = _first_wrong(array[None], space)
        if wrong is not None:
            raise ActionError(f"{_name(self)}: the action is {array}: {wrong[1]}")
        return action


def _first_wrong(array: np.ndarray, space: gymnasium.Space) -> tuple[int, str] | None:
    """Return the first column whose action is not one of ``space``, and why, or None."""
    kind = array.dtype.kind
    if isinstance(space, spaces.Box):
        if kind == "f":
            finite = np.isfinite(array)
            if not finite.all():
                return _column(~finite), (
                    "actions must be finite. A policy that returns NaN has usually diverged."
                )
        elif kind not in "iub":
            return 0, f"expected numbers, got an array of {array.dtype}."
    elif isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        if kind not in "iub":
            return 0, f"expected whole numbers for {space}, got an array of {array.dtype}."
        low, count = _range(space)
        outside = (array < low) | (array >= low + count)
        if outside.any():
            return _column(outside), f"it is outside of {space}."
    return None


def _column(wrong: np.ndarray) -> int:
    return int(np.argwhere(wrong)[0][0])


def _range(space: gymnasium.Space) -> tuple[Any, Any]:
    """Return the lowest value of a discrete space and how many there are, per component."""
    if isinstance(space, spaces.Discrete):
        return space.start, space.n
    if isinstance(space, spaces.MultiDiscrete):
        return space.start, space.nvec
    return 0, 2


def _name(env: gymnasium.Env) -> str:
    return type(env.unwrapped).__name__ if env.spec is None else env.spec.id
