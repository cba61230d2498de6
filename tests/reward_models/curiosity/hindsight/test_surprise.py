from __future__ import annotations

import pytest
import torch

from reward_models.curiosity.hindsight.surprise import SurpriseNormalizer
from reward_models.errors import UserError


def test_moving_averages_of_two_batches():
    normalizer = SurpriseNormalizer(decay=0.99)
    first, second = torch.tensor([1.0, 3.0]), torch.tensor([2.0, 6.0])
    # The batch is part of the averages that it is divided by, before update says so.
    torch.testing.assert_close(normalizer(first), torch.tensor([0.0, 1.0]))
    normalizer.update(first)
    assert normalizer.mean == pytest.approx(2.0)
    assert normalizer.deviation == pytest.approx(1.0)
    torch.testing.assert_close(normalizer(second), torch.tensor([0.0, 1.599166]), rtol=0, atol=1e-6)
    normalizer.update(second)
    assert normalizer.mean == pytest.approx(3.005025, abs=1e-6)
    assert normalizer.deviation == pytest.approx(1.872835, abs=1e-6)


def test_rewarding_changes_nothing():
    normalizer = SurpriseNormalizer()
    normalizer.update(torch.tensor([1.0, 3.0]))
    before = {name: value.clone() for name, value in normalizer.state_dict().items()}
    normalizer(torch.tensor([5.0, 7.0]))
    assert all(torch.equal(value, before[name]) for name, value in normalizer.state_dict().items())


@pytest.mark.parametrize("value", [0.0, 3.0, -2.0])
def test_constant_errors_pay_nothing(value):
    normalizer = SurpriseNormalizer()
    for _ in range(3):
        assert normalizer(torch.full((4,), value)).tolist() == [0.0] * 4
        normalizer.update(torch.full((4,), value))


def test_empty_batches_count_for_nothing():
    normalizer = SurpriseNormalizer()
    normalizer.update(torch.zeros(0))
    assert int(normalizer.batches) == 0
    assert normalizer(torch.zeros(0)).shape == (0,)
    assert (normalizer.mean, normalizer.deviation) == (0.0, 0.0)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_decay_must_lie_below_one(decay):
    with pytest.raises(UserError, match=r"must lie in \[0, 1\)"):
        SurpriseNormalizer(decay=decay)
