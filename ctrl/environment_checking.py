"""``check-env``: an environment by name, with its options as texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium

import envs
from ctrl.config import apply_overrides
from envs.check import Report, check_env
from reward_models.errors import UnknownNameError, UserError


def check_environment(
    name: str,
    *,
    steps: int = 1000,
    seed: int = 0,
    resets: int = 10_000,
    options: Sequence[str] = (),
) -> Report:
    """Check an environment against the contract; see `envs.check.check_env`.

    Args:
        name: see `envs.make`.
        steps: length of the record.
        seed: of resets and actions.
        resets: to look for leaks.
        options: ``key=value`` options of the environment.

    Raises:
        UserError: an unknown environment or option, with the nearest valid name, or too few steps.
    """
    settings: dict[str, Any] = apply_overrides({}, options)
    try:
        return check_env(name, steps=steps, seed=seed, resets=resets, **settings)
    except TypeError as error:
        for option in settings:
            if f"unexpected keyword argument {option!r}" in str(error):
                raise UnknownNameError(f"option of {name}", option, envs.options(name)) from error
        raise UserError(f"Environment {name!r} cannot be made: {error}.") from error
    except (gymnasium.error.Error, ImportError, ValueError) as error:
        raise UserError(str(error)) from error
