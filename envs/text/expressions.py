"""Arithmetic that a model wrote, as data: parsed with limits, computed exactly, never run."""

from __future__ import annotations

import ast
from collections.abc import Callable
from fractions import Fraction
from typing import Final

_LONGEST: Final = 200
_DEEPEST: Final = 40
_MOST_DIGITS: Final = 12
_LARGEST: Final = 10**40
_ALLOWED: Final = frozenset("0123456789+-*/() ")
_BINARY: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
}


def evaluate(expression: str) -> tuple[Fraction, list[int]] | None:
    """Compute an expression of whole numbers, ``+ - * /`` and parentheses.

    Args:
        expression: text from anybody; at most 200 characters and 40 levels deep, numbers of at
            most 12 digits. A minus may stand before a number or a bracket; ``//`` and ``**``
            are refused.

    Returns:
        The exact value and the numbers in the order in which they stand, or None for anything
        else: other characters, a division by zero, values or denominators beyond ``10**40``.
    """
    text = expression.strip()
    if not text or len(text) > _LONGEST or not _ALLOWED.issuperset(text):
        return None
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    numbers: list[int] = []
    value = _value(tree.body, numbers, 0)
    return None if value is None else (value, numbers)


def _value(node: ast.expr, numbers: list[int], depth: int) -> Fraction | None:
    if depth > _DEEPEST:
        return None
    if isinstance(node, ast.Constant):
        if type(node.value) is not int or node.value >= 10**_MOST_DIGITS:
            return None
        numbers.append(node.value)
        return Fraction(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand, numbers, depth + 1)
        return None if value is None else -value
    if not isinstance(node, ast.BinOp) or type(node.op) not in _BINARY:
        return None
    left = _value(node.left, numbers, depth + 1)
    right = None if left is None else _value(node.right, numbers, depth + 1)
    if left is None or right is None or (isinstance(node.op, ast.Div) and right == 0):
        return None
    value = _BINARY[type(node.op)](left, right)
    too_large = abs(value.numerator) > _LARGEST or value.denominator > _LARGEST
    return None if too_large else value
