from __future__ import annotations

import math

import numpy as np
import pytest

from ctrl.search.serene.schedulers import EXPLOIT, EXPLORE, Alternating, UpperConfidenceBound
from reward_models.errors import UserError


def test_phases_alternate_while_there_are_emitters():
    scheduler = Alternating()
    assert scheduler.next_phase(EXPLORE, 0, 2) == EXPLOIT
    assert scheduler.next_phase(EXPLOIT, 2, 2) == EXPLORE
    assert scheduler.next_phase(EXPLORE, 0, 0) == EXPLORE


def test_the_larger_upper_bound_is_taken():
    scheduler = UpperConfidenceBound()
    scheduler.values, scheduler.counts = np.array([-0.2, 0.5]), np.array([3, 1])
    assert scheduler.bounds() == pytest.approx([0.479778, 1.677410])
    # A phase that leaves as many waiting as before is worth 0: -0.2 becomes -0.15 for exploring.
    assert scheduler.next_phase(EXPLORE, 2, 2) == EXPLOIT
    assert scheduler.values == pytest.approx([-0.15, 0.5])


def test_phases_are_paid_by_how_many_wait():
    scheduler = UpperConfidenceBound()
    scheduler.next_phase(EXPLORE, 0, 2)
    assert scheduler.values == pytest.approx([-math.tanh(2), 0.0])
    scheduler.next_phase(EXPLOIT, 2, 1)
    assert scheduler.values == pytest.approx([-math.tanh(2), -math.tanh(1)])
    scheduler.next_phase(EXPLORE, 1, 1)
    assert scheduler.values == pytest.approx([-math.tanh(2) / 2, -math.tanh(1)])
    assert scheduler.counts.tolist() == [2, 1]


def test_it_explores_until_somebody_waits_and_then_tries_the_other_arm():
    scheduler = UpperConfidenceBound()
    assert [scheduler.next_phase(EXPLORE, 0, 0) for _ in range(3)] == [EXPLORE] * 3
    assert scheduler.counts.tolist() == [3, 0]
    assert scheduler.next_phase(EXPLORE, 0, 1) == EXPLOIT


def test_exploiting_nothing_is_paid_minus_one_and_no_phase():
    scheduler = UpperConfidenceBound()
    scheduler.next_phase(EXPLORE, 0, 3)
    assert scheduler.next_phase(EXPLOIT, 3, 0) == EXPLORE
    counts = scheduler.counts.copy()
    while scheduler.counts[1] == counts[1]:
        assert scheduler.next_phase(EXPLORE, 0, 0) == EXPLORE
    assert -1 <= scheduler.values[1] < -math.tanh(3)


def test_it_goes_on_from_its_state():
    scheduler, other = UpperConfidenceBound(c=0.5), UpperConfidenceBound(c=0.5)
    for after in (0, 2, 1, 3):
        scheduler.next_phase(EXPLORE, 0, after)
    other.load_state_dict(scheduler.state_dict())
    for before, after in ((1, 0), (0, 0), (0, 2)):
        assert other.next_phase(EXPLORE, before, after) == scheduler.next_phase(
            EXPLORE, before, after
        )
    assert (other.values == scheduler.values).all()


def test_the_weight_of_uncertainty_is_positive():
    with pytest.raises(UserError, match="c must be a finite number above 0"):
        UpperConfidenceBound(c=0.0)
