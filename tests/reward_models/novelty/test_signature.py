from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from reward_models.errors import UserError
from reward_models.novelty.signature import levy_areas, log_signature, signature, with_time

CORNER = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]], dtype=torch.float64)


@pytest.fixture
def paths() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 5, 7, 3, generator=generator, dtype=torch.float64)


def test_the_numbers_of_a_corner():
    assert signature(CORNER).tolist() == [1.0, 2.0, 0.5, 2.0, 0.0, 2.0]
    assert log_signature(CORNER).tolist() == [1.0, 2.0, 1.0]


def test_level_two_is_the_iterated_integral(paths):
    # The definition, with every straight piece cut into many small steps.
    path, fine = paths[0, 0], 4000
    fractions = torch.arange(fine, dtype=torch.float64).unsqueeze(-1) / fine
    dense = torch.cat([a + (b - a) * fractions for a, b in pairwise(path)])
    dense = torch.cat([dense, path[-1:]])
    steps = dense.diff(dim=0)
    integral = torch.einsum("si,sj->ij", dense[:-1] - dense[0], steps)
    found = signature(path)[3:].reshape(3, 3)
    torch.testing.assert_close(found, integral, rtol=1e-2, atol=1e-2)


def test_shuffle_identity(paths):
    found = signature(paths)
    first, second = found[..., :3], found[..., 3:].unflatten(-1, (3, 3))
    torch.testing.assert_close(second + second.mT, first.unsqueeze(-1) * first.unsqueeze(-2))
    assert torch.equal(log_signature(paths)[..., 3:], levy_areas(second))


def test_each_path_of_a_batch_alone(paths):
    assert signature(paths).shape == (4, 5, 12)
    assert log_signature(paths).shape == (4, 5, 6)
    torch.testing.assert_close(signature(paths)[2, 3], signature(paths[2, 3]))


@pytest.mark.parametrize("function", [signature, log_signature])
def test_speed_and_place_do_not_matter(paths, function):
    slower = torch.cat([paths[..., :3, :], paths[..., 2:3, :], paths[..., 2:, :]], -2)
    halfway = (paths[..., 4:5, :] + paths[..., 5:6, :]) / 2.0
    refined = torch.cat([paths[..., :5, :], halfway, paths[..., 5:, :]], -2)
    torch.testing.assert_close(function(slower), function(paths))
    torch.testing.assert_close(function(refined), function(paths))
    torch.testing.assert_close(function(paths + 10.0), function(paths))


def test_backwards_is_the_inverse_in_the_logarithm(paths):
    torch.testing.assert_close(log_signature(paths.flip(-2)), -log_signature(paths))


def test_time_tells_speeds_apart():
    early, late = torch.tensor([[0.0, 0.1, 1.0], [0.0, 0.9, 1.0]], dtype=torch.float64)
    found = signature(with_time(CORNER, early)), signature(with_time(CORNER, late))
    assert found[0][:3].tolist() == found[1][:3].tolist() == [1.0, 2.0, 1.0]
    assert not torch.allclose(found[0], found[1], atol=0.1)


@pytest.mark.parametrize("shape", [(1, 2), (0, 2), (5, 0)])
def test_too_few_points_are_refused(shape):
    with pytest.raises(UserError, match=r"at least S = 2 points"):
        signature(torch.zeros(shape))
