"""Potential-based shaping: hints that cannot change which policy is best."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.errors import UnknownNameError, UserError
from reward_models.rollout import Rollout

TERMINALS = ("zero", "keep")
"""What the potential of a terminal state counts as: nothing, or itself (not policy invariant)."""


def shaping(
    before: Tensor,
    after: Tensor,
    *,
    gamma: float,
    terminated: Tensor,
    action_steps: int | Tensor = 1,
    terminal: str = "zero",
) -> Float[Tensor, "*batch"]:
    """Return ``gamma^k phi(s') (1 - terminated) - phi(s)`` (Ng, Harada and Russell 1999).

    Everything in this project that shapes by a potential goes through here. The discounted sum
    over an episode is ``-phi(s_0)``, plus ``gamma^n phi(s_n)`` where it did not terminate, so that
    a learner which bootstraps there is not fooled by a time limit.

    Args:
        before: ``phi(s)``, taken once, when s was reached; ``[...]``.
        after: ``phi(s')``, likewise; may be anything where terminated, unless it is kept.
        gamma: the learner's discount, in [0, 1].
        terminated: bool, likewise: the task itself ended here; a time limit does not count.
        action_steps: k, environment steps of one action, in which the learner discounts too.
        terminal: ``zero``, or ``keep`` to pay ``gamma phi(s')`` at an end too, which may change the
            best policy.

    Raises:
        UserError: shapes that differ, or a number out of its range.
        UnknownNameError: no such ``terminal``.
    """
    if terminal not in TERMINALS:
        raise UnknownNameError("terminal", terminal, TERMINALS)
    if not 0.0 <= gamma <= 1.0:
        raise UserError(f"gamma must lie in [0, 1], got {gamma}.")
    if not before.shape == after.shape == terminated.shape:
        raise UserError(
            "Potentials before and after and the ends must have one shape, got "
            f"{list(before.shape)}, {list(after.shape)} and {list(terminated.shape)}."
        )
    reached = after if terminal == "keep" else torch.where(terminated, 0.0, after)
    if isinstance(action_steps, int) and action_steps == 1:
        return gamma * reached - before
    return gamma ** torch.as_tensor(action_steps, device=after.device) * reached - before


class Potential(RewardModel):
    """Shaping by the difference of a potential (Ng, Harada and Russell 1999).

    ``F(s, s') = gamma * phi(s') * (1 - terminated) - phi(s)``

    The successor's potential is zero on termination and **kept on truncation**: a time limit is no
    state of the task, and the learner bootstraps there. So the shaped return of every episode is
    the task return minus the potential of its first state, with time limits too.

    Args:
        gamma: the learner's discount; None takes it from the mix the model is put into.
        terminal: ``zero``, or ``keep`` for the potential of terminal states too: an episode that
            terminates is then paid ``gamma^n phi(s_n)``, the best policy may change, and ``update``
            reports ``kept_terminal``, the mean of what was paid for that.
        action_steps: environment steps of one action, at least 1, for learners that discount an
            action of k steps by ``gamma^k``.

    Raises:
        UserError: a number out of its range.
        UnknownNameError: no such ``terminal``.
    """

    goal_relabelling = True

    def __init__(
        self, *, gamma: float | None = None, terminal: str = "zero", action_steps: int = 1
    ) -> None:
        super().__init__()
        if gamma is not None and not 0.0 <= gamma <= 1.0:
            raise UserError(f"gamma must lie in [0, 1], got {gamma}.")
        if terminal not in TERMINALS:
            raise UnknownNameError("terminal", terminal, TERMINALS)
        if action_steps < 1:
            raise UserError(f"action_steps must be at least 1, got {action_steps}.")
        self.gamma, self.terminal, self.action_steps = gamma, terminal, action_steps

    @property
    def invariant(self) -> bool:
        """Whether the best policies stay the best ones."""
        return self.terminal == "zero"

    @property
    def learns(self) -> bool:
        """Whether a subclass learns its potential; the ``update`` of this class only reports."""
        return type(self).update is not Potential.update

    @abstractmethod
    def potential(self, observation: Any) -> Tensor:
        """Return ``phi(observation)``, one number per leading index: ``[...]``."""

    def bind_discount(self, gamma: float) -> None:
        """Take over the learner's discount.

        Raises:
            UserError: the potential was built for another one, which would change the best policy.
        """
        self.gamma = bound_discount(self, self.gamma, gamma)

    def forward(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return the shaping reward of every step."""
        gamma = known_discount(self, self.gamma)
        before = self._checked(self.potential(rollout.observation), rollout)
        after = self._checked(self.potential(rollout.next_observation), rollout)
        return shaping(
            before, after, gamma=gamma, terminated=rollout.terminated,
            action_steps=self.action_steps, terminal=self.terminal,
        )  # fmt: skip

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Learn nothing; where terminal potentials are kept, report what that paid."""
        ends = rollout.terminated & rollout.mask
        if self.invariant or self.gamma is None or not bool(ends.any()):
            return {}
        after = self._checked(self.potential(rollout.next_observation), rollout)
        return {"kept_terminal": self.gamma**self.action_steps * float(after[ends].mean())}

    def _checked(self, phi: Tensor, rollout: Rollout) -> Tensor:
        if tuple(phi.shape) != (rollout.T, rollout.B):
            raise UserError(
                f"{type(self).__name__}.potential must return one number per step, "
                f"[T, B] = [{rollout.T}, {rollout.B}], got shape {tuple(phi.shape)}."
            )
        return phi.to(torch.float32)


class FunctionPotential(Potential):
    """Potential-based shaping with a plain function as the potential.

    Args:
        function: ``phi(observation [..., D]) -> [...]``; receives a nested ``TensorDict`` where
            observations are dicts.
        gamma: see ``Potential``.
        terminal: see ``Potential``.
        action_steps: see ``Potential``.
    """

    def __init__(
        self,
        function: Any,
        *,
        gamma: float | None = None,
        terminal: str = "zero",
        action_steps: int = 1,
    ) -> None:
        super().__init__(gamma=gamma, terminal=terminal, action_steps=action_steps)
        if not callable(function):
            raise UserError(
                f"function must be callable as phi(observation), got {type(function).__name__}."
            )
        self.function = function

    def potential(self, observation: Any) -> Tensor:
        """Call the function."""
        return torch.as_tensor(self.function(observation))


@final
class ActionAdvice(RewardModel):
    """Look-ahead advice: a potential of state and action (Wiewiora, Cottrell and Elkan 2003).

    ``F = gamma * phi(s', a') * (1 - terminated) - phi(s, a)`` with the action ``a'`` that is taken
    next. Learned values become ``Q(s, a) - phi(s, a)``, so the best action is the largest
    ``Q + phi``, and not the largest ``Q``: a learner that does not read its policy out like that is
    misled.

    Args:
        function: ``phi(observation [T, B, ...], action [T, B, ...]) -> [T, B]``.
        gamma: the learner's discount; None takes it from the mix.

    Raises:
        UserError: a discount out of its range.
    """

    requires = frozenset({"state.next_action"})

    def __init__(
        self, function: Callable[[Any, Tensor], Tensor], *, gamma: float | None = None
    ) -> None:
        super().__init__()
        if gamma is not None and not 0.0 <= gamma <= 1.0:
            raise UserError(f"gamma must lie in [0, 1], got {gamma}.")
        self.function, self.gamma = function, gamma

    def bind_discount(self, gamma: float) -> None:
        """Take over the learner's discount.

        Raises:
            UserError: the advice was built for another one.
        """
        self.gamma = bound_discount(self, self.gamma, gamma)

    def forward(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return the shaping reward of every step.

        Raises:
            UnknownNameError: the record lacks ``state.next_action``, without which there is no
                advice that keeps the best policy.
        """
        gamma = known_discount(self, self.gamma)
        before = self.function(rollout.observation, rollout.action)
        after = self.function(rollout.next_observation, rollout["state.next_action"])
        terminated = rollout.terminated
        return shaping(before.float(), after.float(), gamma=gamma, terminated=terminated)


def bound_discount(model: RewardModel, own: float | None, gamma: float) -> float:
    """Return the learner's discount for a shaping that was built with ``own`` or without one.

    Raises:
        UserError: it was built for another one, which would change the best policy.
    """
    if own is not None and own != gamma:
        raise UserError(
            f"{type(model).__name__} was built with gamma={own}, the learner uses "
            f"gamma={gamma}; shaping is only invariant with the learner's own. "
            "Leave gamma out, or pass the learner's."
        )
    return gamma


def known_discount(model: RewardModel, gamma: float | None) -> float:
    """Return the discount.

    Raises:
        UserError: nobody gave one yet.
    """
    if gamma is None:
        raise UserError(
            f"{type(model).__name__} has no gamma: pass gamma=..., or put it into a RewardMix."
        )
    return gamma
