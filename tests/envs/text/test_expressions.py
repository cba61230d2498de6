"""Arithmetic that a model wrote."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.text.expressions import evaluate


@pytest.mark.parametrize(
    ("expression", "value", "numbers"),
    [
        ("1+2*3", Fraction(7), [1, 2, 3]),
        (" (1 + 2) * 3 ", Fraction(9), [1, 2, 3]),
        ("1/3 + 1/6", Fraction(1, 2), [1, 3, 1, 6]),
        ("8/4/2", Fraction(1), [8, 4, 2]),
        ("2-3", Fraction(-1), [2, 3]),
        ("-3 + 5", Fraction(2), [3, 5]),
        ("2 * -(1 + 2)", Fraction(-6), [2, 1, 2]),
        ("126", Fraction(126), [126]),
    ],
)
def test_that_values_are_exact_and_numbers_are_listed(expression, value, numbers):
    assert evaluate(expression) == (value, numbers)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "()", "1+", "x", "1.5", "2**3", "7//2", "7%2", "+3", "1,2", "1 2",
        "1/0", "1/(2-2)", "__import__('os')", "(1)(2)", "[1]", "1_0", "0x10", "1e5", "1j", "~1",
        "1<2", "True", "1 if 1 else 2", "lambda: 1", "1;2", "1\n+2", "²", "٣", "1" * 13,
        "1+" * 60 + "1", "9" * 250, "1+1" + " " * 200 + "+1",
        "*".join(["999999999999"] * 5), "(" * 201, "-" * 60 + "1",
    ],
)  # fmt: skip
def test_that_everything_else_is_no_expression(text):
    found = evaluate(text)
    assert found is None


@given(st.text(max_size=300) | st.text(alphabet="0123456789+-*/() ", max_size=300))
def test_that_any_text_is_answered(text):
    found = evaluate(text)
    assert found is None or (isinstance(found[0], Fraction) and found[1])


def test_that_leading_zeros_are_refused_as_python_does():
    assert evaluate("007") is None
    assert evaluate("0") == (Fraction(0), [0])


def test_that_brackets_around_a_number_change_nothing():
    assert evaluate("(" * 90 + "1" + ")" * 90) == (Fraction(1), [1])
