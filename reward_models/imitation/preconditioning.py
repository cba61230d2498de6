"""Pessimistic preconditioning: any reward, paid less where it or the world is steep."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, final

import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor

from reward_models.base import RewardModel, Scope, checked_output
from reward_models.errors import UnknownNameError, UserError
from reward_models.imitation.forward_model import ForwardModel
from reward_models.imitation.lipschitz import reward_gradient_norms
from reward_models.imitation.penalties import gradient_penalty
from reward_models.rollout import Rollout

SOURCES = ("own", "forward")
"""What kappa can be computed from; a number is a constant one."""


def kappa_of(
    penalties: Float[Tensor, "*n"], *, scale: float | Tensor = 1.0, floor: float = 0.0
) -> Float[Tensor, "*n"]:
    """Return ``max(floor, exp(-penalty / scale))`` in (0, 1], 1 where the penalty is 0.

    Args:
        penalties: at least 0.
        scale: what they are divided by; 1e-8 at least.
        floor: in [0, 1].
    """
    divisor = torch.as_tensor(scale).to(penalties).clamp_min(1e-8)
    return torch.exp(-penalties / divisor).clamp_min(floor)


@final
class Pessimistic(RewardModel):
    """``kappa r`` with ``0 < kappa <= 1`` around any reward (PURPLE, Blondé et al. 2022).

    kappa is one of

    - a number, the same everywhere, which scales every Lipschitz constant of value functions too;
    - ``own``: ``exp(-max(0, ||grad|| - k)^2)`` with the gradient of the reward in observation and
      action at the step, or of the logit where the model is `AdversarialImitation`; k = 1;
    - ``forward``: ``exp(-pen / std(pen))`` with the penalty of a learned `ForwardModel`, k = 9 and
      a floor of 0.7.

    It is no part of any gradient. Only a constant kappa scales the Lipschitz constant of the reward
    for sure: where it changes with x, ``|r| ||grad kappa||`` is added, and r = 1 shows that the
    product can be steeper than the reward was. Less is pessimistic only for rewards that are not
    negative; others are refused unless ``signed`` says that moving them towards 0 is meant.

    Scope, order and keys are those of the model, and so is its scale in a mix. A forward model
    learns whenever the model does.

    Args:
        model: a reward model, a plain function, the name of a listed reward, or as in a
            configuration ``{use: NAME, ...}`` with its options.
        observation_space: of one environment; for a model by name and for ``forward``.
        action_space: of one environment.
        kappa: a number in (0, 1], ``own`` or ``forward``.
        target: k; None for the values above.
        floor: the least kappa, in [0, 1); None for the values above.
        signed: accept negative rewards.
        keys: keys of a Dict observation that the forward model reads.
        learning_rate: of the forward model.
        batch_size: of the forward model.
        gamma: the learner's discount, for a model by name.
        seed: of the forward model and of a model by name.

    Raises:
        UserError: a number out of its range, spaces that are missing, or
            ``own`` around a model whose values depend on more than their own transition.
        UnknownNameError: no such kappa or reward.
    """

    def __init__(
        self,
        *,
        model: RewardModel | Callable[..., Any] | Mapping[str, Any] | str,
        observation_space: spaces.Space | None = None,
        action_space: spaces.Space | None = None,
        kappa: float | str = "own",
        target: float | None = None,
        floor: float | None = None,
        signed: bool = False,
        keys: Sequence[str] | None = None,
        learning_rate: float = 1e-3,
        batch_size: int = 128,
        gamma: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if isinstance(kappa, str) and kappa not in SOURCES:
            raise UnknownNameError("kappa", kappa, SOURCES)
        if not isinstance(kappa, str) and not 0.0 < kappa <= 1.0:
            raise UserError(f"kappa must lie in (0, 1], or be 'own' or 'forward', got {kappa}.")
        self.kappa, self.signed = kappa, signed
        self.target = (9.0 if kappa == "forward" else 1.0) if target is None else target
        self.floor = (0.7 if kappa == "forward" else 0.0) if floor is None else floor
        if not 0.0 <= self.floor < 1.0:
            raise UserError(f"floor must lie in [0, 1), got {floor}.")
        if not (math.isfinite(self.target) and self.target > 0.0):
            raise UserError(f"target must be positive and finite, got {target}.")
        # The registry lists this class, so it can only be imported here.
        from reward_models.registry import inner_reward

        self.model = inner_reward(
            model, observation_space=observation_space, action_space=action_space, gamma=gamma,
            seed=seed,
        )  # fmt: skip
        if kappa == "own":
            _check_own(self.model)
        self.dynamics: ForwardModel | None = None
        if kappa == "forward":
            seen, done = _both_spaces("kappa: forward", observation_space, action_space)
            self.dynamics = ForwardModel(
                observation_space=seen, action_space=done, keys=keys, target=self.target,
                learning_rate=learning_rate, batch_size=batch_size, seed=seed,
            )  # fmt: skip
        self.requires, self.scope, self.order = (
            self.model.requires, self.model.scope, self.model.order
        )  # fmt: skip
        self.preferred_scale, self.task_free = self.model.preferred_scale, self.model.task_free
        self.replayable, self.batch_dependent = self.model.replayable, self.model.batch_dependent
        self.goal_relabelling = self.model.goal_relabelling

    @property
    def learns(self) -> bool:
        """Whether the model or a forward model learns."""
        return self.model.learns or self.dynamics is not None

    def bind_discount(self, gamma: float) -> None:
        """Hand the learner's discount to the model.

        Raises:
            UserError: it was built for another one.
        """
        self.model.bind_discount(gamma)

    def forward(self, rollout: Rollout) -> tuple[Float[Tensor, "T B"], dict[str, Tensor]]:
        """Return ``kappa r`` of every step, with the model's extras, ``kappa`` and ``defined``.

        Raises:
            UserError: a negative reward without ``signed``.
        """
        output = self.model(rollout, gradient=torch.is_grad_enabled())
        reward, defined, extras = checked_output(type(self).__name__, output, rollout)
        if not self.signed and bool((reward < 0).any()):
            raise UserError(
                f"Pessimistic makes rewards smaller, but {type(self.model).__name__} pays "
                f"{float(reward.min()):.6g}, which a factor below 1 would raise. Use a reward that "
                "is not negative (form: minimax), or set signed: true to move rewards towards 0."
            )
        kappa = self.kappas(rollout)
        return kappa * reward, {**extras, "kappa": kappa, "defined": defined}

    def kappas(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return kappa at every step, detached; 1 on padding."""
        ones = torch.ones(rollout.T, rollout.B, device=rollout.device)
        if not isinstance(self.kappa, str):
            return self.kappa * ones
        scale: float | Tensor = 1.0
        if self.dynamics is not None:
            penalties, scale = self.dynamics.penalties(rollout), self.dynamics.scale
        else:
            own: Any = getattr(self.model, "gradient_norms", None)
            measure = partial(reward_gradient_norms, self.model) if own is None else own
            penalties = gradient_penalty(measure(rollout), target=self.target)
        return torch.where(rollout.mask, kappa_of(penalties, scale=scale, floor=self.floor), ones)

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Let the model and the forward model learn.

        Returns:
            The model's metrics, those of a forward model, and ``kappa``, its mean over the real
            steps.
        """
        found = self.model.update(rollout)
        if self.dynamics is not None:
            found = {**found, **self.dynamics.learn(rollout)}
        if bool(rollout.mask.any()):
            found = {**found, "kappa": float(self.kappas(rollout)[rollout.mask].mean())}
        return found


def _both_spaces(
    what: str, observation_space: spaces.Space | None, action_space: spaces.Space | None
) -> tuple[spaces.Space, spaces.Space]:
    if observation_space is None or action_space is None:
        raise UserError(f"{what} needs observation_space=... and action_space=... to be built.")
    return observation_space, action_space


def _check_own(model: RewardModel) -> None:
    if hasattr(model, "gradient_norms"):
        return
    if model.scope != Scope.TRANSITION or not model.replayable or model.batch_dependent:
        raise UserError(
            f"kappa: own needs rewards that depend on their own transition only, and those of "
            f"{type(model).__name__} also depend on others. Use kappa: forward or a number."
        )
