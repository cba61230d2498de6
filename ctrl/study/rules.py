"""The rules of a pass: what the numbers of a study must show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ctrl.statistics import interquartile_mean, paired_test, welch_test
from reward_models.errors import UnknownNameError, UserError

Samples = Mapping[tuple[str, str], Sequence[float]]
"""One metric: the values over seeds by (method, environment)."""

STATISTICS: dict[str, Callable[[np.ndarray], float]] = {
    "mean": lambda values: float(np.mean(values)),
    "median": lambda values: float(np.median(values)),
    "iqm": lambda values: float(interquartile_mean(values)),
    "min": lambda values: float(np.min(values)),
    "max": lambda values: float(np.max(values)),
}
_TESTS = {"welch": welch_test, "paired": paired_test}
_KEYS = (
    "claim", "metric", "of", "environments", "statistic", "at_least", "at_most", "seeds", "test",
    "p_below", "beats",
)  # fmt: skip


@dataclass(frozen=True)
class Bound:
    """``times * statistic(of) + plus``; with no ``of`` the number ``plus`` itself."""

    plus: float = 0.0
    times: float = 1.0
    of: str | None = None

    def __str__(self) -> str:
        if self.of is None:
            return f"{self.plus:g}"
        text = self.of if self.times == 1.0 else f"{self.times:g} x {self.of}"
        return text + (f" {'+' if self.plus > 0 else '-'} {abs(self.plus):g}" if self.plus else "")


@dataclass(frozen=True)
class Rule:
    """One thing that must hold.

    Attributes:
        claim: in words.
        metric: which number.
        of: the method it is about.
        on: the environments; each must meet the rule.
        statistic: over seeds: ``mean``, ``median``, ``iqm``, ``min`` or ``max``.
        at_least: the statistic must not be below this.
        at_most: nor above this.
        seeds: how many seeds must each meet the bounds, instead of the statistic; a bound that
            names a method is then taken seed by seed.
        beats: a method that must be beaten significantly.
        test: ``welch`` or ``paired``, for ``beats``.
        p_below: its level.
    """

    claim: str
    metric: str
    of: str
    on: tuple[str, ...]
    statistic: str = "mean"
    at_least: Bound | None = None
    at_most: Bound | None = None
    seeds: int | None = None
    beats: str | None = None
    test: str = "welch"
    p_below: float = 0.05

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods whose numbers it reads."""
        bounds = (self.at_least, self.at_most)
        named = (self.of, self.beats, *(bound.of for bound in bounds if bound is not None))
        return tuple(dict.fromkeys(name for name in named if name is not None))


@dataclass(frozen=True)
class Verdict:
    """Whether a rule held on one environment, with the numbers.

    Attributes:
        claim: of the rule.
        environment: where.
        passed: whether it held.
        found: the number that was compared (a statistic, a count of seeds, or a p value).
        wanted: what it was compared with, in words and numbers.
    """

    claim: str
    environment: str
    passed: bool
    found: float
    wanted: str

    def __str__(self) -> str:
        where = "" if self.environment == "default" else f" on {self.environment}"
        word = "pass" if self.passed else "SHORT"
        return f"{word}  {self.claim}{where}: {self.found:.4g}, wanted {self.wanted}"


def parse_rules(
    data: Any, methods: Mapping[str, Any], environments: Mapping[str, Any]
) -> tuple[Rule, ...]:
    """Check the ``pass:`` part of a study file.

    Raises:
        UserError: a rule that is none.
        UnknownNameError: a key, method, environment, statistic or test that there is not.
    """
    if not isinstance(data, list):
        raise UserError(f"pass must be a list of rules, got {data!r}.")
    return tuple(_parse(entry, methods, environments) for entry in data)


