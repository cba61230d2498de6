from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.curiosity.counting.symbols import (
    DiscreteReader,
    GridReader,
    VectorReader,
    symbol_readers,
)
from reward_models.errors import UserError


def _image(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


def test_brightness_in_equal_steps():
    reader = GridReader(space=_image(1, 2, 4), levels=8)
    image = torch.tensor([[[[0, 31, 32, 63], [64, 128, 254, 255]]]], dtype=torch.uint8)
    assert reader(image)[0].tolist() == [[0, 0, 1, 1, 2, 4, 7, 7]]


def test_channels_are_averaged_wherever_they_are():
    first, last = _image(3, 4, 4), _image(4, 4, 3)
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (5, 3, 4, 4), generator=generator).to(torch.uint8)
    expected = (image.double().mean(1) * 8 / 255.0001).floor().long().flatten(1)
    assert torch.equal(GridReader(space=first, levels=8)(image)[0], expected)
    assert torch.equal(GridReader(space=last, levels=8)(image.permute(0, 2, 3, 1))[0], expected)


def test_context_is_left_above_and_corner():
    reader = GridReader(space=spaces.Box(0, 7, (2, 3), np.int64), levels=8)
    symbols, context = reader(torch.tensor([[[1, 2, 3], [4, 5, 6]]]))
    assert symbols.tolist() == [[1, 2, 3, 4, 5, 6]]
    # (left, above, corner) in base 8
    expected = [(0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 1, 0), (4, 2, 1), (5, 3, 2)]
    assert context.tolist() == [[64 * left + 8 * above + c for left, above, c in expected]]


def test_large_images_are_averaged_over_blocks():
    reader = GridReader(space=_image(1, 84, 100), levels=8)
    assert reader.grid == (42, 34)
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (2, 1, 84, 100), generator=generator).to(torch.uint8)
    symbols = reader(image)[0].unflatten(1, (42, 34))
    block = image[:, 0, 10:12, 30:33].double().mean((1, 2))
    assert torch.equal(symbols[:, 5, 10], (block * 8 / 255.0001).floor().long())
    # The last block of a row has one column, not three.
    edge = image[:, 0, 0:2, 99:].double().mean((1, 2))
    assert torch.equal(symbols[:, 0, 33], (edge * 8 / 255.0001).floor().long())
    white = torch.full((1, 1, 84, 100), 255, dtype=torch.uint8)
    assert bool((reader(white)[0] == 7).all())


def test_codes_are_folded_and_any_change_of_a_block_shows():
    reader = GridReader(space=spaces.Box(0, 5976, (21, 79), np.int16), levels=8)
    assert reader.grid == (21, 40)
    glyphs = torch.full((1, 21, 79), 2359, dtype=torch.int16)
    changed = glyphs.clone()
    changed[0, 3, 11] = 2360
    different = (reader(glyphs)[0] != reader(changed)[0]).nonzero()
    assert different.tolist() == [[0, 3 * 40 + 5]]


def test_a_line_of_bytes_is_a_grid_of_one_row():
    reader = GridReader(space=_image(256), levels=8)
    assert reader.grid == (1, 37)
    symbols, context = reader(torch.arange(256, dtype=torch.uint8).unsqueeze(0))
    assert tuple(symbols.shape) == tuple(context.shape) == (1, 37)


def test_vectors_fall_into_bins_of_their_own_deviation():
    reader = VectorReader(shape=(2,), levels=4)
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(20000, 2, generator=generator) * torch.tensor([1.0, 1000.0]) + 50.0
    reader.learn(samples)
    shares = torch.stack([(reader(samples)[0] == bin_).double().mean(0) for bin_ in range(4)])
    normal = torch.distributions.Normal(0.0, 1.0)
    inner = float(normal.cdf(torch.tensor(1.0)) - 0.5)
    expected = torch.tensor([0.5 - inner, inner, inner, 0.5 - inner]).double()
    torch.testing.assert_close(shares, expected.unsqueeze(1).expand(4, 2), atol=0.02, rtol=0)
    extreme = torch.tensor([[-1e30, 1e30]])
    assert reader(extreme)[0].tolist() == [[0, 3]]


def test_discrete_values_are_symbols():
    reader = DiscreteReader(space=spaces.MultiDiscrete([3, 4], start=[1, 0]))
    assert reader.sizes == (3, 4)
    assert reader(torch.tensor([[1, 3], [3, 0]]))[0].tolist() == [[0, 3], [2, 0]]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("vector", [VectorReader]),
        ("image", [GridReader]),
        ("discrete", [DiscreteReader]),
        ("multi_binary", [DiscreteReader]),
        ("dict", [VectorReader, GridReader, DiscreteReader, GridReader]),
    ],
)
def test_every_part_of_an_observation_has_its_reader(observation_spaces, kind, expected):
    parts = symbol_readers(observation_spaces[kind], 8)
    assert [type(reader) for _, reader in parts] == expected
    if kind == "dict":
        paths = [path for path, _ in parts]
        assert paths == [("blstats",), ("glyphs_crop",), ("inner", "flag"), ("message",)]


def test_spaces_without_numbers_are_refused():
    with pytest.raises(UserError, match=r"under key 'a\.b'"):
        symbol_readers(spaces.Dict({"a": spaces.Dict({"b": spaces.Text(3)})}), 8)
