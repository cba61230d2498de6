"""Arithmetic whose difficulty and length are set: sums, chains modulo a prime, linear equations."""

from __future__ import annotations

import re
from typing import Any, final

import numpy as np

from envs.text.puzzle import Puzzle, Question, Verdict

_WHOLE = re.compile(r"(?:x\s*=\s*)?([+-]?\d{1,30})\.?")


def judge_whole_number(answer: str, right: int) -> Verdict:
    """Judge an answer that must be one whole number; ``x = 7`` and ``7.`` are read as 7."""
    found = _WHOLE.fullmatch(answer)
    if found is None:
        return Verdict(False, False)
    return Verdict(int(found[1]) == right, True)


@final
class Addition(Puzzle):
    """The sum of several numbers: ``12+7+30=``.

    Args:
        operands: how many numbers, at least 2.
        digits: the numbers are drawn from 0 to ``10**digits - 1``; 1 to 9.
        **common: see `Puzzle`.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, *, operands: int = 2, digits: int = 2, **common: Any) -> None:
        if operands < 2:
            raise ValueError(f"operands must be at least 2, got {operands}.")
        if not 1 <= digits <= 9:
            raise ValueError(f"digits must be from 1 to 9, got {digits}.")
        super().__init__(**common)
        self.operands, self.digits = operands, digits

    def question(self, task: int) -> Question:
        """See `Puzzle`; the key is the sum."""
        random = np.random.default_rng([task, self.operands, self.digits])
        numbers = random.integers(0, 10**self.digits, self.operands).tolist()
        return Question("+".join(map(str, numbers)) + "=", str(sum(numbers)), sum(numbers))

    def verify(self, answer: str, question: Question) -> Verdict:
        """See `Puzzle` and `judge_whole_number`."""
        return judge_whole_number(answer, question.key)


@final
class ModularChain(Puzzle):
    """A chain of operations modulo a number, from left to right: ``3 *4 +5 -2 (mod 7) =``.

    Unlike in ordinary arithmetic every operation applies to all that stands before it, so a chain
    of n operations needs n steps of reasoning, each with a remainder below the modulus.

    Args:
        length: operations, at least 1.
        modulus: 2 to 1000.
        **common: see `Puzzle`.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, *, length: int = 4, modulus: int = 7, **common: Any) -> None:
        if length < 1:
            raise ValueError(f"length must be at least 1, got {length}.")
        if not 2 <= modulus <= 1000:
            raise ValueError(f"modulus must be from 2 to 1000, got {modulus}.")
        super().__init__(**common)
        self.length, self.modulus = length, modulus

    def question(self, task: int) -> Question:
        """See `Puzzle`; the key is the remainder."""
        random = np.random.default_rng([task, self.length, self.modulus])
        numbers = random.integers(0, self.modulus, self.length + 1).tolist()
        operations = random.integers(0, 3, self.length).tolist()
        value, text = numbers[0], str(numbers[0])
        for operation, number in zip(operations, numbers[1:], strict=True):
            value = (value + number, value - number, value * number)[operation] % self.modulus
            text += f" {'+-*'[operation]}{number}"
        text = f"From left to right, modulo {self.modulus}: {text} ="
        return Question(text, str(value), value)

    def verify(self, answer: str, question: Question) -> Verdict:
        """See `Puzzle` and `judge_whole_number`."""
        return judge_whole_number(answer, question.key)


@final
class LinearEquation(Puzzle):
    """An equation with one unknown and a whole solution: ``3x + 4 = 5x - 2``.

    Args:
        largest: coefficients and solution are drawn from ``-largest`` to ``largest``; 1 to 10**6.
        **common: see `Puzzle`.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, *, largest: int = 9, **common: Any) -> None:
        if not 1 <= largest <= 10**6:
            raise ValueError(f"largest must be from 1 to 1000000, got {largest}.")
        super().__init__(**common)
        self.largest = largest

    def question(self, task: int) -> Question:
        """See `Puzzle`; the key is the solution."""
        random = np.random.default_rng([task, self.largest])
        while True:
            a, b, c, x = random.integers(-self.largest, self.largest + 1, 4).tolist()
            if a != c:
                break
        d = (a - c) * x + b
        text = f"Solve for x: {_side(a, b)} = {_side(c, d)}"
        return Question(text, str(x), x)

    def verify(self, answer: str, question: Question) -> Verdict:
        """See `Puzzle` and `judge_whole_number`."""
        return judge_whole_number(answer, question.key)


def _side(factor: int, constant: int) -> str:
    """Return one side of an equation, such as ``3x - 2``."""
    if factor == 0:
        return str(constant)
    unknown = {1: "x", -1: "-x"}.get(factor, f"{factor}x")
    if constant == 0:
        return unknown
    return f"{unknown} {'+' if constant > 0 else '-'} {abs(constant)}"
