from __future__ import annotations

import numpy as np
import pytest

from ctrl.search.evaluation.readings import Reading, default_observed, default_place
from reward_models.errors import UnknownNameError, UserError

SEEN = np.arange(6.0).reshape(2, 3)
QUANTITIES = {"x": np.array([7, 8]), "grid": np.arange(8).reshape(2, 2, 2)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("observation", [[0, 1, 2], [3, 4, 5]]),
        ("observation[2,0]", [[2, 0], [5, 3]]),
        ("x", [[7], [8]]),
        ("x, observation[1]", [[7, 1], [8, 4]]),
        ("grid[3],x", [[3, 7], [7, 8]]),
    ],
)
def test_names_and_indices_are_put_side_by_side(text, expected):
    found = Reading.parse(text).read(SEEN, QUANTITIES)
    assert found.dtype == np.float64
    assert found.tolist() == expected


def test_what_is_read_is_a_copy():
    seen = SEEN.copy()
    found = Reading.parse("observation").read(seen, {})
    seen[:] = -1
    assert found.tolist() == SEEN.tolist()


@pytest.mark.parametrize("text", ["", "x[", "x[a]", "x y", "[0]", "x,,y", "x[]", "x,", "x[0,]"])
def test_other_texts_are_refused(text):
    with pytest.raises(UserError, match="Expected names with indices"):
        Reading.parse(text)


def test_names_and_indices_that_are_not_there_are_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'grid'"):
        Reading.parse("gird").read(SEEN, QUANTITIES)
    with pytest.raises(UserError, match="has 3 entries, there is no index 3"):
        Reading.parse("observation[3]").read(SEEN, QUANTITIES)
    with pytest.raises(UnknownNameError, match=r"'gaol'.*Did you mean 'goal'"):
        Reading.parse("gaol").read({"goal": SEEN}, {})


@pytest.mark.parametrize(
    ("observation", "quantities", "place", "observed"),
    [
        (SEEN, {"position": SEEN}, "position[0,1]", "position"),
        (SEEN, {"x_position": SEEN[:, 0], "y_position": SEEN[:, 1]}, "x_position,y_position",
         "x_position,y_position"),
        ({"blstats": SEEN}, {"x": SEEN[:, 0], "y": SEEN[:, 1]}, "x,y", "x,y"),
        ({"achieved_goal": SEEN}, {}, "achieved_goal[0,1]", "achieved_goal[0,1]"),
        (SEEN, {"x_position": SEEN[:, 0]}, "observation[0,1]", "observation"),
    ],
)  # fmt: skip
def test_defaults(observation, quantities, place, observed):
    found = default_place(observation, quantities)
    assert found.text == place
    assert default_observed(observation, quantities, found).text == observed


def test_without_two_numbers_to_go_by_the_cure_is_named():
    with pytest.raises(UserError, match=r"Name two numbers as the place; there are observation\."):
        default_place(SEEN[:, :1], {})
