"""Which rewards are looked at, and what one of them says of a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import gymnasium
import numpy as np
import torch

from ctrl.config import EnvConfig, apply_overrides
from reward_models.base import Order, RewardModel, as_reward_model, checked_output
from reward_models.errors import UnknownNameError, UserError
from reward_models.kinesthetic.components import COMPONENTS
from reward_models.kinesthetic.state_potential import KinestheticPotential
from reward_models.kinesthetic.state_reward import KinestheticReward
from reward_models.mix import TaskReward
from reward_models.potential import Potential
from reward_models.registry import REWARDS, build_reward, is_own_code
from reward_models.rollout import Rollout

DEFAULT = ("kinesthetic", *COMPONENTS)
"""What is looked at when nothing is named: Lucy-SKG's potential and every shape function."""


@final
@dataclass(frozen=True, eq=False)
class Looked:
    """A reward under its name.

    Attributes:
        name: as it is shown.
        model: the reward.
    """

    name: str
    model: RewardModel

    @property
    def unit(self) -> str:
        """What a picture of moments shows: the reward, or the potential that shapes it."""
        return "potential" if self.is_potential else "reward"

    @property
    def is_potential(self) -> bool:
        """Whether moments have a potential, of which the reward is the change."""
        return isinstance(self.model, KinestheticPotential | Potential)

    def of_moments(self, record: Rollout) -> np.ndarray:
        """Return what the successors of single steps are worth, float32 ``[B]``; NaN if undefined.

        Args:
            record: ``[1, B]``.
        """
        with torch.no_grad():
            if isinstance(self.model, KinestheticPotential):
                return self.model.potential(record)[0].numpy()
            if isinstance(self.model, Potential):
                return self.model.potential(record.next_observation)[0].numpy()
        return self.of_steps(record)[0]

    def of_steps(self, record: Rollout) -> np.ndarray:
        """Return what was paid, float32 ``[T, B]``; NaN where undefined."""
        value, defined, _ = checked_output(self.name, self.model(record), record)
        return torch.where(defined, value, torch.nan).numpy()


def look_at(
    words: Sequence[str] | Mapping[str, Any],
    *,
    observation_space: gymnasium.Space,
    action_space: gymnasium.Space,
    gamma: float,
    seed: int,
) -> list[Looked]:
    """Build the rewards to look at.

    Args:
        words: what ``--reward`` takes, without weights, or the name of a shape function; or models,
            functions and options of a reward (``{use: NAME, ...}``) by name. None: `DEFAULT`.
        observation_space: of one environment.
        action_space: likewise.
        gamma: discount of the potentials.
        seed: of rewards that draw.

    Raises:
        UserError: a reward that cannot be built, the task reward, or one that must learn first.
        UnknownNameError: no such reward or shape function.
    """
    given = words if isinstance(words, Mapping) else {word: word for word in words or DEFAULT}
    found = []
    for name, given_reward in given.items():
        options: dict[str, Any] = {}
        reward: Any = given_reward
        if isinstance(given_reward, Mapping):
            options = {key: value for key, value in given_reward.items() if key != "use"}
            reward = given_reward.get("use", name)
        if not isinstance(reward, str):
            model = as_reward_model(reward)
        elif reward in COMPONENTS:
            model = KinestheticReward(terms={reward: options})
        elif not is_own_code(reward) and reward not in REWARDS:
            raise UnknownNameError("reward or shape function", reward, [*REWARDS, *COMPONENTS])
        else:
            model = build_reward(
                reward, observation_space=observation_space, action_space=action_space,
                gamma=gamma, seed=seed, name=name, options=options,
            )  # fmt: skip
        if isinstance(model, TaskReward):
            raise UserError(
                "The environment pays the task reward itself; it cannot be asked about other "
                "moments. Look at match_events instead."
            )
        if model.learns and model.order is Order.UPDATE_FIRST:
            raise UserError(f"{name} has to learn first; look at it in a run: ctrl heatmap RUN.")
        model.bind_discount(gamma)
        found.append(Looked(name, model))
    return found


def options_of(settings: Sequence[str]) -> dict[str, Any]:
    """Return the options of the environment from ``env.KEY=VALUE`` words.

    Raises:
        UnknownNameError: another setting.
    """
    found = apply_overrides({}, settings)
    for key in found:
        if key != "env":
            raise UnknownNameError("setting", key, ("env.KEY",))
    return EnvConfig("", options=dict(found.get("env", {}))).options
