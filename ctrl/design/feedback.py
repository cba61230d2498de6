"""What a designer is told about its program after training: counted facts, or series of parts."""

from __future__ import annotations

from collections.abc import Sequence

from ctrl.design.analyzer import Facts, suggestions
from ctrl.design.attempts import Attempt
from reward_models.coded.program import Convention

_VALUES = 10
_CAUSES = 8
_COURSES = 12
_PARTS = 12


def series(name: str, values: Sequence[float]) -> str:
    """Return how a part of a reward went over training (Ma et al. 2023, Eureka).

    Every ``max(T // 10, 1)``-th of its T values, then the largest, the mean and the smallest.

    Args:
        name: of the part.
        values: over training, at least one.
    """
    every = max(len(values) // _VALUES, 1)
    shown = ", ".join(f"{value:.2f}" for value in values[::every])
    mean = sum(values) / len(values)
    return f"{name}: [{shown}], Max: {max(values):.2f}, Mean: {mean:.2f}, Min: {min(values):.2f}"


def describe_attempt(attempt: Attempt, *, convention: Convention, metric: str) -> str:
    """Return what became of an attempt, for the next message of the conversation.

    Args:
        attempt: with a trial, or with the reason why there is none.
        convention: of its program.
        metric: what it is judged by, in words.
    """
    if attempt.trial is None:
        faults = attempt.tries[-1].faults if attempt.tries else ()
        reason = attempt.failure or "\n".join(faults)
        return f"The program could not be used:\n{reason}"
    trial = attempt.trial
    lines = [f"A policy was trained with the program. {metric}: {trial.score:.4g}."]
    if trial.correlation is not None:
        lines.append(f"Correlation with the task's own reward: {trial.correlation:.2f}.")
    if convention == Convention.COMPONENTS and trial.parts:
        lines.append("Mean of every component over training:")
        lines += [series(name, values) for name, values in list(trial.parts.items())[:_PARTS]]
    if len(trial.curve) > 1:
        lines.append(series("task metric over training", [value for _, value in trial.curve]))
    return "\n".join([*lines, *describe_facts(trial.facts)])


def describe_facts(facts: Facts) -> list[str]:
    """Return counted facts as lines, the suggestions that follow from them last."""
    lines = [
        f"Of {facts.episodes} evaluated episodes {facts.successes} succeeded; {facts.died} were "
        f"ended by the task without success; mean length {facts.length:.4g} steps."
    ]
    if facts.causes:
        listed = "; ".join(f"{name}: {n}" for name, n in list(facts.causes.items())[:_CAUSES])
        lines.append(f"Ends of the {facts.failures} failed episodes: {listed}.")
    for name, paid in list(facts.paid.items())[:_PARTS]:
        lines.append(
            f"{name} paid in the mean {paid.failed:.4g} in a failed and {paid.succeeded:.4g} in a "
            f"successful episode, and was not 0 on {paid.nonzero:.1%} of the steps."
        )
    courses = [(name, c) for name, c in facts.course.items() if c.low != c.high][:_COURSES]
    if courses:
        lines.append("In the last steps of failed episodes (means: first, last, low, high):")
        lines += [
            f"{name}: {c.first:.4g}, {c.last:.4g}, {c.low:.4g}, {c.high:.4g}" for name, c in courses
        ]
    advice = suggestions(facts, [name for name in facts.paid if name not in ("total", "sparse")])
    return lines + [f"Suggestion: {each}" for each in advice]