def _parse(entry: Any, methods: Mapping[str, Any], environments: Mapping[str, Any]) -> Rule:
    if not isinstance(entry, Mapping):
        raise UserError(f"A rule of a pass is a mapping with 'metric' and 'of', got {entry!r}.")
    for key in entry:
        _known("key of a rule", str(key), _KEYS)
    missing = [key for key in ("metric", "of") if key not in entry]
    if missing:
        raise UserError(f"The rule {dict(entry)!r} needs {missing[0]!r}.")
    on = entry.get("environments", list(environments))
    on = [on] if isinstance(on, str) else on
    for name in on:
        _known("environment of a rule", name, environments)
    for key in ("of", "beats"):
        if key in entry:
            _known("method of a rule", entry[key], methods)
    statistic, test = entry.get("statistic", "mean"), entry.get("test", "welch")
    _known("statistic of a rule", statistic, STATISTICS)
    _known("test of a rule", test, _TESTS)
    bounds = {key: _bound(entry[key], methods) for key in ("at_least", "at_most") if key in entry}
    if not bounds and "beats" not in entry:
        raise UserError(f"The rule {dict(entry)!r} needs at_least, at_most or beats.")
    if bounds and "beats" in entry:
        raise UserError(f"The rule {dict(entry)!r} has a bound and a test; make it two rules.")
    return Rule(
        claim=str(entry.get("claim") or f"{entry['metric']} of {entry['of']}"),
        metric=str(entry["metric"]),
        of=entry["of"],
        on=tuple(on),
        statistic=statistic,
        seeds=entry.get("seeds"),
        beats=entry.get("beats"),
        test=test,
        p_below=float(entry.get("p_below", 0.05)),
        **bounds,
    )


def _bound(value: Any, methods: Mapping[str, Any]) -> Bound:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Bound(plus=float(value))
    if isinstance(value, Mapping) and "of" in value and {*value} <= {"of", "times", "plus"}:
        _known("method of a rule", value["of"], methods)
        return Bound(
            plus=float(value.get("plus", 0.0)),
            times=float(value.get("times", 1.0)),
            of=value["of"],
        )
    raise UserError(
        f"A bound is a number or {{of: METHOD, times: NUMBER, plus: NUMBER}}, got {value!r}."
    )


def judge(rule: Rule, samples: Samples) -> list[Verdict]:
    """Return one verdict per environment.

    Args:
        rule: what must hold.
        samples: the values of the rule's metric, seeds in the same order for all methods.

    Raises:
        UserError: a method of the rule has no finished run, or a test lacks seeds.
    """
    return [_judge(rule, samples, environment) for environment in rule.on]


def _judge(rule: Rule, samples: Samples, environment: str) -> Verdict:
    def values(method: str) -> np.ndarray:
        found = np.asarray(samples.get((method, environment), ()), dtype=float)
        if not len(found):
            raise UserError(
                f"{rule.claim!r}: {method} on {environment} has no run with {rule.metric!r}."
            )
        return found

    ours = values(rule.of)
    if rule.beats is not None:
        comparison = _TESTS[rule.test](ours, values(rule.beats))
        wanted = f"p < {rule.p_below:g} against {rule.beats} ({comparison.test})"
        return Verdict(
            rule.claim, environment, comparison.p_value < rule.p_below, comparison.p_value, wanted
        )

    bounds = [
        (sign, bound, values(bound.of) if bound.of else None)
        for sign, bound in ((1, rule.at_least), (-1, rule.at_most))
        if bound is not None
    ]
    if rule.seeds is not None:
        met = np.ones(len(ours), dtype=bool)
        for sign, bound, theirs in bounds:
            limit = bound.plus if theirs is None else bound.times * theirs + bound.plus
            met &= sign * (ours - limit) >= 0
        words = " and ".join(_words(sign, bound) for sign, bound, _ in bounds)
        wanted = f"at least {rule.seeds} of {len(ours)} seeds {words}"
        return Verdict(
            rule.claim, environment, int(met.sum()) >= rule.seeds, float(met.sum()), wanted
        )

    statistic = STATISTICS[rule.statistic]
    found, passed, parts = statistic(ours), True, []
    for sign, bound, theirs in bounds:
        limit = bound.plus if theirs is None else bound.times * statistic(theirs) + bound.plus
        passed = passed and sign * (found - limit) >= 0
        number = "" if theirs is None else f" = {limit:.4g}"
        parts.append(_words(sign, bound) + number)
    return Verdict(rule.claim, environment, bool(passed), found, " and ".join(parts))


def _words(sign: int, bound: Bound) -> str:
    return f"{'at least' if sign > 0 else 'at most'} {bound}"


def _known(what: str, name: Any, valid: Any) -> None:
    if name not in valid:
        raise UnknownNameError(what, str(name), list(valid))
