from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.blend.features import (
    FourierFeatures,
    OneHotFeatures,
    TileFeatures,
    VectorFeatures,
    make_features,
)
from reward_models.errors import UnknownNameError, UserError

SQUARE = spaces.Box(np.array([-1.0, 0.0]), np.array([1.0, 4.0]), dtype=np.float64)


def test_one_hot_counts_from_the_start():
    found = OneHotFeatures(space=spaces.Discrete(3, start=-1))(torch.tensor([[-1, 1], [0, 0]]))
    assert found.dtype == torch.float64
    assert found.tolist() == [[[1, 0, 0], [0, 0, 1]], [[0, 1, 0], [0, 1, 0]]]


def test_vectors_are_scaled_by_finite_bounds():
    found = VectorFeatures(space=SQUARE)(torch.tensor([[0.5, 1.0], [-1.0, 4.0]]))
    assert found.tolist() == [[0.5, -0.5], [-1.0, 1.0]]
    unbounded = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    values = torch.tensor([[3.0, -7.0]])
    assert VectorFeatures(space=unbounded)(values).tolist() == values.tolist()
    assert VectorFeatures(space=unbounded, bounds=[[0, 4], [-8, 0]])(values).tolist() == [
        [0.5, -0.75]
    ]


def test_fourier_basis_is_the_formula():
    features = FourierFeatures(space=SQUARE, order=2)
    assert features.size == 9
    x = (0.75, 0.25)
    found = features(torch.tensor([[0.5, 1.0]]))[0].tolist()
    expected = [
        math.cos(math.pi * (a * x[0] + b * x[1])) for a, b in itertools.product(range(3), repeat=2)
    ]
    assert found == pytest.approx(expected)
    far = features(torch.tensor([[9.0, -9.0], [1.0, 0.0]]))
    assert torch.equal(far[0], far[1])


def test_tiles_are_one_cell_of_each_grid():
    features = TileFeatures(space=SQUARE, tiles=4, tilings=5)
    assert features.size == 5 * 25
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(200, 2, generator=generator) * torch.tensor([2.0, 4.0])
    points = points + torch.tensor([-1.0, 0.0])
    found = features(points)
    torch.testing.assert_close(
        found.unflatten(1, (5, 25)).sum(-1), torch.full((200, 5), 0.2).double()
    )
    assert int((found > 0).sum()) == 1000
    # The grids are shifted against each other: a move of a fifth of a tile leaves one cell.
    near = features(torch.tensor([[-0.975, 0.0], [-0.975 + 0.1, 0.0], [0.025, 0.0]]))
    assert float((near[0] * near[1]).sum()) == pytest.approx(4 * 0.04)
    assert float((near[0] * near[2]).sum()) == 0.0
    edge = features(torch.tensor([[1.0, 4.0], [50.0, 50.0]]))
    assert torch.equal(edge[0], edge[1])


def test_images_are_flattened():
    space = spaces.Box(0.0, 1.0, (2, 3), np.float32)
    assert VectorFeatures(space=space)(torch.zeros(4, 5, 2, 3)).shape == (4, 5, 6)


def test_a_name_is_chosen_by_the_space():
    assert isinstance(make_features(None, spaces.Discrete(2)), OneHotFeatures)
    assert isinstance(make_features(None, SQUARE), VectorFeatures)
    assert isinstance(make_features("tiles", SQUARE, {"tiles": 2}), TileFeatures)


@pytest.mark.parametrize(
    ("name", "space", "options", "error", "message"),
    [
        ("tile", SQUARE, {}, UnknownNameError, "Did you mean 'tiles'"),
        ("one_hot", SQUARE, {}, UserError, "reads a Discrete"),
        ("fourier", spaces.Discrete(3), {}, UserError, "reads a Box"),
        ("fourier", spaces.Box(-np.inf, np.inf, (2,)), {}, UserError, "finite bounds"),
        ("tiles", SQUARE, {"bounds": [[0, 1]]}, UserError, "2 pairs"),
        ("tiles", SQUARE, {"bounds": [[0, 1], [1, 0]]}, UserError, "low < high"),
        ("tiles", SQUARE, {"tiles": 0}, UserError, "at least 1"),
        ("fourier", SQUARE, {"order": 0}, UserError, "at least 1"),
        ("fourier", SQUARE, {"degree": 2}, UserError, "cannot be built"),
        ("fourier", spaces.Box(0.0, 1.0, (20,)), {"order": 3}, UserError, "100000"),
    ],
)
def test_what_cannot_work_is_refused(name, space, options, error, message):
    with pytest.raises(error, match=message):
        make_features(name, space, options)
