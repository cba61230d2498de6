"""Rewarding every step at once while the models learn in chunks: the core of the wrappers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from reward_models.base import RewardModel, Scope
from reward_models.errors import RewardError, UserError
from reward_models.infos import Arrays, Outcome, merged, time_first
from reward_models.mix import RewardMix
from reward_models.rollout import Rollout

Terms = dict[str, np.ndarray]
"""Name of a term -> its numbers, ``[B]`` float32."""

_PROVIDED = frozenset({"success", "state"})


class StepwiseRewards:
    """Reward steps of ``B`` columns one by one, and let the mix learn from chunks of them.

    A chunk is learned at the beginning of the step after it is complete, so that an episode cut by
    ``reset`` can still be marked as truncated in its last step.

    Args:
        mix: the reward terms.
        columns: ``B``.
        update_every: real steps, over all columns, between two updates of the mix.

    Attributes:
        metrics: what the models reported at the latest update.

    Raises:
        UserError: a term that cannot be used per step, with the reason and the cure.
    """

    def __init__(self, mix: RewardMix, *, columns: int, update_every: int) -> None:
        if update_every < 1:
            raise UserError(f"update_every must be at least 1, got {update_every}.")
        mix.check_usable("rewards per step", lambda model: stepwise_refusal(model, update_every))
        self.mix, self.update_every = mix, update_every
        self.metrics: dict[str, float] = {}
        self._names: list[str] | None = None
        self._last: Arrays = None
        self._in_episode = np.zeros(columns, dtype=bool)
        self._kept: list[Rollout] = []
        self._count = 0

    def reset(self, observation: Arrays, which: np.ndarray) -> None:
        """Begin new episodes in some columns; open ones there end as truncated.

        Args:
            observation: first observations, ``[B, ...]``; other columns are ignored.
            which: the columns, ``[B]`` bool.
        """
        cut = which & self._in_episode
        if self._kept and cut.any():
            truncated = self._kept[-1].truncated
            truncated[0] |= torch.as_tensor(cut)
        self._in_episode = self._in_episode & ~which
        self._last = observation if self._last is None else merged(self._last, observation, which)

    def add(
        self,
        *,
        action: np.ndarray,
        successor: Arrays,
        following: Arrays,
        reward: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        real: np.ndarray,
        outcome: Outcome,
    ) -> tuple[np.ndarray, Terms, Terms]:
        """Keep one step and return its rewards.

        Args:
            action: executed actions, ``[B, ...]``.
            successor: the true successors, ``[B, ...]``.
            following: what the policy sees next, ``[B, ...]``.
            reward: the task's, ``[B]``.
            terminated: ``[B]`` bool.
            truncated: ``[B]`` bool.
            real: ``[B]`` bool; false where the environment only reset, which no model sees.
            outcome: what ``info`` says.

        Returns:
            Totals ``[B]``, what each term adds to them, and what each model returned; all 0 where
            the step is not real.

        Raises:
            RewardError: a term broke its contract, or asks to drop steps.
            UserError: no episode was begun by ``reset``.
        """
        if self._last is None:
            raise UserError("Call reset() before the first step().")
        if not real.any():
            self._last = following
            zeros = {name: np.zeros(len(real), dtype=np.float32) for name in self.mix.names}
            return np.zeros(len(real), dtype=np.float32), zeros, dict(zeros)
        rollout = Rollout(
            observation=time_first(self._last),
            action=action[None],
            next_observation=time_first(successor),
            reward=reward[None],
            terminated=(terminated & real)[None],
            truncated=(truncated & real)[None],
            mask=real[None],
            continued=self._in_episode,
            **self._outcomes(outcome),
        )
        mixed = self.mix.rewards(rollout)
        if mixed.keep is not None and not bool(mixed.keep[rollout.mask].all()):
            raise RewardError(
                ", ".join(self.mix.names),
                "a term returned keep = 0 for some steps; a wrapper cannot leave steps out of the "
                "learner's losses. Use a learner that honours keep.",
            )
        self._kept.append(rollout)
        self._count += int(real.sum())
        self._last = following
        self._in_episode = real & ~(terminated | truncated)
        total = torch.where(rollout.mask, mixed.total, 0.0)
        table, raw = mixed.contributions()[0].cpu().numpy(), mixed.raw[0].cpu().numpy()
        terms = {name: table[:, k].copy() for k, name in enumerate(mixed.names)}
        raws = {name: raw[:, k].copy() for k, name in enumerate(mixed.names)}
        return total[0].cpu().numpy(), terms, raws

    def learn_when_due(self) -> None:
        """Let the mix learn from the kept steps when there are ``update_every`` of them."""
        if self._count < self.update_every:
            return
        data: Any = torch.cat([rollout.data for rollout in self._kept])
        chunk = Rollout(continued=self._kept[0].continued, **dict(data.items()))
        steps = self.mix.steps + self._count
        self._kept, self._count = [], 0
        _, self.metrics = self.mix.collect(chunk, steps=steps)

    def _outcomes(self, outcome: Outcome) -> dict[str, Any]:
        requires = self.mix.requires
        found: dict[str, Any] = {}
        if "success" in requires:
            found["success"] = outcome.success()[None]
        if self._names is None:
            names = {key.removeprefix("state.") for key in requires if key.startswith("state.")}
            self._names = sorted(names | set(outcome.quantities() if "state" in requires else ()))
        if self._names:
            found["state"] = {name: outcome.quantity(name)[None] for name in self._names}
        return found


def stepwise_refusal(model: RewardModel, update_every: int) -> str | None:
    """Say why a model cannot reward steps one by one, or None when it can."""
    if model.scope != Scope.TRANSITION:
        return (
            f"its value depends on a whole {model.scope}, and a wrapper has to reward every step "
            "at once; use a learner that rewards finished rollouts (ctrl train --algo ppo)"
        )
    if not model.replayable and update_every > 1:
        return (
            "it remembers the running episode, and it only learns of a step at the next update; "
            "set update_every=1"
        )
    needs = sorted(key for key in model.requires if key.partition(".")[0] not in _PROVIDED)
    if needs:
        return (
            f"it reads {', '.join(needs)}, which the learner has and an environment has not; use "
            "a learner that records it"
        )
    return None
