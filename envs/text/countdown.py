"""Countdown: use each of some numbers once to make a target (Gandhi et al. 2024, arXiv 2404.03683).

The verifier is exact: rational arithmetic, and every number exactly as often as it was given.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any, final

import numpy as np

from envs.text.expressions import evaluate
from envs.text.puzzle import Puzzle, Question, Verdict


@final
class Countdown(Puzzle):
    """Numbers and a target; the answer is an expression of ``+ - * /`` and parentheses.

    An item is made from a random expression, so that every target can be reached: numbers are
    drawn, pairs are joined by a random operation until one value is left (a division only where it
    is exact), and values out of range are drawn again.

    Args:
        operands: how many numbers, 2 to 6.
        smallest: the smallest number, at least 1.
        largest: the largest number.
        largest_target: the largest target; the smallest is 1.
        **common: see `Puzzle`.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(
        self,
        *,
        operands: int = 3,
        smallest: int = 1,
        largest: int = 50,
        largest_target: int = 999,
        **common: Any,
    ) -> None:
        if not 2 <= operands <= 6:
            raise ValueError(f"operands must be from 2 to 6, got {operands}.")
        if not 1 <= smallest <= largest:
            raise ValueError(f"1 <= smallest <= largest is needed, got {smallest} and {largest}.")
        if largest_target < smallest + 1:
            raise ValueError(f"largest_target must be above {smallest}, got {largest_target}.")
        super().__init__(**common)
        self.operands, self.smallest, self.largest = operands, smallest, largest
        self.largest_target = largest_target

    def question(self, task: int) -> Question:
        """See `Puzzle`; the key is the numbers and the target."""
        random = np.random.default_rng([task, self.operands, self.smallest, self.largest])
        while True:
            numbers = random.integers(self.smallest, self.largest + 1, self.operands).tolist()
            made = _expression(numbers, random)
            if made is not None and 1 <= made[0] <= self.largest_target:
                target, solution = made
                break
        listed = ", ".join(map(str, numbers))
        text = f"Use each of {listed} once, with + - * / and brackets, to make {target}."
        return Question(text, solution, (tuple(numbers), target))

    def verify(self, answer: str, question: Question) -> Verdict:
        """See `Puzzle`; well-formed is an expression that can be computed."""
        return judge(answer, *question.key)


def judge(answer: str, numbers: tuple[int, ...], target: int) -> Verdict:
    """Judge an expression: does it use the numbers once each and make the target exactly?

    Args:
        answer: any text.
        numbers: those to use, each as often as it stands here.
        target: the value to make.
    """
    found = evaluate(answer)
    if found is None:
        return Verdict(False, False)
    value, used = found
    return Verdict(value == target and Counter(used) == Counter(numbers), True)


def _expression(numbers: list[int], random: np.random.Generator) -> tuple[int, str] | None:
    """Join numbers by random operations; None where the value is no whole number.

    Returns:
        Value and expression, bracketed wherever an operation stands in another.
    """
    parts: list[tuple[Fraction, str]] = [(Fraction(number), str(number)) for number in numbers]
    while len(parts) > 1:
        first, second = random.choice(len(parts), 2, replace=False).tolist()
        (a, left), (b, right) = parts[first], parts[second]
        operations = "+-*/" if b != 0 and (a / b).denominator == 1 else "+-*"
        operation = operations[int(random.integers(len(operations)))]
        value = {"+": a + b, "-": a - b, "*": a * b}.get(operation)
        value = a / b if value is None else value
        rest = [part for place, part in enumerate(parts) if place not in (first, second)]
        parts = [*rest, (value, f"({left} {operation} {right})")]
    value, text = parts[0]
    return (int(value), text[1:-1]) if value.denominator == 1 else None
