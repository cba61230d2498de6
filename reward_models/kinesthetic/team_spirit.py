"""Team spirit: a reward shared within each team, and taken from the other one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from gymnasium import spaces
from jaxtyping import Float, Int
from torch import Tensor

from reward_models.base import Extras, RewardModel, Scope, checked_output
from reward_models.errors import UserError
from reward_models.kinesthetic.quantities import Quantities
from reward_models.rollout import Rollout

_WANTED = ("match", "cars_in_match", "team")


def team_spirit(
    reward: Float[Tensor, "*T B"], side: Int[Tensor, " B"], *, spirit: float
) -> Float[Tensor, "*T B"]:
    """Return ``tau mean(team) + (1 - tau) r_i - mean(opponents)`` for every car.

    For teams of one size the rewards of a match sum to 0. The mean over no opponents is 0.

    Args:
        reward: r, of every car.
        side: ``2 m + team`` of every car, with the number m of its match from 0 on.
        spirit: tau, in [0, 1].
    """
    count = 2 * (int(side.max()) // 2 + 1) if side.numel() else 0
    members = torch.zeros(count, device=reward.device).index_add_(
        0, side, torch.ones(len(side), device=reward.device)
    )
    sums = reward.new_zeros((*reward.shape[:-1], count)).index_add_(-1, side, reward)
    means = sums / members.clamp_min(1.0)
    return spirit * means[..., side] + (1.0 - spirit) * reward - means[..., side ^ 1]


@final
class TeamSpirit(RewardModel):
    """Any reward, shared within the team and zero-sum between teams (OpenAI Five, Lucy-SKG).

    ``r_i' = tau mean(team) + (1 - tau) r_i - mean(opponents)`` over the cars of a match, each of
    which must be a column. It is linear, so sharing every term of a mix is sharing their sum.

    Scope is at least `Scope.GROUP`, the cars of a match at one step; order and scale are the
    model's. Steps of a match count where the model is defined for all its cars.

    Args:
        model: a reward model, a plain function, the name of a listed reward, or as in a
            configuration ``{use: NAME, ...}`` with its options.
        spirit: tau, in [0, 1]: 0 keeps each car's own reward, 1 gives all of a team the same.
        observation_space: of one environment; for a model by name.
        action_space: of one environment; for a model by name.
        gamma: the learner's discount; for a model by name.
        seed: of a model by name.
        names: quantity -> name in ``state``, where they differ.

    Raises:
        UserError: spirit out of its range, or spaces that are missing.
        UnknownNameError: no such reward or quantity.
    """

    scope = Scope.GROUP
    replayable = False
    batch_dependent = True

    def __init__(
        self,
        *,
        model: RewardModel | Callable[..., Any] | Mapping[str, Any] | str,
        spirit: float = 0.3,
        observation_space: spaces.Space | None = None,
        action_space: spaces.Space | None = None,
        gamma: float | None = None,
        seed: int = 0,
        names: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        if not 0.0 <= spirit <= 1.0:
            raise UserError(f"spirit must lie in [0, 1], got {spirit}.")
        self.spirit, self.quantities = spirit, Quantities(names)
        # The list of names holds this class, so it is imported when it is needed.
        from reward_models.registry import inner_reward

        self.model = inner_reward(
            model, observation_space=observation_space, action_space=action_space, gamma=gamma,
            seed=seed,
        )  # fmt: skip
        self.requires = self.model.requires | self.quantities.requires(_WANTED)
        self.order, self.preferred_scale = self.model.order, self.model.preferred_scale
        self.task_free = self.model.task_free

    @property
    def learns(self) -> bool:
        """Whether the model learns."""
        return self.model.learns

    def bind_discount(self, gamma: float) -> None:
        """Hand the learner's discount to the model.

        Raises:
            UserError: it was built for another one.
        """
        self.model.bind_discount(gamma)

    def forward(self, rollout: Rollout) -> tuple[Float[Tensor, "T B"], Extras]:
        """Return the shared reward of every step, the model's extras, and ``own``: before sharing.

        Raises:
            UserError: a car of some match is no column, or teams are not those of a match.
        """
        output = self.model(rollout, gradient=torch.is_grad_enabled())
        reward, defined, extras = checked_output(type(self).__name__, output, rollout)
        side = self._sides(rollout)
        own = torch.where(defined, reward, 0.0)
        # A match counts where no car of it is missing: taken as one team, the share missing is 0.
        gone = team_spirit((~defined).to(own), side // 2 * 2, spirit=1.0)
        whole = gone == 0
        shared = team_spirit(own, side, spirit=self.spirit)
        return torch.where(whole, shared, 0.0), {**extras, "own": own, "defined": whole}

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Let the model learn from its own rewards."""
        return self.model.update(rollout)

    def _sides(self, rollout: Rollout) -> Int[Tensor, " B"]:
        """Return ``2 m + team`` of every column, matches numbered anew from 0."""
        values = self.quantities.read(rollout, _WANTED)
        # Padding may hold anything, so a column is known by its first real step.
        row = rollout.mask.int().argmax(0), torch.arange(rollout.B, device=rollout.device)
        first = {name: value[row] for name, value in values.items()}
        moved = (values["match"] != first["match"]) | (values["team"] != first["team"])
        if bool((moved & rollout.mask).any()):
            raise UserError(
                "The match or team of a column changes within a rollout, so nothing says who "
                "shares with whom. Every car must keep its column."
            )
        # A column without a real step is a match of its own.
        real = rollout.mask.any(0)
        alone = -1.0 - torch.arange(rollout.B, device=rollout.device)
        numbers = torch.where(real, first["match"], alone)
        _, match = torch.unique(numbers, return_inverse=True)
        columns = torch.bincount(match)
        expected = torch.where(real, first["cars_in_match"], 1.0).to(columns.dtype)
        if bool((columns[match] != expected).any()):
            column = int((columns[match] != expected).nonzero()[0])
            raise UserError(
                f"Team spirit needs the reward of every car, but the match of column {column} has "
                f"{int(expected[column])} cars and {int(columns[match][column])} columns. Use the "
                "vector environment in which every car is a column, without an opponent."
            )
        return 2 * match + first["team"].to(match.dtype)
