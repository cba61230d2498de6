"""From rewards of tokens to advantages of tokens, by the name of the estimator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ctrl.llm.config import LanguageConfig
from ctrl.objectives.aggregation import spread
from ctrl.objectives.gae import generalised_advantages, turn_advantages
from ctrl.objectives.group_advantages import group_advantages, leave_one_out_advantages
from ctrl.objectives.masked import whitened
from ctrl.objectives.reinforce_returns import reinforce_plus_plus
from reward_models.rollout import Rollout

_SCALES = {"group": "group", "group_unscaled": "none", "batch": "batch", "group_whitened": "none"}


@dataclass(frozen=True)
class Estimate:
    """Advantages and, with a critic, what it should have said.

    Attributes:
        advantage: ``[T, B]``; 0 where the mask is false.
        returns: targets of the critic, ``[T, B]``, or None without one.
    """

    advantage: Float[Tensor, "T B"]
    returns: Tensor | None


def estimate_advantages(
    config: LanguageConfig,
    rollout: Rollout,
    rewards: Float[Tensor, "T B"],
    keep: Bool[Tensor, "T B"],
    *,
    bootstrap: Tensor | None = None,
) -> Estimate:
    """Return the advantages that ``config.estimator`` asks for.

    Estimators that compare whole sequences take the sum of their rewards, discounted by turn. A
    sequence with a token that is not kept cannot be compared, so it leaves its group.

    Args:
        config: the learner.
        rollout: the record of tokens; with ``value`` for estimators with a critic.
        rewards: of tokens.
        keep: which tokens take part.
        bootstrap: value behind the last token of truncated episodes, 0 for others, ``[B]``.
    """
    mask, name = rollout.mask, config.estimator
    if name == "returns":
        return Estimate(reinforce_plus_plus(rewards, keep, gamma=config.gamma), None)
    if name in ("gae", "turn_gae"):
        gamma, lam = config.gamma, config.lam
        if name == "gae":
            advantage, returns = generalised_advantages(
                rewards, rollout["value"], mask, gamma=gamma, lam=lam, bootstrap=bootstrap
            )
        else:
            advantage, returns = turn_advantages(
                rewards, rollout["value"], rollout["turn"], mask,
                gamma=gamma, lam=lam, bootstrap=bootstrap,
            )  # fmt: skip
        advantage = torch.where(keep, advantage, 0.0)
        return Estimate(whitened(advantage, keep) if config.whiten else advantage, returns)
    outcome = (rewards * config.gamma ** rollout["turn"]).sum(0)
    dropped = (mask & ~keep).any(0)
    outcome = torch.where(dropped, torch.nan, outcome)
    group = rollout["group"][0]
    if name == "leave_one_out":
        compared = leave_one_out_advantages(outcome, group)
    else:
        singleton = config.singleton or ("zero" if bool(dropped.any()) else None)
        compared = group_advantages(
            outcome, group, scale=_SCALES[name], epsilon=config.epsilon, singleton=singleton
        )
    advantage = spread(compared, keep)
    return Estimate(whitened(advantage, keep) if name == "group_whitened" else advantage, None)
