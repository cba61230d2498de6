"""Rules on what a model declares, returns, and leaves alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from reward_models.base import Order, Scope
from reward_models.checking.report import Violation
from reward_models.checking.samples import without
from reward_models.checking.subject import (
    Subject,
    changed_entries,
    changed_state,
    difference,
    generators,
    random_violation,
    reward_of,
    state_of,
)
from reward_models.errors import nearest_name
from reward_models.rollout import CORE_KEYS, OPTIONAL_KEYS, Rollout
from reward_models.scale import Scale

_FLAGS = ("task_free", "replayable", "batch_dependent", "goal_relabelling")


def declarations(subject: Subject) -> Iterator[Violation]:
    """``scope``, ``order``, ``preferred_scale``, ``requires`` and the flags are well-formed."""
    model, rule = subject.model, "declarations"
    for name, kind in (("scope", Scope), ("order", Order), ("preferred_scale", Scale)):
        value, valid = getattr(model, name), [str(choice) for choice in kind]
        if value not in valid:
            nearest = nearest_name(str(value), valid)
            yield Violation(
                rule,
                f"{name} is {value!r}, expected one of {', '.join(valid)}.",
                f"Set {name} = {nearest!r}." if nearest else "Use one of these.",
            )
    for name in _FLAGS:
        if not isinstance(getattr(model, name), bool):
            yield Violation(
                rule,
                f"{name} is {getattr(model, name)!r}, expected True or False.",
                f"Set {name} to a bool.",
            )
    requires: Any = model.requires
    if not isinstance(requires, set | frozenset):
        yield Violation(
            rule,
            f"requires is a {type(requires).__name__}, expected a set of record keys.",
            'Write requires = frozenset({"success"}).',
        )
        requires = (requires,) if isinstance(requires, str) else requires
    optional = [key for key in OPTIONAL_KEYS if key != "mask"]
    for key in requires:
        if key in CORE_KEYS or key == "mask":
            yield Violation(
                rule, f"requires names {key!r}, which every rollout has.", "Leave it out."
            )
        elif key not in optional and not str(key).startswith("state."):
            nearest = nearest_name(str(key), optional)
            hint = f"{nearest!r}" if nearest else f"'state.{key}' for a simulator quantity"
            yield Violation(
                rule,
                f"requires names {key!r}, which is no record key ({', '.join(optional)}).",
                f"Did you mean {hint}?",
            )


def output(subject: Subject) -> Iterator[Violation]:
    """``forward`` returns a real, finite tensor ``[T, B]``, or ``(tensor, extras)``."""
    for stage, model in (("", subject.fresh()), (" after updates", subject.trained())):
        found = list(output_violations("output", model(subject.last), subject.last, stage))
        yield from found
        if found:
            return


def output_violations(rule: str, found: Any, rollout: Rollout, where: str) -> Iterator[Violation]:
    """Yield what is wrong with one output of ``forward``."""
    size = [rollout.T, rollout.B]
    extras: Any = {}
    if isinstance(found, tuple):
        if len(found) != 2 or not isinstance(found[1], Mapping):
            kinds = ", ".join(type(item).__name__ for item in found)
            yield Violation(
                rule,
                f"forward returned a tuple ({kinds}){where}.",
                "Return a tensor [T, B], or (tensor, {name: tensor [T, B]}).",
            )
            return
        found, extras = found
    if not isinstance(found, Tensor):
        kind = type(found).__name__
        yield Violation(rule, f"forward returned a {kind}{where}.", "Return a tensor [T, B].")
        return
    if list(found.shape) != size:
        yield Violation(
            rule,
            f"forward returned shape {list(found.shape)}{where}, expected [T, B] = {size}.",
            "Return one number per step; reduce features with .sum(-1) or .mean(-1).",
        )
        return
    if not found.is_floating_point():
        yield Violation(
            rule, f"forward returned {found.dtype}{where}, expected real numbers.", "Use .float()."
        )
        return
    for key, extra in extras.items():
        if not isinstance(extra, Tensor) or list(extra.shape) != size:
            got = list(extra.shape) if isinstance(extra, Tensor) else type(extra).__name__
            yield Violation(
                rule, f"extra {key!r} is {got}{where}, expected [T, B] = {size}.",
                "Return one value per step, or log it from update().",
            )  # fmt: skip
            return
    defined, keep = extras.get("defined"), extras.get("keep")
    if defined is not None and defined.dtype != torch.bool:
        yield Violation(rule, f"'defined' is {defined.dtype}{where}.", "Return a bool tensor.")
        return
    if keep is not None and not bool(((keep == 0) | (keep == 1)).all()):
        yield Violation(rule, f"'keep' has values other than 0 and 1{where}.", "Return 0 or 1.")
    wrong = ~found.isfinite() & (rollout.mask if defined is None else defined & rollout.mask)
    if bool(wrong.any()):
        t, b = wrong.nonzero()[0].tolist()
        yield Violation(
            rule,
            f"forward returned {float(found[t, b])} at time step {t}, column {b}{where}.",
            "Guard the division or logarithm; mark steps without a value by {'defined': mask}.",
        )


def requires(subject: Subject) -> Iterator[Violation]:
    """Every key in ``requires`` is read, and a missing one is named."""
    for key in sorted(subject.model.requires):
        if key not in subject.first:
            continue
        lacking = [without(rollout, key) for rollout in subject.rollouts[:2]]
        model, error = subject.fresh(), None
        try:
            for rollout in lacking:
                model(rollout)
                model.update(rollout)
            model(lacking[-1])
        except Exception as raised:
            error = raised
        if error is None:
            yield Violation(
                "requires",
                f"requires names {key!r}, but the model works without it.",
                "Leave it out: learners record it for nothing, or refuse the reward.",
            )
        elif key not in str(error):
            yield Violation(
                "requires",
                f"without {key!r} the model fails with {type(error).__name__}: {error}",
                f"Read it as rollout[{key!r}], which names it when it is missing.",
            )


def pure(subject: Subject) -> Iterator[Violation]:
    """``forward`` changes nothing, draws nothing, and gives the same twice."""
    model, rule = subject.trained(), "pure"
    state, rollout = state_of(model), subject.first
    before = generators()
    once = reward_of(model, rollout)
    yield from random_violation(rule, "forward", before)
    changed = changed_state(state, state_of(model))
    if changed:
        yield Violation(
            rule,
            f"forward changes the model's state: {', '.join(changed[:5])}.",
            "Learn, count and keep statistics in update() only.",
        )
    entries = changed_entries(subject.first, rollout)
    if entries:
        yield Violation(
            rule,
            f"forward changes the rollout: {', '.join(entries)}.",
            "Do not write into the rollout's tensors; clone what you change.",
        )
    reward_of(model, subject.last)
    apart = difference(once, reward_of(model, subject.first))
    if apart:
        yield Violation(
            rule,
            f"forward gives different values for the same rollout: {apart}.",
            "Make forward a function of the rollout and the state; switch dropout off in it.",
        )


def graph(subject: Subject) -> Iterator[Violation]:
    """No autograd graph is built unless asked for."""
    value = subject.trained()(subject.first)
    value = value[0] if isinstance(value, tuple) else value
    if value.requires_grad:
        yield Violation(
            "graph",
            "forward builds an autograd graph although none was asked for.",
            "Do not switch gradients on inside forward; model(rollout, gradient=True) asks.",
        )


def update(subject: Subject) -> Iterator[Violation]:
    """``update`` reports finite numbers, changes its own state only, and can be repeated."""
    rule = "update"
    model, rollout = subject.fresh(), subject.first
    before = generators()
    metrics: Any = model.update(rollout)
    yield from random_violation(rule, "update", before)
    yield from _metrics(rule, metrics)
    entries = changed_entries(subject.first, rollout)
    if entries:
        yield Violation(
            rule,
            f"update changes the rollout: {', '.join(entries)}.",
            "Do not write into the rollout's tensors; clone what you change.",
        )
    torch.rand(3)  # another position of the global generator must not matter
    again = subject.fresh()
    again.update(subject.first)
    changed = changed_state(state_of(model), state_of(again))
    if changed:
        yield Violation(
            rule,
            f"two copies that learn from the same rollout differ in {', '.join(changed[:5])}.",
            "Seed every random choice from the model's own generator.",
        )


def _metrics(rule: str, metrics: Any) -> Iterator[Violation]:
    if not isinstance(metrics, Mapping):
        kind = type(metrics).__name__
        yield Violation(rule, f"update returned a {kind}.", "Return a dict, {} without metrics.")
        return
    for key, value in metrics.items():
        if not isinstance(key, str) or not isinstance(value, Real):
            yield Violation(
                rule,
                f"metric {key!r} is a {type(value).__name__}, expected a number.",
                "Return floats; tensors by .item().",
            )
        elif not math.isfinite(value):
            yield Violation(rule, f"metric {key!r} is {value}.", "Leave it out when undefined.")


def constructor(subject: Subject) -> Iterator[Violation]:
    """Building draws nothing from the global generators; the same seed builds the same model."""
    if subject.build is None:
        return
    before = generators()
    first = subject.build()
    yield from random_violation("constructor", "the constructor", before)
    torch.rand(3)
    changed = changed_state(state_of(first), state_of(subject.build()))
    if changed:
        yield Violation(
            "constructor",
            f"two models built with the same arguments differ in {', '.join(changed[:5])}.",
            "Draw all starting values from `seed`.",
        )


RULES: dict[str, Callable[[Subject], Iterator[Violation]]] = {
    "constructor": constructor,
    "requires": requires,
    "pure": pure,
    "graph": graph,
    "update": update,
}
"""Rules that need a working ``forward``."""
