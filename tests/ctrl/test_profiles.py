"""Statistics over runs and tasks against rliable, the reference of the paper they come from.

The numbers were printed by rliable 1.2.0 with pandas 2.3.3 (with pandas 3 it cannot be imported),
from the same scores, with 20,000 resamples for the interval and 4000 for the profile.
"""

import numpy as np
import pytest

from ctrl.profiles import performance_profile, steps_to_reach
from ctrl.statistics import (
    bootstrap_interval,
    interquartile_mean,
    probability_of_improvement,
)
from reward_models.errors import UserError

IQM = (0.808244332617017, 1.120565380376044)
IMPROVEMENT = 0.628
INTERVAL = (0.6592235944526916, 0.9813814777839693)
SHARES = (1.0, 0.7, 0.38, 0.16, 0.1, 0.04, 0.0, 0.0, 0.0)
LOW = (1.0, 0.5795, 0.26, 0.08, 0.04, 0.0, 0.0, 0.0, 0.0)
HIGH = (1.0, 0.82, 0.52, 0.26, 0.18, 0.1, 0.0, 0.0, 0.0)


@pytest.fixture
def scores():
    """Return two methods: 10 runs of each of 5 tasks."""
    random = np.random.default_rng(0)
    return random.gamma(2.0, 0.5, (10, 5)), random.gamma(2.5, 0.5, (10, 5))


def test_interquartile_means_and_improvement_are_those_of_rliable(scores):
    assert [interquartile_mean(x) for x in scores] == pytest.approx(IQM)
    assert probability_of_improvement(scores[1], scores[0]) == pytest.approx(IMPROVEMENT)


def test_stratified_intervals_are_those_of_rliable_up_to_the_draws(scores):
    interval = bootstrap_interval(scores[0], resamples=20_000)
    assert (interval.low, interval.high) == pytest.approx(INTERVAL, abs=0.01)


def test_profiles_are_those_of_rliable_up_to_the_draws(scores):
    share, low, high = performance_profile(scores[0], np.linspace(0.0, 4.0, 9), resamples=4000)
    np.testing.assert_allclose(share, SHARES)
    # Shares are multiples of 1/50, so an interval may end one step beside rliable's.
    np.testing.assert_allclose(low, LOW, atol=0.021)
    np.testing.assert_allclose(high, HIGH, atol=0.021)


def test_a_profile_by_hand():
    share, low, high = performance_profile([0.0, 1.0, 2.0, 3.0], [-1.0, 0.0, 1.5, 3.0])
    assert share.tolist() == [1.0, 0.75, 0.5, 0.0]
    assert (low[0], high[0]) == (1.0, 1.0)
    assert low[2] < 0.5 < high[2]
    alone = performance_profile([2.0], [1.0])
    assert [part.tolist() for part in alone] == [[1.0]] * 3


def test_the_first_step_at_a_score_is_found_between_points():
    curves = [[0.0, 1.0, 3.0], [2.0, 0.0, 0.0], [0.0, 0.5, 0.9]]
    found = steps_to_reach([0, 100, 200], curves, 2.0)
    assert found.tolist() == [150.0, 0.0, np.inf]


@pytest.mark.parametrize(
    ("steps", "curves", "message"),
    [
        ([0, 0], [[1.0, 2.0]], "must increase"),
        ([0, 1, 2], [[1.0, 2.0]], "shapes"),
        ([0, 1], [[1.0, float("nan")]], "is nan"),
    ],
)
def test_curves_that_cannot_be_read_are_refused(steps, curves, message):
    with pytest.raises(UserError, match=message):
        steps_to_reach(steps, curves, 1.0)
