"""What reward models pay on given transitions, or why they cannot be compared."""

from __future__ import annotations

from typing import Any

import numpy as np

from reward_models.base import RewardModel, Scope, checked_output
from reward_models.errors import RewardError, UserError
from reward_models.rollout import Rollout

_AVAILABLE = ("state", "success")


def check_comparable(name: str, model: RewardModel) -> None:
    """Raise where a reward is no function of single transitions of an environment.

    Raises:
        UserError: it depends on more than one step, remembers the running episode, or needs
            quantities of a policy.
    """
    if model.scope != Scope.TRANSITION:
        raise UserError(
            f"Reward {name!r} has scope {str(model.scope)!r}: its value depends on more than one "
            "step, and only rewards R(s, a, s') of single transitions can be compared without "
            "training."
        )
    if not model.replayable:
        raise UserError(
            f"Reward {name!r} remembers the running episode, so that one transition has no one "
            "value; only rewards of single transitions can be compared without training."
        )
    if model.batch_dependent:
        raise UserError(
            f"Reward {name!r} depends on the batch that it is computed with, so that one "
            "transition has no one value; only rewards of single transitions can be compared "
            "without training."
        )
    for key in sorted(model.requires):
        if key.partition(".")[0] not in _AVAILABLE:
            raise UserError(
                f"Reward {name!r} needs {key!r}, a quantity of a policy or a text. Comparing runs "
                "no policy but a random one; only what the environment reports is there."
            )


def reward_values(name: str, model: RewardModel, rollout: Rollout) -> np.ndarray:
    """Return what a reward pays for every step, float64 ``[T, B]``; 0 where it is undefined.

    Raises:
        UserError: the reward cannot be computed on these observations and actions, as when it was
            written for another space.
        RewardError: what it returned is no finite tensor ``[T, B]``.
    """
    try:
        output = model(rollout)
    except (UserError, RewardError):
        raise
    except Exception as error:
        raise UserError(
            f"Reward {name!r} cannot be computed here, on observations {_shape(rollout, 0)} and "
            f"actions {_shape(rollout, 1)} (T=1, B columns): {type(error).__name__}: {error}. "
            "Rewards over different spaces cannot be compared: all of them must be defined on the "
            "observations and actions of the one environment."
        ) from error
    values, _, _ = checked_output(name, output, rollout)
    return values.detach().cpu().numpy().astype(np.float64)


def _shape(rollout: Rollout, which: int) -> Any:
    entry = rollout.action if which else rollout.observation
    if hasattr(entry, "keys"):
        return {str(key): list(entry[key].shape) for key in entry.keys()}  # noqa: SIM118
    return list(entry.shape)
