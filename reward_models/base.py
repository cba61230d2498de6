"""The contract of every reward: a pure function of a rollout, and one place where it learns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from reward_models.errors import RewardError, UserError
from reward_models.rollout import Rollout

Extras = Mapping[str, Tensor]
"""Named ``[T, B]`` arrays beside a reward; two names have a meaning for every learner.

``defined`` (bool): false where the term has nothing to say; the value there is ignored and leaves
every statistic. ``keep`` (0 or 1): a step with ``keep = 0`` leaves every later loss, baseline and
statistic.
"""


class Scope(StrEnum):
    """How much of a rollout one reward value depends on."""

    TRANSITION = "transition"
    """One step: usable anywhere, also on replayed minibatches."""
    EPISODE = "episode"
    """The whole episode up to or around the step: needs rollouts in arrival order."""
    GROUP = "group"
    """All members of a group (for example all completions of one prompt)."""


class Order(StrEnum):
    """Whether a fresh rollout is rewarded before or after the model learned from it."""

    REWARD_FIRST = "reward_first"
    """Novelty is measured before it is learned."""
    UPDATE_FIRST = "update_first"
    """A discriminator learns first, so that rewards come from the present one."""


class RewardModel(torch.nn.Module, ABC):
    """A reward for every step of a rollout.

    A subclass writes ``forward`` and, when it learns, ``update``. It is constructed with spaces and
    sizes, keyword-only, with a ``seed`` when stochastic; a constructor never steps an environment.
    Everything that changes (weights, counts, running statistics, archives, the memory of an open
    episode) lives in ``state_dict()``.

    Calling the model runs ``forward`` without building a graph; ``model(rollout, gradient=True)``
    asks for one.

    Attributes:
        scope: how much of a rollout one value depends on; decides where the model may be used.
        order: whether a fresh rollout is rewarded before or after ``update``.
        preferred_scale: how a mix scales the term when the user does not say (``mix.Scale``);
            models whose values have no natural unit ask for ``return_std``.
        requires: record keys beyond the core ones, dotted for nested ones
            (``state.x_velocity``); the learner records exactly these.
        task_free: the value does not depend on ``rollout.reward``.
        replayable: the value is right on single transitions out of their order; false for models
            with a memory of the running episode.
        batch_dependent: a step's value also depends on which steps are rewarded with it (statistics
            of the batch, comparisons between its columns); false for a function of the transition.
        goal_relabelling: the value stays right after the goal in the observation was replaced in
            hindsight, because it reads the goal there or does not depend on a goal.
        concurrent_update: ``update`` touches nothing but the model itself and draws from no global
            random generator, so a learner may run it on another thread beside its own update.
    """

    scope: Scope = Scope.TRANSITION
    order: Order = Order.REWARD_FIRST
    preferred_scale: str = "none"
    requires: frozenset[str] = frozenset()
    task_free: bool = True
    replayable: bool = True
    batch_dependent: bool = False
    goal_relabelling: bool = False
    concurrent_update: bool = False

    @abstractmethod
    def forward(self, rollout: Rollout) -> Tensor | tuple[Tensor, Extras]:
        """Return the reward of every step, ``[T, B]``, or ``(reward, extras)``.

        Pure: no learning, no statistics, no side effect. NaN is never used for "not applicable";
        extras carry ``defined`` for that. Values on padding are ignored.
        """

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Learn from a fresh rollout, given in arrival order; return metrics to log.

        The only place where anything changes. The default learns nothing.
        """
        return {}

    @property
    def learns(self) -> bool:
        """Whether ``update`` can change the model; false where it is missing or only reports."""
        return type(self).update is not RewardModel.update

    def bind_discount(self, gamma: float) -> None:
        """Receive the learner's discount; models that do not use one ignore it.

        Raises:
            UserError: the model was built for another discount.
        """

    def __call__(
        self, rollout: Rollout, *, gradient: bool = False
    ) -> Tensor | tuple[Tensor, Extras]:
        """Run ``forward``, with a graph only when ``gradient`` is true."""
        with torch.set_grad_enabled(gradient):
            return super().__call__(rollout)


def split_output(output: Any) -> tuple[Any, dict[str, Any]]:
    """Split what ``forward`` returned into the reward and its extras (empty when none)."""
    if isinstance(output, tuple):
        reward, extras = output
        return reward, dict(extras)
    return output, {}


def checked_output(
    name: str, output: Any, rollout: Rollout, *, origin: str = ""
) -> tuple[Float[Tensor, "T B"], Bool[Tensor, "T B"], dict[str, Tensor]]:
    """Check what ``forward`` returned, before anybody computes with it.

    Args:
        name: the term, for the messages.
        output: what ``forward`` returned.
        rollout: what it was given.
        origin: where the rollout comes from, to be added to the message about a value.

    Returns:
        The values in float32, zero where undefined; where they are defined, never on padding; and
        the other extras.

    Raises:
        RewardError: no tensor ``[T, B]``, not real, or not finite where defined; names the term,
            the time step, the column and the value.
    """
    if isinstance(output, tuple) and (len(output) != 2 or not isinstance(output[1], Mapping)):
        raise RewardError(
            name,
            "must return a tensor [T, B] or (tensor, mapping of named extras), got a tuple of "
            f"({', '.join(type(item).__name__ for item in output)}).",
        )
    value, extras = split_output(output)
    value = checked_values(name, "value", value, rollout)
    for key, extra in extras.items():
        checked_values(name, f"extra {key!r}", extra, rollout)
    defined = extras.pop("defined", None)
    defined = rollout.mask if defined is None else defined.to(torch.bool) & rollout.mask
    finite = value.isfinite() | ~defined
    if not bool(finite.all()):
        t, b = (int(index) for index in (~finite).nonzero()[0])
        raise RewardError(
            name,
            f"returned {float(value[t, b])} at time step {t}, column {b} of a rollout "
            f"[T={rollout.T}, B={rollout.B}]{origin}. A reward must be finite; mark steps without "
            "a value by returning (reward, {'defined': mask}).",
        )
    return torch.where(defined, value, 0.0), defined, extras


def checked_values(name: str, what: str, value: Any, rollout: Rollout) -> Float[Tensor, "T B"]:
    """Return ``value`` in float32 when it is a real tensor ``[T, B]``.

    Raises:
        RewardError: it is not, naming the term, ``what``, and the expected and the given shape.
    """
    expected = (rollout.T, rollout.B)
    if not isinstance(value, Tensor):
        raise RewardError(name, f"{what} must be a tensor [T, B], got {type(value).__name__}.")
    if tuple(value.shape) != expected:
        raise RewardError(
            name,
            f"{what} must have shape [T, B] = {list(expected)} (T={expected[0]} time steps, "
            f"B={expected[1]} columns), got {list(value.shape)}.",
        )
    if value.is_complex():
        raise RewardError(name, f"{what} must be real, got {value.dtype}.")
    return value.to(torch.float32)


def as_reward_model(reward: Any) -> RewardModel:
    """Accept a model or a plain function wherever a reward is expected.

    Raises:
        UserError: ``reward`` is a class (build it first) or nothing that can be called.
    """
    from reward_models.function import FunctionReward

    if isinstance(reward, RewardModel):
        return reward
    if isinstance(reward, type):
        raise UserError(
            f"Expected a reward model or a function, got the class {reward.__name__}; "
            f"build it first: {reward.__name__}(...)."
        )
    if callable(reward):
        return FunctionReward(reward)
    raise UserError(
        f"Expected a reward model or a function of a rollout, got {type(reward).__name__}."
    )
