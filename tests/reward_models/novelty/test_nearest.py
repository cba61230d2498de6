from __future__ import annotations

import numpy as np
import pytest

from reward_models.errors import UserError
from reward_models.novelty.nearest import novelty

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [3.0, 4.0]])


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, 3))


def test_the_numbers_of_four_points():
    found = novelty(SQUARE, SQUARE, k=2)
    np.testing.assert_allclose(found, [1.0, 1.207107, 1.207107, 4.357388], atol=1e-6)


def test_of_a_duplicate_one_is_dropped():
    references = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    assert novelty(np.zeros((1, 2)), references, k=2).tolist() == [0.5]


def test_fewer_references_than_neighbours():
    point = np.zeros((1, 2))
    assert novelty(point, SQUARE[:3], k=15).tolist() == [1.0]
    assert novelty(point, SQUARE[:1], k=15).tolist() == [0.0]
    assert novelty(point, SQUARE[:0], k=15).tolist() == [0.0]
    assert novelty(point, SQUARE[1:2], k=15, drop_nearest=False).tolist() == [1.0]
    assert novelty(SQUARE[:0], SQUARE).shape == (0,)


@pytest.mark.parametrize("drop", [True, False])
@pytest.mark.parametrize("k", [1, 4, 100])
def test_as_defined(points, k, drop):
    references = np.concatenate([points, np.random.default_rng(1).normal(size=(9, 3))])
    distances = np.sqrt(np.square(points[:, None] - references).sum(-1))
    expected = np.sort(distances, 1)[:, int(drop) :][:, :k].mean(1)
    found = novelty(points, references, k, drop_nearest=drop)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_order_place_and_unit_of_length(points):
    rng = np.random.default_rng(2)
    found = novelty(points, points)
    np.testing.assert_allclose(novelty(points, rng.permutation(points)), found, rtol=1e-12)
    np.testing.assert_allclose(novelty(points + 7.0, points + 7.0), found, rtol=1e-9)
    np.testing.assert_allclose(novelty(3.0 * points, 3.0 * points), 3.0 * found, rtol=1e-12)


@pytest.mark.parametrize(
    ("points", "references", "k", "message"),
    [
        (SQUARE, SQUARE, 0, "at least k = 1"),
        (SQUARE, np.zeros((3, 4)), 1, "points with 2 numbers and references with 4"),
        (SQUARE[0], SQUARE, 1, r"points must be descriptors \[n, b\]"),
        (SQUARE, np.zeros((3, 0)), 1, r"references must be descriptors \[n, b\]"),
        (np.full((2, 2), np.nan), SQUARE, 1, "points must be finite, got 2 of 2"),
        (SQUARE, np.array([[0.0, np.inf], [0.0, 0.0]]), 1, "references must be finite, got 1 of 2"),
    ],
)
def test_what_cannot_be_compared_is_refused(points, references, k, message):
    with pytest.raises(UserError, match=message):
        novelty(points, references, k)
