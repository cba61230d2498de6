"""Oracles: scipy, numbers worked out by hand, and the coverage that an interval promises."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from ctrl.statistics import (
    Interval,
    bootstrap_band,
    bootstrap_interval,
    interquartile_mean,
    paired_test,
    probability_of_improvement,
    welch_test,
)
from reward_models.errors import UserError


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 10, 33])
def test_interquartile_mean_is_the_trimmed_mean_of_scipy(count):
    x = np.random.default_rng(count).normal(size=(count, 6))
    np.testing.assert_allclose(interquartile_mean(x, axis=0), stats.trim_mean(x, 0.25, axis=0))
    np.testing.assert_allclose(interquartile_mean(x.T, axis=1), stats.trim_mean(x, 0.25, axis=0))
    np.testing.assert_allclose(interquartile_mean(x), stats.trim_mean(x, 0.25, axis=None))


def test_interquartile_mean_ignores_one_outlier_among_five():
    assert interquartile_mean([1.0, 2.0, 3.0, 4.0, 1e9]) == pytest.approx(3.0)


def test_the_interval_of_two_values_has_their_ends():
    # A resample is {0,0}, {0,1}, {1,0} or {1,1}; the extreme ones have probability 1/4 each.
    interval = bootstrap_interval([0.0, 1.0], np.mean)
    assert interval == Interval(point=0.5, low=0.0, high=1.0, n=2)
    quarter = bootstrap_interval([0.0, 1.0], np.mean, level=0.2)
    assert (quarter.low, quarter.high) == (0.5, 0.5)


def test_bootstrap_agrees_with_scipy():
    x = np.random.default_rng(3).exponential(size=30)
    ours = bootstrap_interval(x, np.mean, resamples=20_000)
    theirs = stats.bootstrap(
        (x,), np.mean, n_resamples=20_000, method="percentile", random_state=1
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.high, abs=0.01)


def test_bootstrap_depends_on_its_seed_alone():
    x = np.random.default_rng(0).normal(size=10)
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert bootstrap_interval(x, seed=4) == bootstrap_interval(x, seed=4)
    assert bootstrap_interval(x, seed=4) != bootstrap_interval(x, seed=5)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_a_95_percent_interval_covers_the_mean_about_as_often():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(300):
        interval = bootstrap_interval(rng.normal(size=30), np.mean, resamples=400, seed=trial)
        hits += interval.low <= 0 <= interval.high
    assert 0.90 <= hits / 300 <= 0.98


def test_stratified_resampling_keeps_the_tasks_apart():
    # Within each task all runs agree: resampling within tasks cannot change anything.
    x = np.tile([0.0, 100.0, 1000.0], (5, 1))
    interval = bootstrap_interval(x, np.mean)
    assert interval.low == interval.high == pytest.approx(1100 / 3)
    assert interval.n == 5


def test_stratified_resampling_draws_each_task_independently():
    x = np.array([[0.0, 0.0], [1.0, 1.0]])
    # Rows kept whole would give 0 and 1 with probability 1/4; independent tasks only 1/16.
    interval = bootstrap_interval(x, np.mean, level=0.8)
    assert (interval.low, interval.high) == (0.25, 0.75)


def test_one_seed_has_its_point_as_interval():
    interval = bootstrap_interval([3.5])
    assert (interval.point, interval.low, interval.high, interval.n) == (3.5, 3.5, 3.5, 1)
    assert "n=1" in str(interval)
    assert bootstrap_interval([[1.0, 2.0]]).n == 1
    point, low, high = bootstrap_band([[1.0, 2.0, 3.0]])
    assert point.tolist() == low.tolist() == high.tolist() == [1.0, 2.0, 3.0]


def test_constants_have_an_interval_without_width():
    assert bootstrap_interval([2.0] * 6) == Interval(2.0, 2.0, 2.0, 6)


def test_the_band_resamples_whole_runs_at_every_point():
    x = np.random.default_rng(1).normal(size=(6, 40)).cumsum(axis=1)
    point, low, high = bootstrap_band(x, level=0.9, resamples=500, seed=2)
    assert (low <= point).all()
    assert (point <= high).all()
    # The same draws for every point: each column equals a bootstrap of its own.
    picks = np.random.default_rng(2).integers(6, size=(500, 6))
    column = interquartile_mean(x[:, 17][picks], axis=1)
    np.testing.assert_allclose([low[17], high[17]], np.quantile(column, [0.05, 0.95]))


def test_the_band_is_the_same_in_blocks():
    x = np.random.default_rng(1).normal(size=(4, 3000))
    whole = bootstrap_band(x, resamples=300)
    part = bootstrap_band(x[:, :7], resamples=300)
    for full, piece in zip(whole, part, strict=True):
        np.testing.assert_allclose(full[:7], piece)


def test_probability_of_improvement_counts_ties_as_half():
    # Pairs of [1, 2, 3] with [2, 2]: 1 < 2 twice, 2 = 2 twice, 3 > 2 twice.
    assert probability_of_improvement([1, 2, 3], [2, 2]) == 0.5
    assert probability_of_improvement([5, 6], [1, 2, 3]) == 1.0
    assert probability_of_improvement([4, 4], [4]) == 0.5


def test_probability_of_improvement_is_the_mann_whitney_statistic():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 9, 12).astype(float), rng.integers(2, 12, 9).astype(float)
    expected = stats.mannwhitneyu(x, y).statistic / (12 * 9)
    assert probability_of_improvement(x, y) == pytest.approx(expected)
    assert probability_of_improvement(y, x) == pytest.approx(1 - expected)


def test_probability_of_improvement_over_tasks_is_their_mean():
    x, y = np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([[0.0, 5.0]])
    assert probability_of_improvement(x, y) == 0.5


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_welch_agrees_with_scipy(alternative):
    rng = np.random.default_rng(0)
    a, b = rng.normal(1.0, 1.0, 7), rng.normal(0.0, 3.0, 5)
    found = welch_test(a, b, alternative=alternative)
    theirs = stats.ttest_ind(a, b, equal_var=False, alternative=alternative)
    assert found.p_value == pytest.approx(theirs.pvalue)
    assert found.test == "Welch t"
    ends = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx((ends.low, ends.high))
    pooled = math.sqrt((6 * a.var(ddof=1) + 4 * b.var(ddof=1)) / 10)
    assert found.effect == pytest.approx((a.mean() - b.mean()) / pooled)
    assert found.improvement == probability_of_improvement(a, b)


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_paired_agrees_with_scipy(alternative):
    rng = np.random.default_rng(1)
    a = rng.normal(size=8)
    b = a - 0.3 + 0.2 * rng.normal(size=8)
    found = paired_test(a, b, alternative=alternative)
    theirs = stats.ttest_rel(a, b, alternative=alternative)
    assert found.p_value == pytest.approx(theirs.pvalue)
    ends = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx((ends.low, ends.high))
    assert found.effect == pytest.approx((a - b).mean() / (a - b).std(ddof=1))


def test_one_constant_side_still_has_a_t_test():
    a, b = np.array([0.7, 0.9, 1.0, 0.8]), np.zeros(4)
    found = welch_test(a, b)
    t = a.mean() / (a.std(ddof=1) / 2)
    assert found.p_value == pytest.approx(stats.t.sf(t, 3))


def test_without_any_spread_the_p_value_is_that_of_all_permutations():
    found = welch_test([1.0] * 5, [0.0] * 5)
    assert found.test == "permutation"
    assert found.p_value == pytest.approx(1 / math.comb(10, 5))
    assert found.effect == math.inf
    assert welch_test([1.0] * 5, [0.0] * 5, alternative="less").p_value == 1.0
    paired = paired_test([1.0] * 4, [0.5] * 4)
    signs = [sum(flips) for flips in itertools.product((0.5, -0.5), repeat=4)]
    assert paired.p_value == np.mean(np.array(signs) >= 2.0)


def test_equal_constants_are_no_improvement():
    for found in (welch_test([1.0, 1.0], [1.0, 1.0]), paired_test([0.1, 0.3], [0.1, 0.3])):
        assert (found.p_value, found.effect, found.improvement) == (1.0, 0.0, 0.5)
        assert found.difference.point == 0.0


def test_rounding_is_not_taken_for_spread():
    a = np.array([0.1, 0.2, 0.7]) + 0.3
    assert paired_test(a, a - 0.1).test == "permutation"


def test_a_test_of_size_5_percent_rejects_equal_methods_about_as_often():
    rng = np.random.default_rng(0)
    rejected = [welch_test(*rng.normal(size=(2, 5))).p_value < 0.05 for _ in range(1000)]
    assert 0.03 <= np.mean(rejected) <= 0.07


@pytest.mark.parametrize(
    "function", [interquartile_mean, bootstrap_interval, lambda x: bootstrap_band([x])]
)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused_by_place(function, bad):
    with pytest.raises(UserError, match=rf"index .*1\)? is {bad}"):
        function([1.0, bad, 3.0])


def test_wrong_arguments_are_refused():
    with pytest.raises(UserError, match="at least one value"):
        bootstrap_interval([])
    with pytest.raises(UserError, match=r"0\.95"):
        bootstrap_interval([1.0, 2.0], level=95.0)
    with pytest.raises(UserError, match="resamples"):
        bootstrap_interval([1.0, 2.0], resamples=0)
    with pytest.raises(UserError, match=r"\[runs, tasks\]"):
        bootstrap_interval(np.zeros((2, 2, 2)))
    with pytest.raises(UserError, match=r"\[runs, points\]"):
        bootstrap_band([1.0, 2.0])
    with pytest.raises(UserError, match="same tasks"):
        probability_of_improvement(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(UserError, match="at least two seeds"):
        welch_test([1.0], [1.0, 2.0])
    with pytest.raises(UserError, match="welch_test"):
        paired_test([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(UserError, match="'greater'"):
        welch_test([1.0, 2.0], [1.0, 3.0], alternative="bigger")
