"""What went wrong, counted: causes of failed episodes, what the program paid in them, how they ran.

Every number is computed from recorded episodes; nothing is left to a language model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ctrl.design.episode_log import EpisodeLog

TIME_LIMIT = "time limit"
UNKNOWN_END = "ended by the task without a documented event"

_MESSAGE, _TEXT_LENGTH = "message", 32
_QUOTED = 80
_RARE = 0.01
_DIGITS = 6


@dataclass(frozen=True)
class Paid:
    """What one part of a program paid.

    Attributes:
        failed: mean sum over a failed episode; 0 without any.
        succeeded: mean sum over a successful episode; 0 without any.
        nonzero: share of all steps on which it was not 0.
    """

    failed: float
    succeeded: float
    nonzero: float


@dataclass(frozen=True)
class Course:
    """How a quantity ran in failed episodes; means over episodes.

    Attributes:
        first: after the first step of the window.
        last: after the last step.
        low: smallest value in the window.
        high: largest value in the window.
    """

    first: float
    last: float
    low: float
    high: float


@dataclass(frozen=True)
class Facts:
    """Counted facts about the episodes of one policy.

    Attributes:
        episodes: how many.
        successes: how many succeeded; those with a positive return where the environment has no
            success flag.
        died: how many failed because the task ended them.
        length: mean length, steps.
        task_return: mean return.
        causes: how many failed episodes ended with each cause, the most frequent first. A cause is
            a documented flag that was 0 in the whole episode and 1 at its end, the last message of
            the game where the task ended the episode, or, without both, how the episode ended; one
            episode can have several.
        flags: those causes that are documented flags.
        paid: per part of the program.
        course: per documented number, in the last steps of failed episodes.
    """

    episodes: int
    successes: int
    died: int
    length: float
    task_return: float
    causes: dict[str, int] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    paid: dict[str, Paid] = field(default_factory=dict)
    course: dict[str, Course] = field(default_factory=dict)

    @property
    def failures(self) -> int:
        """Episodes that did not succeed."""
        return self.episodes - self.successes

    @property
    def success_rate(self) -> float:
        """Share of successful episodes, in [0, 1]."""
        return self.successes / self.episodes

    @property
    def death_rate(self) -> float:
        """Share of episodes that the task ended without success, in [0, 1]."""
        return self.died / self.episodes

    def as_dict(self) -> dict[str, Any]:
        """Return plain data that `from_dict` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Facts:
        """Return what `as_dict` wrote."""
        return cls(
            **{
                **plain,
                "flags": tuple(plain["flags"]),
                "paid": {name: Paid(**each) for name, each in plain["paid"].items()},
                "course": {name: Course(**each) for name, each in plain["course"].items()},
            }
        )


def analyse(episodes: Sequence[EpisodeLog], *, window: int) -> Facts:
    """Count what happened.

    Args:
        episodes: at least one.
        window: how many of the last steps of a failed episode ``course`` describes, at least 1.
    """
    failed = [episode for episode in episodes if not succeeded(episode)]
    flags = _flags(episodes)
    causes: Counter[str] = Counter()
    for episode in failed:
        causes.update(_causes(episode, flags))
    counted = dict(sorted(causes.items(), key=lambda item: (-item[1], item[0])))
    return Facts(
        episodes=len(episodes),
        successes=len(episodes) - len(failed),
        died=sum(episode.terminated for episode in failed),
        length=_mean([len(episode) for episode in episodes]),
        task_return=_mean([episode.reward.sum() for episode in episodes]),
        causes=counted,
        flags=tuple(name for name in counted if name in flags),
        paid=_paid(episodes),
        course=_courses(failed, window),
    )


def suggestions(facts: Facts, dense: Sequence[str]) -> list[str]:
    """Return what the counts ask for, as sentences with the counts in them.

    Args:
        facts: of the policy that a program trained.
        dense: names of the parts that pay while the task is not solved yet.
    """
    found = []
    failed = f"{facts.failures} failed episodes"
    for name in facts.flags:
        found.append(
            f"{facts.causes[name]} of {failed} ended with {name} = 1: take reward away there."
        )
    for name in dense:
        paid = facts.paid.get(name)
        if paid is None or not facts.failures:
            continue
        if paid.nonzero < _RARE:
            found.append(f"{name} is 0 on {1 - paid.nonzero:.1%} of the steps: it guides nothing.")
        elif paid.failed > 0 and facts.success_rate < 0.5:
            found.append(
                f"{name} paid {paid.failed:.3g} in the mean over {failed}: it can be earned "
                "without the task, so it may lead the wrong way; use another idea."
            )
    stopped = facts.causes.get(TIME_LIMIT, 0)
    if stopped > facts.failures / 2:
        found.append(
            f"{stopped} of {failed} reached the time limit: reward progress that is made early."
        )
    return found


def succeeded(episode: EpisodeLog) -> bool:
    """Return the success flag, or whether the return is positive where there is none."""
    if episode.success is None:
        return bool(episode.reward.sum() > 0)
    return episode.success


def _flags(episodes: Sequence[EpisodeLog]) -> set[str]:
    """Return the quantities that are 0 or 1 in every step of every episode."""
    names = set(episodes[0].quantities)
    for episode in episodes:
        for name in list(names):
            values = episode.quantities[name]
            if values.ndim != 1 or not np.isin(values, (0, 1)).all():
                names.discard(name)
    return names


def _causes(episode: EpisodeLog, flags: set[str]) -> list[str]:
    if not episode.terminated:
        return [TIME_LIMIT]
    ends = [
        name
        for name in sorted(flags)
        if episode.quantities[name][-1] == 1 and not episode.quantities[name][:-1].any()
    ]
    for name in sorted(episode.quantities):
        message = _last_text(episode.quantities[name]) if _MESSAGE in name else ""
        if message:
            ends.append(f"{name}: {message}")
    return ends or [UNKNOWN_END]


def _last_text(rows: np.ndarray) -> str:
    """Return the last non-empty text of ``uint8 [T, length]`` rows; '' where there is none."""
    if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] < _TEXT_LENGTH:
        return ""
    for row in rows[::-1]:
        text = bytes(row).rstrip(b"\0").decode("latin-1").strip()
        if text:
            return "".join(c if c.isprintable() else "?" for c in text)[:_QUOTED]
    return ""


def _paid(episodes: Sequence[EpisodeLog]) -> dict[str, Paid]:
    found = {}
    for name in episodes[0].paid:
        sums: dict[bool, list[float]] = {False: [], True: []}
        for episode in episodes:
            sums[succeeded(episode)].append(float(episode.paid[name].sum()))
        steps = np.concatenate([episode.paid[name] for episode in episodes])
        found[name] = Paid(_mean(sums[False]), _mean(sums[True]), _mean(steps != 0))
    return found


def _courses(failed: Sequence[EpisodeLog], window: int) -> dict[str, Course]:
    if not failed:
        return {}
    found = {}
    for name, rows in failed[0].quantities.items():
        if rows.ndim != 1:
            continue
        tails = [episode.quantities[name][-window:].astype(float) for episode in failed]
        found[name] = Course(
            first=_mean([tail[0] for tail in tails]),
            last=_mean([tail[-1] for tail in tails]),
            low=_mean([tail.min() for tail in tails]),
            high=_mean([tail.max() for tail in tails]),
        )
    return found


def _mean(values: Any) -> float:
    """Return the mean to six digits, 0 of nothing: what is stored is what is read back."""
    if not len(values):
        return 0.0
    return float(f"{float(np.mean(values)):.{_DIGITS}g}")
