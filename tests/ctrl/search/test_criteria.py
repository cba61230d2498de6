from __future__ import annotations

import numpy as np
import pytest

from ctrl.search.criteria import drawn_criterion, ranking

NOVELTY = np.array([0.3, 0.1, 0.9, 0.9, 0.2])
SURPRISE = np.array([0.5, 0.9, 0.1, 0.1, 0.2])


@pytest.mark.parametrize(
    ("criterion", "expected"), [("novelty", [2, 3, 0, 4, 1]), ("surprise", [1, 0, 4, 2, 3])]
)
def test_the_largest_come_first_and_of_equals_the_first(criterion, expected):
    random = np.random.default_rng(0)
    assert ranking(criterion, NOVELTY, SURPRISE, random).tolist() == expected


def test_fronts_come_one_after_the_other_each_in_random_order():
    # 4 is dominated by 0 alone; the others are dominated by nobody.
    random = np.random.default_rng(0)
    orders = [ranking("pareto", NOVELTY, SURPRISE, random).tolist() for _ in range(20)]
    assert all(sorted(order[:4]) == [0, 1, 2, 3] and order[4] == 4 for order in orders)
    assert len({tuple(order) for order in orders}) > 5


def test_only_the_random_criterion_is_drawn():
    random = np.random.default_rng(0)
    state = random.bit_generator.state
    assert [drawn_criterion(name, random) for name in ("novelty", "surprise", "pareto")] == [
        "novelty", "surprise", "pareto",
    ]  # fmt: skip
    assert random.bit_generator.state == state
    assert {drawn_criterion("random", random) for _ in range(20)} == {"novelty", "surprise"}
