"""What a designer is asked, and what became of its programs: the memory of a design."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctrl.design.analyzer import Facts
from ctrl.design.ranges import Range
from reward_models.errors import UserError

if TYPE_CHECKING:
    from reward_models.coded.quantities import ProgramInputs

FAILED = -10_000.0
"""Score of a program that could not be run (Eureka's)."""


@dataclass(frozen=True)
class Trial:
    """What training with a program came to.

    Attributes:
        score: by the task metric, never by the program's own reward.
        facts: counted over the evaluated episodes of the trained policy.
        curve: ``(environment steps, task metric)`` over training, where it was evaluated.
        parts: mean per step of every part of the program over training, in the order of the log.
        correlation: Pearson's, between the program's reward and the task reward of the evaluated
            steps; None where one of them does not vary.
    """

    score: float
    facts: Facts
    curve: tuple[tuple[int, float], ...] = ()
    parts: dict[str, tuple[float, ...]] = field(default_factory=dict)
    correlation: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data that `from_dict` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Trial:
        """Return what `as_dict` wrote."""
        return cls(
            score=plain["score"],
            facts=Facts.from_dict(plain["facts"]),
            curve=tuple((int(steps), float(value)) for steps, value in plain["curve"]),
            parts={name: tuple(values) for name, values in plain["parts"].items()},
            correlation=plain["correlation"],
        )


@dataclass(frozen=True)
class Try:
    """One text of a designer and what the Critic said about it.

    Attributes:
        reply: the text.
        source: the code in it.
        faults: why it was refused, a sentence each with its kind and line; empty when accepted.
        review: what the language model said about its logic; '' where it was not asked.
    """

    reply: str
    source: str
    faults: tuple[str, ...] = ()
    review: str = ""


@dataclass(frozen=True)
class Attempt:
    """One sample of a round: texts until the Critic accepted one, and its trial.

    Attributes:
        round: from 1; 0 is the baseline on the task reward alone, which has no program.
        sample: in the round, from 1.
        tries: the first text and its repairs.
        sha256: of the accepted program; '' when none was.
        trial: None when no program was accepted, or it failed while it was trained with.
        failure: why it failed in training; '' when it did not.
    """

    round: int
    sample: int
    tries: tuple[Try, ...] = ()
    sha256: str = ""
    trial: Trial | None = None
    failure: str = ""

    @property
    def score(self) -> float:
        """The trial's score, or that of failure."""
        return FAILED if self.trial is None else self.trial.score

    @property
    def source(self) -> str:
        """The code of the last text; '' of the baseline."""
        return self.tries[-1].source if self.tries else ""

    @property
    def name(self) -> str:
        """``round 2, sample 1``, or ``task reward alone``."""
        if self.round == 0:
            return "task reward alone"
        return f"round {self.round}, sample {self.sample}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain data that `from_dict` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Attempt:
        """Return what `as_dict` wrote."""
        trial = plain["trial"]
        return cls(
            round=plain["round"],
            sample=plain["sample"],
            tries=tuple(
                Try(each["reply"], each["source"], tuple(each["faults"]), each.get("review", ""))
                for each in plain["tries"]
            ),
            sha256=plain["sha256"],
            trial=None if trial is None else Trial.from_dict(trial),
            failure=plain["failure"],
        )


@dataclass(frozen=True)
class Request:
    """What a designer is asked for.

    Attributes:
        inputs: the task and what a program may read.
        ranges: how large the quantities are, by name.
        convention: of the program, see `ctrl.design.conventions`.
        metric: what programs are judged by, in words.
        target: the quantity that this is about; '' where it is about none.
        round: from 1.
        samples: how many programs, at least 1.
        seed: of the design.
        history: all attempts of earlier rounds, in order, the baseline first where there is one.
    """

    inputs: ProgramInputs
    ranges: Mapping[str, Range]
    convention: str
    metric: str
    target: str
    round: int
    samples: int
    seed: int
    history: tuple[Attempt, ...] = ()

    @property
    def best(self) -> Attempt | None:
        """The best program so far; None before one was tried."""
        return best_attempt([attempt for attempt in self.history if attempt.round > 0])


def best_attempt(attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the first of the attempts with the highest score; None where none was tried."""
    tried = [attempt for attempt in attempts if attempt.trial is not None]
    return max(tried, key=lambda attempt: attempt.score, default=None)


@dataclass(frozen=True)
class Selection:
    """The best of the samples of a round.

    Attributes:
        index: of the first sample with the highest score; None when every one failed, and the
            round is repeated from the same messages.
        execute_rate: share of samples that could be run.
    """

    index: int | None
    execute_rate: float


def select(scores: Sequence[float]) -> Selection:
    """Choose among samples (Ma et al. 2023, Eureka).

    Args:
        scores: of every sample, `FAILED` for those that could not be run; at least one.
    """
    executed = [score != FAILED for score in scores]
    rate = sum(executed) / len(scores)
    if not any(executed):
        return Selection(None, rate)
    runs = [score if ran else float("-inf") for score, ran in zip(scores, executed, strict=True)]
    return Selection(max(range(len(runs)), key=lambda place: runs[place]), rate)


def write_history(path: Path, attempts: Sequence[Attempt]) -> None:
    """Write attempts, one JSON object a line; the file appears complete or not at all."""
    writing = path.with_name(f".{path.name}.writing")
    with writing.open("w", encoding="utf-8") as file:
        for attempt in attempts:
            file.write(json.dumps(attempt.as_dict(), ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(writing, path)


def read_history(path: Path) -> list[Attempt]:
    """Read what `write_history` wrote.

    Raises:
        UserError: no such file, or a line that is no attempt.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        return [Attempt.from_dict(json.loads(line)) for line in lines if line]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no history of a design: {error}.") from error
