from __future__ import annotations

import numpy as np

from ctrl.search.pareto import first_front, front_numbers


def test_the_first_front_of_four_is_what_is_not_dominated():
    values = np.array([(1, 3), (2, 2), (3, 1), (0.5, 0.5)])
    assert first_front(values).tolist() == [0, 1, 2]
    assert front_numbers(values).tolist() == [0, 0, 0, 1]


def test_fronts_are_those_of_peeling_one_by_one():
    values = np.random.default_rng(0).integers(0, 6, (40, 2)).astype(float)
    expected, left, front = np.full(40, -1), set(range(40)), 0
    while left:
        best = [
            i
            for i in left
            if not any(
                (values[j] >= values[i]).all() and (values[j] > values[i]).any() for j in left
            )
        ]
        expected[best] = front
        left -= set(best)
        front += 1
    assert front > 3
    assert (front_numbers(values) == expected).all()


def test_equals_share_a_front_and_nobody_has_none():
    assert front_numbers(np.ones((3, 2))).tolist() == [0, 0, 0]
    assert first_front(np.empty((0, 2))).tolist() == []
