"""Plain functions as rewards and as potentials."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
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
        if isinstance(output, tuple) and len(output) == 2 and isinstance(output[1], Mapping):
            extras = {key: _as_tensor(value, rollout) for key, value in output[1].items()}
            return _as_tensor(output[0], rollout), extras
        return _as_tensor(output, rollout)


def _named_arguments(
    function: Callable[..., Any], name: str
) -> tuple[tuple[str, ...] | None, bool]:
    """Return the record keys that the parameters name, or None, and if ``**state`` is there."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise UserError(
            f"The parameters of {name!r} cannot be read, so nothing says which record keys it "
            "needs; wrap it: lambda observation: ..."
        ) from error
    kinds = inspect.Parameter
    named = [p for p in parameters if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)]
    all_state = any(p.kind is kinds.VAR_KEYWORD for p in parameters)
    needed = [p for p in named if p.default is kinds.empty]
    if len(needed) == 1 and not all_state and needed[0].name not in (*CORE_KEYS, *OPTIONAL_KEYS):
        annotation = needed[0].annotation
        if needed[0].name == "rollout" or annotation is Rollout or str(annotation) == "Rollout":
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
        "A reward function must return a tensor or an array [T, B], or (reward, extras), "
        f"got {type(value).__name__}."
    )
