from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from tensordict import TensorDict

from reward_models.curiosity.episodic.state_code import StateCode
from reward_models.errors import UserError

UNIT = spaces.Box(-1, 1, (2,), np.float32)


@pytest.mark.parametrize(
    ("space", "rows"),
    [
        (spaces.Discrete(9, start=-2), torch.arange(-2, 7)),
        (spaces.Box(0, 255, (1, 2, 3), np.uint8), torch.eye(6).to(torch.uint8).view(6, 1, 2, 3)),
        (spaces.Box(-5, 5, (2,), np.int64), torch.tensor([[1, 2], [2, 1], [0, 3], [3, 0]])),
        (spaces.MultiBinary(3), torch.tensor([[1, 0, 0], [0, 1, 0], [1, 1, 0]], dtype=torch.int8)),
    ],
    ids=["discrete", "image", "integers", "bits"],
)  # fmt: skip
def test_whole_numbers_count_as_they_are(space, rows):
    codes = StateCode(space=space)(torch.cat([rows, rows]))
    assert len(codes.unique()) == len(rows)
    assert torch.equal(codes[: len(rows)], codes[len(rows) :])


def test_real_numbers_that_lie_close_together_count_as_one():
    line = torch.linspace(-1, 1, 21)
    cells = torch.cartesian_prod(line, line)
    many = StateCode(space=UNIT, bits=512)
    assert len(many(cells).unique()) > 400
    assert torch.equal(many(cells * (1 + 1e-7)), many(cells))
    few = StateCode(space=UNIT, bits=3)
    assert 3 <= len(few(cells).unique()) <= 8


def test_points_in_the_same_direction_are_told_apart():
    codes = StateCode(space=UNIT)(torch.tensor([[0.1, 0.1], [0.9, 0.9]]))
    assert codes[0] != codes[1]


def test_entries_of_a_dict_count_together_and_each_for_itself():
    space = spaces.Dict(
        {
            "a": spaces.Discrete(5),
            "b": spaces.Discrete(5),
            "c": spaces.Dict({"d": spaces.Discrete(5), "e": UNIT}),
        }
    )
    numbers = torch.cartesian_prod(*[torch.arange(5)] * 3)
    e = torch.zeros(125, 2)
    inputs = TensorDict(
        {"a": numbers[:, 0], "b": numbers[:, 1], "c": {"d": numbers[:, 2], "e": e}}, [125]
    )
    model = StateCode(space=space)
    assert len(model(inputs).unique()) == 125
    assert not bool((model(inputs.replace({("c", "e"): e + 5})) == model(inputs)).any())


def test_projections_come_from_the_seed_and_are_stored():
    points = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    first, other = StateCode(space=UNIT, bits=4), StateCode(space=UNIT, bits=4, seed=1)
    assert torch.equal(first(points), StateCode(space=UNIT, bits=4)(points))
    assert not torch.equal(first(points), other(points))
    other.load_state_dict(first.state_dict())
    assert torch.equal(first(points), other(points))


def test_at_least_one_projection():
    with pytest.raises(UserError, match="hash_bits must be at least 1"):
        StateCode(space=UNIT, bits=0)
