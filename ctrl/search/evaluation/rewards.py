"""The episode reward of a search: a mix of terms that do not change while it runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from ctrl.build import build_mix
from ctrl.config import EnvConfig, TermConfig, TrainConfig
from reward_models.base import RewardModel, Scope
from reward_models.errors import UserError
from reward_models.mix import RewardMix
from reward_models.rollout import Rollout
from reward_models.scale import Scale
from reward_models.schedules import Fixed

_PROVIDED = ("success", "state")


def search_mix(
    terms: dict[str, TermConfig], *, environment: EnvConfig, env: VecEnv, seed: int, gamma: float
) -> RewardMix:
    """Build the mix of a search and refuse what has no place in one.

    Args:
        terms: by name, as in the configuration of a training run; ``task`` has weight 1 unless
            given.
        environment: its configuration.
        env: gives the spaces.
        seed: of terms that are random.
        gamma: discount of potentials; the reward of an episode is the plain sum of its steps.

    Raises:
        UserError: a term that learns, that depends on other episodes, or whose weight or scale
            changes with the steps of a training run; all of them at once.
    """
    config = TrainConfig(env=environment, reward=terms, seed=seed)
    mix = build_mix(config, env=env, gamma=gamma)
    mix.check_usable("the episodes of a search", refusal)
    for name in mix.names:
        if mix.scales[name].kind is not Scale.NONE:
            raise UserError(
                f"reward.{name} is divided by a running deviation ({mix.scales[name].kind}), which "
                "would make early and late episodes of a search incomparable. Set scale: none."
            )
        if not isinstance(mix.weights[name], Fixed):
            raise UserError(
                f"The weight of reward.{name} changes with the environment steps of a training "
                "run; a search has none. Give a number."
            )
    missing = sorted(key for key in mix.requires if key.partition(".")[0] not in _PROVIDED)
    if missing:
        raise UserError(
            f"A search records no {', '.join(missing)}, which a reward term requires; it records "
            f"{', '.join(_PROVIDED)}."
        )
    return mix


def refusal(model: RewardModel) -> str | None:
    """Say why a model cannot reward the episodes of a search, or None when it can."""
    if model.learns:
        return (
            "it learns from rollouts; the processes that evaluate genomes would drift apart, and "
            "an episode would be worth something else each time it is run. Use it as a descriptor "
            "or train a policy on it (ctrl train)"
        )
    if model.scope == Scope.GROUP or model.batch_dependent:
        return "its value depends on the episodes that are rewarded with it"
    return None


def episode_rewards(
    mix: RewardMix, rollout: Rollout, lengths: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the sum of the mix over the first episode of some columns, float64 ``[n]``.

    Each episode is rewarded by itself, so that no bit depends on what lies beside it.

    Args:
        mix: from `search_mix`.
        rollout: ``[T, B]``; the first ``n`` columns count.
        lengths: steps of the first episode of each of them.

    Raises:
        RewardError: a reward broke its contract.
    """
    totals = np.zeros(len(lengths))
    for column, length in enumerate(lengths.tolist()):
        part = rollout.data[:length, column : column + 1].contiguous()
        own = Rollout(**dict(part.items()), continued=rollout.continued[column : column + 1])
        for reward in mix.total(own)[:, 0].tolist():
            totals[column] += reward
    return totals
