"""Plain functions as rewards and as potentials."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reward_models.base import Extras, RewardModel
from reward_models.errors import UserError
from reward_models.rollout import CORE_KEYS, OPTIONAL_KEYS, Rollout


class FunctionReward(RewardModel):
    """A plain function as a reward model.

    Two forms are accepted: ``f(rollout)``, and a function whose parameters name what it needs, for
    example ``f(observation, action, next_observation, x_velocity)``. A parameter with the name of
    a record key receives that key, any other parameter the quantity of that name in ``state``, and
    ``**state`` all of them. Every argument is a tensor ``[T, B, ...]``.

    Args:
        function: returns ``[T, B]`` (tensor or array), or ``(reward, extras)``.

    Raises:
        UserError: positional-only parameters or ``*args``, which name nothing.

    Example:
        >>> model = FunctionReward(lambda observation, action: -(action ** 2).sum(-1))
        >>> sorted(model.requires)
        []
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)
        self._arguments, self._all_state = _named_arguments(function, self.name)
        if self._arguments is None:
            # What a function reads from a whole rollout cannot be seen from outside.
            self.requires = frozenset(getattr(function, "requires", ()))
            self.task_free = bool(getattr(function, "task_free", False))
        else:
            needed = set(self._arguments) - set(CORE_KEYS) - {"mask"}
            self.requires = frozenset(needed | ({"state"} if self._all_state else set()))
            self.task_free = "reward" not in self._arguments
        self.goal_relabelling = bool(getattr(function, "goal_relabelling", False))

    def forward(self, rollout: Rollout) -> Tensor | tuple[Tensor, Extras]:
        """Call the function on the whole rollout at once."""
        if self._arguments is None:
            output = self.function(rollout)
        else:
            named = {key.rpartition(".")[2]: rollout[key] for key in self._arguments}
            if self._all_state:
                named = {**dict(rollout["state"].items()), **named}
            output = self.function(**named)
        if isinstance(output, tuple):
            return _as_tensor(output[0], rollout), output[1]
        return _as_tensor(output, rollout)


def _named_arguments(
    function: Callable[..., Any], name: str
) -> tuple[tuple[str, ...] | None, bool]:
    """Return the record keys that the parameters name (None for ``f(rollout)``), and ``**state``."""
    parameters = list(inspect.signature(function).parameters.values())
    kinds = inspect.Parameter
    named = [p for p in parameters if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)]
    all_state = any(p.kind is kinds.VAR_KEYWORD for p in parameters)
    if len(named) == 1 and not all_state and named[0].name not in (*CORE_KEYS, *OPTIONAL_KEYS):
        annotation = named[0].annotation
        if named[0].name == "rollout" or annotation is Rollout or str(annotation) == "Rollout":
            return None, False
    if any(p.kind in (kinds.POSITIONAL_ONLY, kinds.VAR_POSITIONAL) for p in parameters) or not (
        named or all_state
    ):
        raise UserError(
            f"Reward function {name!r} must take (rollout) or parameters that name record keys, "
            "for example (observation, action, next_observation, x_velocity); "
            f"got ({', '.join(str(p) for p in parameters)})."
        )
    record = {*CORE_KEYS, *OPTIONAL_KEYS}
    keys = []
    for parameter in named:
        if parameter.name in record:
            keys.append(parameter.name)
        elif parameter.default is kinds.empty:
            keys.append(f"state.{parameter.name}")
    return tuple(keys), all_state


def _as_tensor(value: Any, rollout: Rollout) -> Tensor:
    if isinstance(value, np.ndarray | float | int | np.generic):
        value = torch.as_tensor(value)
    if isinstance(value, Tensor):
        return value.to(device=rollout.device)
    raise UserError(
        f"A reward function must return a tensor or an array [T, B], got {type(value).__name__}."
    )
