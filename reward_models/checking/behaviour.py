"""Rules on what the values and the state may depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from reward_models.base import Scope
from reward_models.checking.contract import output_violations
from reward_models.checking.report import Violation
from reward_models.checking.samples import (
    constant_observations,
    cut,
    one_step_episodes,
    padded,
    scrambled_padding,
)
from reward_models.checking.subject import (
    TOLERANCE,
    Subject,
    changed_state,
    difference,
    reward_of,
    state_of,
)
from reward_models.rollout import Rollout

_ALL = slice(None)


def state(subject: Subject) -> Iterator[Violation]:
    """All that changes is in ``state_dict``, as tensors, and continues where it was saved."""
    rule, model = "state", subject.trained()
    saved = state_of(model)
    others = sorted(key for key, value in saved.items() if not isinstance(value, Tensor))
    if others:
        yield Violation(
            rule,
            f"state_dict() holds values that are no tensors: {', '.join(others)}.",
            "Checkpoints hold tensors only, never pickles: return a tensor from "
            "get_extra_state(), and register numbers as buffers.",
        )
    value = reward_of(model, subject.last)
    model.update(subject.last)
    next_value, next_state = reward_of(model, subject.first), state_of(model)
    model.update(subject.first)
    for target, where in ((model, "the same model"), (subject.fresh(), "a fresh model")):
        try:
            target.load_state_dict(saved)
        except Exception as error:
            yield Violation(
                rule,
                f"a saved state cannot be loaded into {where}: {error}",
                "Register every entry in the constructor, or resize it in _load_from_state_dict.",
            )
            continue
        apart = difference(value, reward_of(target, subject.last))
        if apart:
            yield Violation(
                rule,
                f"loading a saved state into {where} does not bring its values back: {apart}.",
                "Something that changes in update() is not in state_dict(); make it a buffer.",
            )
        target.update(subject.last)
        apart = difference(next_value, reward_of(target, subject.first))
        changed = changed_state(next_state, state_of(target))
        if apart or changed:
            yield Violation(
                rule,
                f"after loading into {where}, learning continues differently: "
                f"{apart or ', '.join(changed[:5])}.",
                "Keep optimiser state, counters and the random generator in state_dict() too.",
            )


def task_free(subject: Subject) -> Iterator[Violation]:
    """A model that claims to be free of the task reward is."""
    nan = [
        rollout.replace(reward=torch.full_like(rollout.reward, torch.nan))
        for rollout in subject.rollouts
    ]
    cure = "Do not read rollout.reward, or set task_free = False."
    apart = difference(
        reward_of(subject.fresh(), subject.first), reward_of(subject.fresh(), nan[0])
    )
    if apart:
        yield Violation("task_free", f"with NaN as task reward the value changes: {apart}.", cure)
        return
    model = subject.fresh()
    for rollout in nan[:2]:
        model.update(rollout)
    apart = difference(
        reward_of(subject.trained(len(nan[:2])), subject.last), reward_of(model, nan[-1])
    )
    if apart:
        yield Violation(
            "task_free", f"learning with NaN as task reward changes the value: {apart}.", cure
        )


def replay(subject: Subject) -> Iterator[Violation]:
    """A replayable model gives single shuffled transitions the values that they had."""
    trained = subject.trained()
    for rollout in subject.rollouts:
        order = subject.permutation(int(rollout.mask.sum()))
        whole, flat = reward_of(trained, rollout), cut(rollout.flatten(), _ALL, order)
        expected = type(whole)(
            whole.values[rollout.mask][None, order], whole.defined[rollout.mask][None, order]
        )
        apart = difference(expected, reward_of(trained, flat), tolerance=TOLERANCE)
        if apart:
            yield Violation(
                "replay",
                f"scope is transition, but shuffled single steps get other values than in their "
                f"rollout: {apart}.",
                "Use nothing but the step itself and the state; else set scope to episode, or "
                "replayable = False for a memory of the running episode.",
            )
            return


def columns(subject: Subject) -> Iterator[Violation]:
    """Columns in another order get the same values."""
    model, rollout = subject.fresh(), subject.first
    order = subject.permutation(rollout.B)
    apart = difference(
        reward_of(model, rollout).at(_ALL, order),
        reward_of(model, cut(rollout, _ALL, order)),
        tolerance=TOLERANCE,
    )
    if apart:
        yield Violation(
            "columns",
            f"with the columns in another order the values differ: {apart}.",
            "Treat all columns alike; statistics over the batch belong into update().",
        )


def edges(subject: Subject) -> Iterator[Violation]:
    """Smallest sizes, shortest episodes, constant observations and no real step all work."""
    rollout = subject.first
    cases: dict[str, Rollout] = {
        "T = 1": cut(rollout, slice(0, 1), _ALL),
        "B = 1": cut(rollout, _ALL, slice(0, 1)),
        "T = 1 and B = 1": cut(rollout, slice(0, 1), slice(0, 1)),
        "episodes of one step": one_step_episodes(rollout),
        "constant observations": constant_observations(rollout),
        "no real step": rollout.replace(mask=torch.zeros_like(rollout.mask)),
    }
    if subject.model.scope == Scope.GROUP:
        # A group is several columns; one of them alone is no record of it.
        cases = {name: tried for name, tried in cases.items() if "B = 1" not in name}
    for case, tried in cases.items():
        model = subject.fresh()
        try:
            found = list(output_violations("edges", model(tried), tried, f" with {case}"))
            if not found:
                model.update(tried)
                where = f" after learning with {case}"
                for after in (tried, rollout):
                    found += output_violations("edges", model(after), after, where)
        except Exception as error:
            found = [
                Violation(
                    "edges",
                    f"with {case} it fails with {type(error).__name__}: {error}",
                    "Guard statistics of no or one sample, and divisions by a deviation of 0.",
                )
            ]
        yield from found


def padding(subject: Subject) -> Iterator[Violation]:
    """What stands on padding reaches neither the values of real steps nor the state."""
    groups = subject.model.scope == Scope.GROUP
    rule, tried = "padding", padded(subject.first, groups=groups)
    other = scrambled_padding(tried, subject.rng)
    cure = "Select with rollout.mask before any sum, mean or scan over time."
    model = subject.fresh()
    apart = difference(reward_of(model, tried), reward_of(model, other), tolerance=TOLERANCE)
    if apart:
        yield Violation(rule, f"values on padding reach those of real steps: {apart}.", cure)
    twin = subject.fresh()
    model.update(tried)
    twin.update(other)
    apart = difference(
        reward_of(model, subject.last), reward_of(twin, subject.last), tolerance=TOLERANCE
    )
    if apart:
        yield Violation(rule, f"the model learns from padding: {apart}.", cure)
    # Padding behind the real steps means the same as no further steps.
    length = tried.T - tried.T // 3
    columns = _ALL if groups else slice(0, 1)
    model, long = subject.fresh(), cut(tried, _ALL, columns)
    short = cut(tried, slice(0, length), columns)
    apart = difference(
        reward_of(model, long).at(slice(0, length), _ALL),
        reward_of(model, short),
        tolerance=TOLERANCE,
    )
    if apart:
        yield Violation(rule, f"padding at the end changes the real steps: {apart}.", cure)


RULES: dict[str, Callable[[Subject], Iterator[Violation]]] = {
    "state": state,
    "task_free": task_free,
    "replay": replay,
    "columns": columns,
    "edges": edges,
    "padding": padding,
}
"""Rules that need a working ``forward``."""
