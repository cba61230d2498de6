"""Alarms about reward terms during training: signs that a mix does not do what was meant.

Four signs are watched, each over a window of rollouts, so that one odd rollout raises nothing.
Rollouts of fewer than 100 environment steps, such as the few transitions between two updates of an
off-policy learner, are put together until they have as many and count as one: a window of 10 then
spans at least 1000 steps.

``dominant``
    One term has more than 90 % of the summed absolute contributions: the others hardly count.
``constant``
    A term with a weight returned one and the same value everywhere: it cannot teach anything (a
    sparse reward that was never met is the usual case).
``sign_flip``
    A term's mean contribution had one sign throughout the first half of the window and has the
    other throughout the second: a bonus has become a penalty, or the reverse.
``proxy``
    The shaped return rises while the task return falls, both significantly: the policy is learning
    to collect hints instead of doing the task (reward hacking).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

KINDS = ("dominant", "constant", "sign_flip", "proxy")

_SHARE = 0.9
_WINDOW = 10
_STEPS = 100
# Slopes need more points than shares before noise is told apart from a trend.
_TREND_WINDOW = 20
_SIGNIFICANT = 2.0


class Alarm(NamedTuple):
    """One alarm.

    Attributes:
        kind: one of `KINDS`.
        term: the term it is about; empty for ``proxy``.
        message: what was seen, in a sentence.
    """

    kind: str
    term: str
    message: str


class RewardAlarms:
    """Watches the numbers of each rollout.

    Args:
        names: the terms of the mix.

    Attributes:
        active: the alarms that hold after the latest rollout.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.active: tuple[Alarm, ...] = ()
        # Per rollout and term: share, mean, deviation, contribution, weight.
        self._terms: deque[np.ndarray] = deque(maxlen=_WINDOW)
        # The same of the short rollouts that are being put together, with their steps, and mean
        # task and shaped return of those in which episodes ended.
        self._short: list[np.ndarray] = []
        self._short_steps: list[int] = []
        self._short_returns: list[tuple[float, float]] = []
        # Per rollout in which episodes ended: their mean task and shaped return.
        self._returns: deque[tuple[float, float]] = deque(maxlen=_TREND_WINDOW)

    def update(
        self, metrics: Mapping[str, float], returns: tuple[float, float] | None, *, steps: int
    ) -> list[Alarm]:
        """Take the numbers of a rollout.

        Args:
            metrics: of `reward_models.mix.column_metrics`, by ``<term>/<number>``.
            returns: mean task and shaped return of the episodes that ended in it, if any did.
            steps: environment steps in it, over all columns.

        Returns:
            The alarms that were not active before.
        """
        keys = {"share": 0.0, "mean": 0.0, "std": 0.0, "contribution": 0.0, "weight": 1.0}
        row = [
            [metrics.get(f"{name}/{key}", missing) for key, missing in keys.items()]
            for name in self.names
        ]
        self._short.append(np.array(row))
        self._short_steps.append(steps)
        if returns is not None:
            self._short_returns.append(returns)
        if sum(self._short_steps) < _STEPS:
            return []
        self._terms.append(_together(np.stack(self._short), np.array(self._short_steps)))
        if self._short_returns:
            task, shaped = np.mean(self._short_returns, axis=0)
            self._returns.append((float(task), float(shaped)))
        self._short, self._short_steps, self._short_returns = [], [], []
        before = {(alarm.kind, alarm.term) for alarm in self.active}
        self.active = (*self._of_terms(), *self._of_returns())
        return [alarm for alarm in self.active if (alarm.kind, alarm.term) not in before]

    def counts(self) -> dict[str, float]:
        """Return how many alarms of each kind are active."""
        return {kind: float(sum(a.kind == kind for a in self.active)) for kind in KINDS}

    def _of_terms(self) -> list[Alarm]:
        if len(self._terms) < _WINDOW:
            return []
        window = np.stack(self._terms)
        found = []
        # A term of weight 0 only watches, or was switched off: there is nothing to warn of.
        weighted = (window[..., 4] != 0).any(0)
        for index in np.flatnonzero(weighted):
            name = self.names[index]
            share, mean, deviation, contribution, _ = window[:, index].T
            if weighted.sum() > 1 and (share > _SHARE).all():
                found.append(
                    Alarm(
                        "dominant", name,
                        f"{name!r} has {share[-1]:.0%} of all reward; the other terms hardly "
                        "count. Compare the weights with reward/<term>/share.",
                    )
                )  # fmt: skip
            if (deviation == 0).all() and (mean == mean[0]).all():
                found.append(
                    Alarm(
                        "constant", name,
                        f"{name!r} has been {mean[0]:g} at every step of {_WINDOW} rollouts, so "
                        "it cannot teach anything.",
                    )
                )  # fmt: skip
            halves = np.sign(contribution[: _WINDOW // 2]), np.sign(contribution[_WINDOW // 2 :])
            steady = all((half == half[0]).all() and half[0] != 0 for half in halves)
            if steady and halves[0][0] != halves[1][0]:
                found.append(
                    Alarm(
                        "sign_flip", name,
                        f"{name!r} went from {contribution[0]:+.3g} to {contribution[-1]:+.3g} a "
                        "step: it now pulls the other way.",
                    )
                )  # fmt: skip
        return found

    def _of_returns(self) -> list[Alarm]:
        if len(self.names) < 2 or len(self._returns) < _TREND_WINDOW:
            return []
        task, shaped = np.array(self._returns).T
        if _trend(shaped) > _SIGNIFICANT and _trend(task) < -_SIGNIFICANT:
            return [
                Alarm(
                    "proxy", "",
                    f"over {_TREND_WINDOW} rollouts the shaped return rose from {shaped[0]:.3g} "
                    f"to {shaped[-1]:.3g} while the task return fell from {task[0]:.3g} to "
                    f"{task[-1]:.3g}: the policy collects hints instead of doing the task.",
                )
            ]  # fmt: skip
        return []

    def snapshot(self) -> dict[str, Any]:
        """Return the windows as arrays."""
        return {
            "terms": self._stacked(self._terms),
            "returns": np.array(self._returns).reshape(-1, 2),
            "short": self._stacked(self._short),
            "short_steps": list(self._short_steps),
            "short_returns": np.array(self._short_returns).reshape(-1, 2),
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue from a snapshot."""
        self._terms = deque(np.array(tree["terms"]), maxlen=_WINDOW)
        self._returns = deque(_pairs(tree["returns"]), maxlen=_TREND_WINDOW)
        # Checkpoints of earlier versions have nothing put together.
        self._short = list(np.array(tree.get("short", [])))
        self._short_steps = [int(steps) for steps in tree.get("short_steps", [])]
        self._short_returns = _pairs(tree.get("short_returns", []))
        self.active = (*self._of_terms(), *self._of_returns())

    def _stacked(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack(rows) if rows else np.zeros((0, len(self.names), 5))


def _pairs(rows: Any) -> list[tuple[float, float]]:
    return [(float(task), float(shaped)) for task, shaped in np.array(rows)]


def _together(rows: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the numbers ``[terms, 5]`` of rollouts ``[n, terms, 5]`` as those of one.

    The deviation is only asked whether it is 0: it is not where a mean differs from another.
    """
    if len(rows) == 1:
        return rows[0]
    one = np.average(rows, axis=0, weights=steps)
    means, deviations = rows[..., 1], rows[..., 2]
    one[:, 2] = deviations.max(axis=0) + np.ptp(means, axis=0)
    # Free of rounding where all are equal.
    one[:, 1] = np.where(np.ptp(means, axis=0) == 0, means[0], one[:, 1])
    return one


def _trend(values: np.ndarray) -> float:
    """Return the least-squares slope over time divided by its standard error.

    Without any residual it is plus or minus infinity, and 0 for a constant.
    """
    time = np.arange(len(values)) - (len(values) - 1) / 2
    spread = float(time @ time)
    slope = float(time @ values) / spread
    residual = values - values.mean() - slope * time
    variance = float(residual @ residual) / (len(values) - 2) / spread
    # Below this the residual is rounding.
    if variance <= (1e-12 * max(1.0, float(np.abs(values).max()))) ** 2:
        return 0.0 if abs(slope) < 1e-12 else math.copysign(math.inf, slope)
    return slope / math.sqrt(variance)
