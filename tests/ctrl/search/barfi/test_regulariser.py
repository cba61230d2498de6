from __future__ import annotations

import math

import pytest
import torch
from gymnasium import spaces

from ctrl.search.barfi.discount import LearnedDiscount
from ctrl.search.barfi.regulariser import Regulariser
from reward_models.blend import BlendCoefficients, make_features
from reward_models.errors import UnknownNameError, UserError


def _coefficients(start):
    return BlendCoefficients(make_features(None, spaces.Discrete(4)), auxiliary=1, start=start)


@pytest.mark.parametrize(
    ("anchor", "start", "expected"),
    [
        ("primary", [0.0, 1.0, 0.0], 0.0),
        ("primary", [0.0, 1.0, 1.0], 2.0),
        ("primary", [0.0, 3.0, 0.5], 4.0 + 1.0),
        ("zero", [0.0, 1.0, 1.0], 4.0),
    ],
)
def test_sum_of_norms(anchor, start, expected):
    penalty = Regulariser(reward_penalty=0.5, anchor=anchor)(
        _coefficients(start), LearnedDiscount()
    )
    assert penalty.item() == pytest.approx(0.5 * expected)


def test_no_pull_at_the_anchor_and_a_pull_toward_it_elsewhere():
    coefficients = _coefficients([0.0, 1.0, 1.0])
    Regulariser(reward_penalty=1.0)(coefficients, LearnedDiscount()).backward()
    gradient = coefficients.weight.grad
    assert not bool(gradient[:2].any())
    torch.testing.assert_close(gradient[2], torch.full((4,), 0.5, dtype=torch.float64))


def test_discount_penalty_acts_on_the_discount_alone():
    coefficients, discount = (
        _coefficients([0.0, 1.0, 1.0]),
        LearnedDiscount(1 / (1 + math.exp(-4.6))),
    )
    Regulariser(discount_penalty=1.0)(coefficients, discount).backward()
    assert discount.logit.grad.item() == pytest.approx(0.009853, abs=1e-6)
    assert not bool(coefficients.weight.grad.any())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"reward_penalty": -1.0}, UserError),
        ({"discount_penalty": math.inf}, UserError),
        ({"anchor": "primry"}, UnknownNameError),
    ],
)
def test_numbers_out_of_range_are_refused(options, error):
    with pytest.raises(error):
        Regulariser(**options)
