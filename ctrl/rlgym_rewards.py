"""Reward models as reward functions of RLGym v2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np
import torch
from rlgym.api import RewardFunction

from envs.rocket_league.info import INFO_KEYS
from envs.rocket_league.rlgym_state import StateColumns
from reward_models.base import RewardModel, as_reward_model, checked_output
from reward_models.errors import UnknownNameError, UserError
from reward_models.rollout import Rollout


@final
class ModelReward(RewardFunction[Any, Any, float]):
    """A reward model that reads quantities of the simulator, as RLGym calls its rewards.

    Every step of a match is one row of a record, with a column for every car, so that values equal
    those of the same states in training here. Events that RLGym does not report (shots, saves, who
    scored) are inferred as `envs.rocket_league.rlgym_state` says. There is neither observation nor
    action nor task reward in RLGym's call, so only ``state``, ``terminated`` and ``truncated`` can
    be read. Use one per match: it remembers the running episode.

    Args:
        reward: a reward model that does not learn, or a plain function of quantities.
        gamma: the learner's discount, for shaping by a potential.

    Raises:
        UserError: the model learns, reads the task reward, or was built for another discount.
        UnknownNameError: it requires something that a match does not report.
    """

    def __init__(
        self, reward: RewardModel | Callable[..., Any], *, gamma: float | None = None
    ) -> None:
        self.model = as_reward_model(reward)
        kind = type(self.model).__name__
        if self.model.learns or not self.model.task_free:
            why = "learns from rollouts" if self.model.learns else "reads the task reward"
            raise UserError(
                f"{kind} {why}, which RLGym does not hand to a reward function. Train with `ctrl "
                "train` instead, which takes RLGym's matches as they are."
            )
        valid = {"state", *(f"state.{name}" for name in INFO_KEYS)}
        for key in sorted(self.model.requires - valid):
            raise UnknownNameError(f"quantity of a match ({kind} requires it)", key, valid)
        if gamma is not None:
            self.model.bind_discount(gamma)
        names = [key.removeprefix("state.") for key in self.model.requires if "." in key]
        self._names = tuple(INFO_KEYS) if "state" in self.model.requires else tuple(sorted(names))
        self._columns: StateColumns | None = None
        self._begun = False

    def reset(self, agents: list[Any], initial_state: Any, shared_info: dict[str, Any]) -> None:
        """Begin an episode."""
        teams = [int(car.team_num) for car in initial_state.cars.values()]
        self._columns = StateColumns(teams, len(teams), 1)
        self._columns.begin(0, initial_state)
        self._columns.first()
        self._begun = False

    def get_rewards(
        self,
        agents: list[Any],
        state: Any,
        is_terminated: dict[Any, Any],
        is_truncated: dict[Any, Any],
        shared_info: dict[str, Any],
    ) -> dict[Any, float]:
        """Return the reward of every agent.

        Raises:
            UserError: called before `reset`.
            RewardError: the model broke its contract, naming car and value.
        """
        if self._columns is None:
            raise UserError("Call reset before get_rewards; RLGym does.")
        quantities = self._columns.update([state])
        cars = list(state.cars)
        rollout = self._rollout(cars, quantities, is_terminated, is_truncated)
        with torch.no_grad():
            output = self.model(rollout)
            value, _, _ = checked_output(type(self.model).__name__, output, rollout)
            self.model.update(rollout)
        self._begun = True
        paid = dict(zip(cars, value[0].tolist(), strict=True))
        return {agent: paid[agent] for agent in agents}

    def _rollout(
        self,
        cars: list[Any],
        quantities: dict[str, np.ndarray],
        is_terminated: dict[Any, Any],
        is_truncated: dict[Any, Any],
    ) -> Rollout:
        terminated = [bool(is_terminated.get(car, False)) for car in cars]
        cut = [bool(is_truncated.get(car, False)) for car in cars]
        # RLGym resets all cars together: when one is done, the others' episodes are cut.
        over = any(terminated) or any(cut)
        nothing = torch.zeros(1, len(cars), 0)
        return Rollout(
            observation=nothing,
            action=nothing,
            next_observation=nothing,
            reward=torch.zeros(1, len(cars)),
            terminated=torch.tensor([terminated]),
            truncated=torch.tensor([[over and not end for end in terminated]]),
            continued=torch.full((len(cars),), self._begun),
            state={name: torch.as_tensor(quantities[name])[None] for name in self._names},
        )
