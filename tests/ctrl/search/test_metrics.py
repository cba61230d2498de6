from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from ctrl.checkpoint import load_tree, save_tree
from ctrl.search.episodes import Episodes
from ctrl.search.metrics import SearchMetrics, coverage, uniformity
from reward_models.errors import UserError

SQUARE = [[-1.0, 1.0], [-1.0, 1.0]]


def _episodes(places, areas=None, rewards=None) -> Episodes:
    count = len(places)
    earned = np.zeros(count) if rewards is None else np.array(rewards, dtype=np.float64)
    return Episodes(
        genomes=np.zeros((count, 1)),
        evaluation=np.arange(count, dtype=np.int64),
        reward=-earned,
        task_reward=earned,
        area=np.full(count, -1) if areas is None else np.array(areas, dtype=np.int64),
        length=np.ones(count, dtype=np.int64),
        samples=np.zeros((count, 1, 1)),
        images=None,
        place=np.array(places, dtype=np.float64).reshape(count, 2),
    )


@pytest.fixture
def metrics() -> SearchMetrics:
    return SearchMetrics(bounds=SQUARE, cells=4, areas=3)


@pytest.mark.parametrize(
    ("histogram", "even", "covered"),
    [((4, 0, 0, 0), 0.383238, 0.25), ((2, 2, 0, 0), 0.535499, 0.5), ((3, 3, 3, 3), 1.0, 1.0)],
)
def test_the_numbers_of_four_cells(histogram, even, covered):
    assert uniformity(np.array(histogram)) == pytest.approx(even, abs=1e-6)
    assert coverage(np.array(histogram)) == covered
    assert uniformity(10 * np.array(histogram).reshape(2, 2)) == pytest.approx(even, abs=1e-6)


def test_uniformity_is_one_minus_the_jensen_shannon_distance():
    rng = np.random.default_rng(0)
    for _ in range(10):
        counts = rng.integers(0, 5, 30)
        expected = 1.0 - jensenshannon(counts, np.ones(30))
        assert uniformity(counts) == pytest.approx(expected, abs=1e-9)


def test_nothing_counted_and_nothing_to_count_in():
    assert uniformity(np.zeros(9)) == coverage(np.zeros(9)) == 0.0
    for function in (uniformity, coverage):
        with pytest.raises(UserError, match="at least one cell"):
            function(np.zeros(0))
    for broken in ([-1.0, 2.0], [np.nan, 1.0]):
        with pytest.raises(UserError, match="finite and not negative"):
            uniformity(np.array(broken))


def test_cells_and_their_bounds(metrics):
    metrics.add(_episodes([(-1, -1), (-0.5, -1), (1, 1), (0.99, 0.2), (1e300, 0.2), (0, -2)]))
    found = {tuple(cell): int(metrics.visits[tuple(cell)]) for cell in np.argwhere(metrics.visits)}
    assert found == {(0, 0): 1, (1, 0): 1, (3, 3): 1, (3, 2): 2, (2, 0): 1}


def test_cells_of_a_rectangle_have_equal_chances():
    metrics = SearchMetrics(bounds=[[0, 10], [-3, 5]], cells=7)
    metrics.add(_episodes(np.random.default_rng(0).uniform((0, -3), (10, 5), (49 * 200, 2))))
    assert stats.chisquare(metrics.visits.ravel()).pvalue > 1e-3


def test_what_a_search_found(metrics):
    metrics.add(_episodes([(0.9, 0.9), (0.9, 0.9), (-0.9, 0)], [2, 2, -1], [0.4, 0.7, 0.0]))
    metrics.add(_episodes([(0.1, 0.1)], [0], [0.2]))
    assert metrics.coverage == 3 / 16
    assert metrics.uniformity == uniformity(np.array([2, 1, 1] + 13 * [0]))
    assert metrics.mean_best == pytest.approx((0.2 + 0.0 + 0.7) / 3)
    assert metrics.solutions.tolist() == [1, 0, 2]
    assert metrics.best.tolist() == [0.2, 0.0, 0.7]
    assert metrics.best_reward[3, 3] == 0.7
    assert metrics.best_reward.sum() == pytest.approx(0.9)


def test_what_archives_cover_alone(metrics):
    metrics.add(_episodes([(0.1, 0.1), (0.9, 0.9), (-0.9, 0)]))
    archives = [_episodes([(0.9, 0.9), (0.9, 0.9)]), _episodes([]), _episodes([(0.1, 0.1)])]
    assert metrics.coverage_of(archives) == 2 / 16
    assert metrics.coverage_of([]) == 0.0


def test_the_first_reward_of_a_cell_may_be_negative(metrics):
    metrics.add(_episodes([(0.1, 0.1)], rewards=[-3.0]))
    assert metrics.best_reward.min() == -3.0
    metrics.add(_episodes([(0.1, 0.1)], rewards=[-1.0]))
    assert metrics.best_reward.min() == -1.0


def test_batches_do_not_matter(metrics):
    rng = np.random.default_rng(1)
    whole = _episodes(rng.uniform(-1, 1, (50, 2)), rng.integers(-1, 3, 50), rng.random(50))
    metrics.add(whole)
    parts = SearchMetrics(bounds=SQUARE, cells=4, areas=3)
    for start in range(0, 56, 7):
        parts.add(whole[slice(start, start + 7)])
    for name, counted in metrics.state_dict().items():
        assert (parts.state_dict()[name] == counted).all()


def test_what_cannot_be_counted_is_refused(metrics):
    empty = SearchMetrics(bounds=SQUARE, areas=0)
    empty.add(_episodes([(0, 0)]))
    assert empty.mean_best == 0.0
    with pytest.raises(UserError, match="area 1 of a world with 0 areas; set areas: 2"):
        empty.add(_episodes([(0, 0)], [1], [0.5]))
    with pytest.raises(UserError, match="a place that is NaN or infinite"):
        metrics.add(_episodes([(0, np.nan)]))
    assert (empty.visits.sum(), metrics.visits.sum()) == (1, 0)


def test_state_goes_through_a_checkpoint(metrics, tmp_path):
    metrics.add(_episodes([(0.9, 0.9), (0, 0)], [1, -1], [0.4, 0.0]))
    save_tree(metrics.state_dict(), tmp_path)
    again = SearchMetrics(bounds=SQUARE, cells=4, areas=3)
    again.load_state_dict(load_tree(tmp_path))
    assert (again.coverage, again.mean_best) == (metrics.coverage, metrics.mean_best)
    kept = metrics.state_dict()
    metrics.add(_episodes([(0.5, -0.5)]))
    assert kept["visits"].sum() == again.visits.sum() == 2
    other = SearchMetrics(bounds=SQUARE, cells=4, areas=2)
    with pytest.raises(UserError, match="other cells or areas"):
        other.load_state_dict(kept)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bounds": [[0, 1], [0, 0]]}, "the lower one first"),
        ({"bounds": [[0, 1], [0, np.inf]]}, "bounds must be finite"),
        ({"bounds": [[0], [1]]}, r"got shape \[2, 1\]"),
        ({"bounds": SQUARE, "cells": 0}, "Expected cells >= 1"),
        ({"bounds": SQUARE, "areas": -1}, "areas >= 0"),
    ],
)
def test_grids_that_hold_nothing_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        SearchMetrics(**options)
