"""Group advantages against the figures of the published estimators."""

import pytest
import torch
from torch.testing import assert_close

from ctrl.objectives.group_advantages import group_advantages, leave_one_out_advantages
from reward_models.errors import UnknownNameError, UserError

ONE = torch.tensor([1.0, 0.0, 0.0, 0.0])
SAME = torch.zeros(4, dtype=torch.long)
PAIRS = torch.tensor([1.0, 0.0, 2.0, 2.0]), torch.tensor([7, 7, -3, -3])


@pytest.mark.parametrize(
    ("epsilon", "best", "rest"), [(1e-6, 1.499997, -0.499999), (1e-4, 1.4997, -0.4999)]
)
def test_grpo(epsilon, best, rest):
    found = group_advantages(ONE, SAME, epsilon=epsilon)
    assert_close(found, torch.tensor([best, rest, rest, rest]), atol=1e-6, rtol=0)


def test_without_deviation():
    found = group_advantages(ONE, SAME, scale="none")
    assert found.tolist() == [0.75, -0.25, -0.25, -0.25]


def test_leave_one_out():
    third = -1 / 3
    assert_close(leave_one_out_advantages(ONE, SAME), torch.tensor([1.0, third, third, third]))


def test_two_groups():
    returns, group = PAIRS
    found = group_advantages(returns, group)
    assert_close(found, torch.tensor([0.707106, -0.707106, 0.0, 0.0]), atol=1e-6, rtol=0)
    assert leave_one_out_advantages(returns, group).tolist() == [1.0, -1.0, 0.0, 0.0]


def test_deviation_of_the_batch():
    returns, group = PAIRS
    found = group_advantages(returns, group, scale="batch", epsilon=0.0)
    expected = torch.tensor([0.5, -0.5, 0.0, 0.0]) / returns.std()
    assert_close(found, expected)


def test_equal_returns_give_exactly_zero():
    # The rounded deviation of seven times 0.1 is no zero; the rule asks for largest and smallest.
    found = group_advantages(torch.full((7,), 0.1), torch.zeros(7, dtype=torch.long))
    assert found.tolist() == [0.0] * 7


@pytest.mark.parametrize("estimate", [group_advantages, leave_one_out_advantages])
def test_invariances(estimate):
    generator = torch.Generator().manual_seed(0)
    returns = torch.rand(24, generator=generator)
    group = torch.randint(5, (24,), generator=generator)
    found = estimate(returns, group)
    for number in range(5):
        assert abs(float(found[group == number].sum())) < 1e-5
    assert_close(estimate(returns + 3.0, group), found, atol=1e-4, rtol=0)
    order = torch.randperm(24, generator=generator)
    assert_close(estimate(returns[order], group[order]), found[order])


def test_scale_of_the_returns_leaves_grpo_alone():
    returns = torch.rand(8, generator=torch.Generator().manual_seed(1))
    group = torch.zeros(8, dtype=torch.long)
    first, second = (group_advantages(c * returns, group, epsilon=0.0) for c in (1.0, 50.0))
    assert_close(first, second)


def test_what_could_not_be_scored_takes_no_part():
    returns = torch.tensor([1.0, torch.nan, 0.0, 0.0, 0.0])
    found = group_advantages(returns, torch.zeros(5, dtype=torch.long))
    assert_close(found[[0, 2, 3, 4]], group_advantages(ONE, SAME))
    assert found[1] == 0.0


def test_lone_sequences_need_a_rule():
    returns, group = torch.tensor([2.0, 1.0, torch.nan]), torch.tensor([0, 1, 1])
    with pytest.raises(UserError, match="2 of 3 sequences are alone"):
        group_advantages(returns, group)
    assert group_advantages(returns, group, singleton="zero").tolist() == [0.0, 0.0, 0.0]
    for scale in ("group", "none", "batch"):
        found = group_advantages(returns, group, singleton="raw", scale=scale)
        assert found.tolist() == [2.0, 1.0, 0.0]
    assert leave_one_out_advantages(returns, group).tolist() == [0.0, 0.0, 0.0]


def test_mistakes_are_named():
    with pytest.raises(UnknownNameError, match="group"):
        group_advantages(ONE, SAME, scale="gruop")
    with pytest.raises(UnknownNameError, match="zero"):
        group_advantages(ONE, SAME, singleton="zeros")
    with pytest.raises(UserError, match=r"one shape \[B\]"):
        group_advantages(ONE, SAME[:3])
    with pytest.raises(UserError, match="infinity"):
        group_advantages(torch.tensor([1.0, torch.inf]), SAME[:2])
