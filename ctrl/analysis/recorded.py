"""Matches on record: played by a policy or at random, or read from a file."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from ctrl.analysis.rewards import Looked
from ctrl.opponents import FrozenPolicy
from ctrl.sb3.recorder import Recorder
from reward_models.errors import UserError
from reward_models.rollout import Rollout


@final
@dataclass(frozen=True, eq=False)
class Values:
    """What rewards paid over recorded matches.

    Attributes:
        names: of the rewards.
        paid: ``[R, T, B]``, NaN where undefined or on padding.
        ended: bool ``[T, B]``.
    """

    names: tuple[str, ...]
    paid: np.ndarray
    ended: np.ndarray

    def correlation(self) -> np.ndarray:
        """Return Pearson's correlation of every two rewards, ``[R, R]``.

        Over the steps at which both are defined; NaN where one of them never changes there.
        """
        flat = self.paid.reshape(len(self.names), -1)
        found = np.full((len(flat), len(flat)), np.nan)
        for i, one in enumerate(flat):
            for j, two in enumerate(flat):
                both = np.isfinite(one) & np.isfinite(two)
                if both.sum() > 1 and np.ptp(one[both]) > 0 and np.ptp(two[both]) > 0:
                    found[i, j] = np.corrcoef(one[both], two[both])[0, 1]
        return found

    def numbers(self) -> list[dict[str, Any]]:
        """Return mean, deviation, extremes and non-zero share of every reward as plain data."""
        rows = []
        for name, paid in zip(self.names, self.paid, strict=True):
            values = paid[np.isfinite(paid)]
            if not len(values):
                rows.append({"reward": name, "steps": 0})
                continue
            rows.append(
                {
                    "reward": name,
                    "steps": len(values),
                    "mean": float(values.mean()),
                    "std": float(values.std()),
                    "min": float(values.min()),
                    "max": float(values.max()),
                    "nonzero": float((values != 0).mean()),
                }
            )
        return rows


def play_matches(
    vector: VecEnv,
    *,
    requires: frozenset[str],
    steps: int,
    run: Path | None,
    seed: int,
    trust_code: bool = False,
) -> Rollout:
    """Return a record ``[steps, columns]`` in which every car is driven by one policy.

    Args:
        vector: the environment, with every car a column.
        requires: record keys that rewards need.
        steps: T.
        run: the run folder of the policy, which samples its actions; None: uniformly random.
        seed: of environment and actions.
        trust_code: allow a run whose environment is code of its own.

    Raises:
        UserError: an environment or run that cannot be used.
        UnknownNameError: a quantity that the environment does not report.
    """
    policy = None if run is None else FrozenPolicy(run, trust_code=trust_code)
    recorder = Recorder(vector, requires=requires)
    columns = vector.num_envs
    recorder.seed(seed)
    observation: Any = recorder.reset()
    space = deepcopy(recorder.action_space)
    space.seed(seed)
    if policy is not None:
        policy.seed(seed)
    recorder.begin(steps)
    for _ in range(steps):
        if policy is None:
            actions = np.array([space.sample() for _ in range(columns)])
        else:
            actions = policy(observation)
        observation, _, dones, _ = recorder.step(actions)
        if policy is not None and dones.any():
            policy.begin(dones)
    return recorder.rollout()


def load_matches(path: Path, requires: frozenset[str]) -> Rollout:
    """Return a record that `reward_models.rollout.Rollout.save` wrote.

    Raises:
        UserError: no record, or a quantity that rewards need is missing in it.
    """
    record = Rollout.load(path)
    missing = sorted(key for key in requires if key not in record)
    if missing:
        raise UserError(
            f"{path} lacks {', '.join(missing)}, which a reward requires. Record it with these "
            "quantities, or play new matches."
        )
    return record


def paid_over(rewards: list[Looked], record: Rollout) -> Values:
    """Return what rewards pay over a record, from its first step on."""
    paid = np.stack([looked.of_steps(record) for looked in rewards])
    return Values(
        tuple(looked.name for looked in rewards),
        np.where(record.mask.numpy(), paid, np.nan),
        record.done.numpy(),
    )
