"""The reward under check: fresh copies of it, its outputs, and what it must leave alone."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from reward_models.base import RewardModel, split_output
from reward_models.checking.report import Violation
from reward_models.rollout import Rollout

TOLERANCE = 1e-5
"""Relative and absolute difference allowed where the batch differs but the values may not."""


@dataclass(frozen=True)
class Output:
    """What ``forward`` returned: values (zero where undefined) and where they are defined."""

    values: Tensor
    defined: Tensor

    def at(self, steps: slice, columns: Any) -> Output:
        """Return some steps and columns."""
        return Output(self.values[steps][:, columns], self.defined[steps][:, columns])


class Subject:
    """A reward model with the rollouts to try it on.

    Args:
        model: the model; never changed when it can be copied.
        rollouts: successive rollouts with the core and the required keys alone.
        gamma: the learner's discount.
        build: builds the model anew, where that is known.
        rng: for shuffles.
    """

    def __init__(
        self,
        model: RewardModel,
        rollouts: Sequence[Rollout],
        *,
        gamma: float,
        rng: np.random.Generator,
        build: Callable[[], RewardModel] | None = None,
    ) -> None:
        self.model, self.gamma, self.rng, self.build = model, gamma, rng, build
        self._rollouts = list(rollouts)

    @property
    def rollouts(self) -> list[Rollout]:
        """Copies of all rollouts, so that no rule meets what a broken model wrote into them."""
        return [copy_of(rollout) for rollout in self._rollouts]

    @property
    def first(self) -> Rollout:
        """A copy of the first rollout."""
        return copy_of(self._rollouts[0])

    @property
    def last(self) -> Rollout:
        """A copy of the last rollout."""
        return copy_of(self._rollouts[-1])

    def fresh(self) -> RewardModel:
        """Return a copy of the model as it came."""
        return copy.deepcopy(self.model)

    def trained(self, updates: int = 2) -> RewardModel:
        """Return a copy that learned from the first rollouts."""
        model, rollouts = self.fresh(), self.rollouts
        for index in range(updates):
            model.update(rollouts[index % len(rollouts)])
        return model

    def permutation(self, size: int) -> Tensor:
        """Return a random order of ``size`` things."""
        return torch.as_tensor(self.rng.permutation(size))


def reward_of(model: RewardModel, rollout: Rollout) -> Output:
    """Return the model's values on the real steps, for comparing."""
    value, extras = split_output(model(rollout))
    defined = extras.get("defined")
    where = rollout.mask if defined is None else defined.to(torch.bool) & rollout.mask
    return Output(torch.where(where, value.detach(), torch.zeros_like(value)), where)


def difference(first: Output, second: Output, *, tolerance: float = 0.0) -> str | None:
    """Describe where two outputs differ first, or return None when they agree.

    Args:
        first: values and where they are defined.
        second: the same of the other output.
        tolerance: relative and absolute; 0 asks for equality to the last bit.
    """
    if first.values.shape != second.values.shape:
        return f"shape {list(first.values.shape)} against {list(second.values.shape)}"
    apart = first.defined != second.defined
    if bool(apart.any()):
        t, b = apart.nonzero()[0].tolist()
        return f"time step {t}, column {b} is defined in one and not in the other"
    same = torch.isclose(
        first.values, second.values, rtol=tolerance, atol=tolerance, equal_nan=True
    )
    if bool(same.all()):
        return None
    t, b = (~same).nonzero()[0].tolist()
    return (
        f"{float(first.values[t, b]):.6g} against {float(second.values[t, b]):.6g} at time step "
        f"{t}, column {b}"
    )


def state_of(model: RewardModel) -> dict[str, Any]:
    """Return a copy of the model's state."""
    return copy.deepcopy(dict(model.state_dict()))


def changed_state(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the keys of the state that differ."""
    keys = {*before, *after}
    return sorted(
        key for key in keys if not (key in before and key in after)
        or not _same(before[key], after[key])
    )  # fmt: skip


def copy_of(rollout: Rollout) -> Rollout:
    """Return a rollout with its own memory."""
    entries: dict[str, Any] = dict(rollout.data.clone().items())
    return Rollout(continued=rollout.continued.clone(), **entries)


def changed_entries(before: Rollout, after: Rollout) -> list[str]:
    """Return the entries of a rollout that differ."""
    found = [str(key) for key, value in before.data.items() if not _same(value, after.data[key])]
    return found + ([] if _same(before.continued, after.continued) else ["continued"])


def generators() -> tuple[Any, ...]:
    """Return the states of the global random generators of torch, numpy and python."""
    return torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002


def used_generators(before: tuple[Any, ...]) -> list[str]:
    """Return the names of the global generators that moved since ``before``."""
    now = generators()
    moved = (
        not torch.equal(before[0], now[0]),
        any(not np.array_equal(a, b) for a, b in zip(before[1], now[1], strict=True)),
        before[2] != now[2],
    )
    return [name for name, used in zip(("torch", "numpy", "python"), moved, strict=True) if used]


@contextmanager
def preserved_generators() -> Iterator[None]:
    """Put the global random generators back as they were."""
    torch_state, numpy_state, python_state = generators()
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


def random_violation(rule: str, what: str, before: tuple[Any, ...]) -> Iterator[Violation]:
    """Report the global generators that ``what`` used since ``before``."""
    used = used_generators(before)
    if used:
        yield Violation(
            rule,
            f"{what} draws from the global random generator of {' and '.join(used)}, so adding "
            "this reward changes the policy's own random numbers.",
            "Draw from a torch.Generator of the model's own, made from its `seed`; keep its state "
            "in state_dict().",
        )


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        if first.shape != second.shape or first.dtype != second.dtype:
            return False
        equal = (first == second) | ((first != first) & (second != second))  # noqa: PLR0124
        return bool(equal.all())
    if isinstance(first, TensorDict) and isinstance(second, TensorDict):
        keys = set(first.keys())
        return keys == set(second.keys()) and all(_same(first[key], second[key]) for key in keys)
    return type(first) is type(second) and bool(first == second)
