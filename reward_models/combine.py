"""Combinations of rewards beyond the weighted sum of a mix: product, minimum, gate, priorities.

Each combination is a reward model over child models and declares what its children need together:
the union of their ``requires``, the widest of their scopes, ``task_free``, ``replayable`` and
``goal_relabelling`` only when all of them are, ``batch_dependent`` when one is. Children are
combined as they come, without the scales of a mix.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from reward_models.base import (
    Extras,
    Order,
    RewardModel,
    Scope,
    as_reward_model,
    checked_output,
)
from reward_models.errors import UserError
from reward_models.rollout import Rollout

Child = RewardModel | Callable[..., Any]
"""A reward model, or a plain function."""

_WIDTH = {Scope.TRANSITION: 0, Scope.EPISODE: 1, Scope.GROUP: 2}


class Combination(RewardModel):
    """One reward computed from the rewards of child models, step by step.

    A step is ``defined`` where all children define it, and kept where all children keep it. Other
    extras of a child appear as ``child/name``.

    Args:
        models: name -> child, or a sequence of children, then named ``0``, ``1``, ...

    Raises:
        UserError: no children, an unusable name, or learning children of which some are rewarded
            before and some after they learn.
    """

    def __init__(self, *, models: Mapping[str, Child] | Sequence[Child]) -> None:
        super().__init__()
        kind = type(self).__name__
        if not isinstance(models, Mapping):
            models = {str(index): model for index, model in enumerate(models)}
        if not models:
            raise UserError(f"{kind} needs at least one model.")
        self.models = torch.nn.ModuleDict()
        for name, model in models.items():
            if not name or "." in name or "/" in name or hasattr(self.models, name):
                raise UserError(
                    f"{kind}: a model's name must be non-empty, without '.' or '/', and no name "
                    f"that torch uses itself; got {name!r}."
                )
            self.models[name] = as_reward_model(model)
        children = self.children_by_name()
        self.requires = frozenset().union(*(model.requires for model in children.values()))
        self.scope = max(
            (Scope(model.scope) for model in children.values()), key=_WIDTH.__getitem__
        )
        self.order = _common_order(kind, children)
        self.task_free = all(model.task_free for model in children.values())
        self.replayable = all(model.replayable for model in children.values())
        self.goal_relabelling = all(model.goal_relabelling for model in children.values())
        self.batch_dependent = any(model.batch_dependent for model in children.values())

    @abstractmethod
    def combine(self, values: Float[Tensor, "K T B"]) -> Float[Tensor, "T B"]:
        """Return one value per step from the children's, in their order."""

    def children_by_name(self) -> dict[str, RewardModel]:
        """Return the children in their order."""
        return dict(self.models.items())  # type: ignore[arg-type]

    @property
    def learns(self) -> bool:
        """Whether a child learns."""
        return any(model.learns for model in self.children_by_name().values())

    def bind_discount(self, gamma: float) -> None:
        """Hand the learner's discount to every child.

        Raises:
            UserError: a child was built for another discount.
        """
        for model in self.children_by_name().values():
            model.bind_discount(gamma)

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Let every child learn; metrics come back as ``child/metric``."""
        return {
            f"{name}/{key}": value
            for name, model in self.children_by_name().items()
            for key, value in model.update(rollout).items()
        }

    def forward(self, rollout: Rollout) -> tuple[Float[Tensor, "T B"], Extras]:
        """Return the combined value of every step, ``[T, B]``, zero where undefined.

        Raises:
            RewardError: a child's value has a wrong shape or is not finite, naming the child.
        """
        values, defined, extras = self._outputs(rollout)
        combined = self.combine(torch.stack(list(values.values())))
        found: Bool[Tensor, "T B"] = torch.stack(list(defined.values())).all(0)
        return torch.where(found, combined, 0.0), {**extras, "defined": found}

    def _outputs(
        self, rollout: Rollout
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Return the children's checked values, where they are defined, and joined extras."""
        values: dict[str, Tensor] = {}
        defined: dict[str, Tensor] = {}
        extras: dict[str, Tensor] = {}
        for name, model in self.children_by_name().items():
            label = f"{type(self).__name__}/{name}"
            # With a graph exactly when this combination was asked for one.
            output = model(rollout, gradient=torch.is_grad_enabled())
            values[name], defined[name], own = checked_output(label, output, rollout)
            for key, extra in own.items():
                if key == "keep":
                    kept = extra.to(torch.bool)
                    extras["keep"] = kept & extras["keep"] if "keep" in extras else kept
                else:
                    extras[f"{name}/{key}"] = extra
        return values, defined, extras


class Product(Combination):
    """The product of all children: every one must be high, and one zero silences the rest.

    Two negative children make a positive product; keep children in ``[0, inf)`` where that is not
    meant.

    Args:
        models: see ``Combination``.

    Example:
        >>> both = Product(models={"fast": lambda x_velocity: x_velocity.clamp_min(0),
        ...                        "upright": lambda height: (height > 1.0).float()})
        >>> sorted(both.requires)
        ['state.height', 'state.x_velocity']
    """

    def combine(self, values: Float[Tensor, "K T B"]) -> Float[Tensor, "T B"]:
        """Multiply the children."""
        return values.prod(0)


