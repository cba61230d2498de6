"""``check-reward`` on rollouts of a real environment."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ctrl.build import build_env
from ctrl.config import EnvConfig, apply_overrides
from ctrl.sb3.recorder import Recorder
from envs import whole_columns
from reward_models.base import as_reward_model
from reward_models.check import CheckReport, check_reward
from reward_models.errors import UserError
from reward_models.mix import RewardMix
from reward_models.registry import build_reward, load_reward


def check_on_env(
    reward: Any,
    *,
    env: str,
    gamma: float = 0.99,
    steps: int = 512,
    seed: int = 0,
    options: Sequence[str] = (),
    columns: int = 4,
) -> CheckReport:
    """Check a reward against the contract on random-policy rollouts of an environment.

    Args:
        reward: what ``--reward`` takes, or a model or function.
        env: environment name.
        gamma: discount that potentials are checked with.
        steps: environment steps to collect, over all columns.
        seed: of environments, actions and the reward.
        options: ``key=value`` options of the reward, and ``env.key=value`` of the environment.
        columns: parallel environments, rounded up to whole matches.

    Raises:
        UserError: the reward or environment cannot be built.
    """
    if steps < 4 * columns:
        raise UserError(f"--steps must be at least {4 * columns}, got {steps}.")
    settings = apply_overrides({}, options)
    env_options = settings.pop("env", {})
    # As in training: where cars play against each other, whole matches.
    columns = whole_columns(env, columns)
    vector = build_env(EnvConfig(env, options=env_options), n_envs=columns, seed=seed)
    target: Any = reward
    if isinstance(reward, str):
        found = load_reward(reward) if reward != "potential" else None
        model = build_reward(
            reward, observation_space=vector.observation_space, action_space=vector.action_space,
            gamma=gamma, seed=seed, options=settings,
        )  # fmt: skip
        # From the class the checker builds models itself, which checks the constructor too.
        target = partial(found, **settings) if isinstance(found, type) else model
    else:
        model = as_reward_model(reward)
    RewardMix({"checked": model}, gamma=gamma)  # binds the discount, or says why it cannot
    recorder = Recorder(vector, requires=frozenset(k for k in model.requires if _recorded(k)))
    recorder.seed(seed)
    recorder.reset()
    space = vector.action_space
    space.seed(seed)
    rollouts = []
    for _ in range(2):
        recorder.begin(steps // (2 * columns))
        for _ in range(steps // (2 * columns)):
            recorder.step(np.array([space.sample() for _ in range(columns)]))
        rollouts.append(recorder.rollout())
    vector.close()
    return check_reward(
        target, observation_space=vector.observation_space, action_space=space, gamma=gamma,
        seed=seed, rollouts=rollouts,
    )  # fmt: skip


def _recorded(key: str) -> bool:
    return key.partition(".")[0] in ("state", "success")