class Minimum(Combination):
    """The smallest of all children: only the worst aspect counts at every step.

    Args:
        models: see ``Combination``; bring the children to one scale.
    """

    def combine(self, values: Float[Tensor, "K T B"]) -> Float[Tensor, "T B"]:
        """Take the minimum over the children."""
        return values.amin(0)


class Gated(Combination):
    """A reward that counts only while a condition holds.

    ``r = model`` where ``condition > threshold``, otherwise 0. Strictly greater, so that a
    condition of 0 or 1 works with the default threshold. A closed gate pays 0 also where the model
    is undefined; where the condition is undefined, so is the reward. The condition learns in
    ``update`` like the model.

    Args:
        condition: model or function whose value opens the gate.
        model: what is paid while the gate is open.
        threshold: value that the condition must exceed, finite.
    """

    def __init__(self, *, condition: Child, model: Child, threshold: float = 0.0) -> None:
        super().__init__(models={"condition": condition, "model": model})
        (self.threshold,) = _finite_thresholds("Gated", [threshold])

    def combine(self, values: Float[Tensor, "K T B"]) -> Float[Tensor, "T B"]:
        """Return the model's value where the condition exceeds the threshold."""
        condition, value = values
        return torch.where(condition > self.threshold, value, 0.0)

    def forward(self, rollout: Rollout) -> tuple[Float[Tensor, "T B"], Extras]:
        """Return the gated value of every step, ``[T, B]``."""
        values, defined, extras = self._outputs(rollout)
        combined = self.combine(torch.stack(list(values.values())))
        closed = values["condition"] <= self.threshold
        found = defined["condition"] & (defined["model"] | closed)
        return torch.where(found, combined, 0.0), {**extras, "defined": found}


class Lexicographic(Combination):
    """Priorities with thresholds: the next child counts once the ones before it are satisfied.

    With children ``r_1 .. r_K`` in order of priority and thresholds ``c_1 .. c_{K-1}``, and ``m``
    the first child below its threshold (``m = K`` when there is none):

    ``r = c_1 + ... + c_{m-1} + r_m``

    A satisfied child contributes its threshold, however far above it is, so nothing is gained by
    exceeding it; the first unsatisfied child contributes its value, and later ones nothing. The
    last child has no threshold. This is the thresholded lexicographic order of Gábor, Kalmár and
    Szepesvári (1998), applied to each step's rewards and written as one number. As a number it
    agrees with that order while every child stays at or above zero.

    Args:
        models: children in order of priority, see ``Combination``; at least two.
        thresholds: one for each child but the last, finite.

    Raises:
        UserError: fewer than two models, or the wrong count of thresholds.

    Example:
        >>> safe_then_fast = Lexicographic(
        ...     models={"safe": lambda clearance: clearance, "fast": lambda x_velocity: x_velocity},
        ...     thresholds=[0.5])
        >>> safe_then_fast.thresholds
        (0.5,)
    """

    def __init__(
        self, *, models: Mapping[str, Child] | Sequence[Child], thresholds: Sequence[float]
    ) -> None:
        super().__init__(models=models)
        if len(self.models) < 2 or len(thresholds) != len(self.models) - 1:
            raise UserError(
                "Lexicographic takes at least two models and one threshold for each but the last; "
                f"got {len(self.models)} models and {len(thresholds)} thresholds."
            )
        self.thresholds = _finite_thresholds("Lexicographic", thresholds)

    def combine(self, values: Float[Tensor, "K T B"]) -> Float[Tensor, "T B"]:
        """Return the satisfied thresholds plus the first unsatisfied value."""
        total = torch.zeros_like(values[0])
        reached = torch.ones_like(values[0], dtype=torch.bool)
        for value, threshold in zip(values[:-1], self.thresholds, strict=True):
            total = total + torch.where(reached, value.clamp_max(threshold), 0.0)
            reached = reached & (value >= threshold)
        return total + torch.where(reached, values[-1], 0.0)


def _common_order(kind: str, children: Mapping[str, RewardModel]) -> Order:
    """Return when the children learn; those that never do are free."""
    orders = {name: Order(model.order) for name, model in children.items() if model.learns}
    if len(set(orders.values())) > 1:
        listed = ", ".join(f"{name} is {order}" for name, order in orders.items())
        raise UserError(
            f"{kind} rewards all its models at once, but {listed}. Put them into a RewardMix as "
            "separate terms, or one as the gate of the other, where each keeps its order."
        )
    return next(iter(orders.values()), Order.REWARD_FIRST)


def _finite_thresholds(kind: str, thresholds: Sequence[float]) -> tuple[float, ...]:
    numbers = tuple(float(threshold) for threshold in thresholds)
    if not all(torch.tensor(numbers).isfinite()):
        raise UserError(f"{kind}: thresholds must be finite, got {list(thresholds)}.")
    return numbers
