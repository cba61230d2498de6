from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest, pearsonr

from reward_models.errors import UserError
from reward_models.imitation.penalties import (
    gradient_norm,
    gradient_of,
    gradient_penalty,
    penalised_points,
)

POINTS = torch.tensor([[0.0, 0.0], [1.0, 1.0]])


def _norms(function, points=POINTS):
    return gradient_norm(gradient_of(function, points, create_graph=False))


def _points(kind, *, count=4000, noise_std=10.0):
    generator = torch.Generator().manual_seed(0)
    return penalised_points(
        kind, policy=torch.ones(count, 5), expert=torch.zeros(count, 5), split=3,
        generator=generator, noise_std=noise_std,
    )  # fmt: skip


def test_linear_functions():
    steep = _norms(lambda x: 3 * x[:, 0] + 4 * x[:, 1])
    flat = _norms(lambda x: 0.3 * x[:, 0] + 0.4 * x[:, 1])
    for one_sided in (True, False):
        torch.testing.assert_close(
            gradient_penalty(steep, one_sided=one_sided), torch.full((2,), 16.0)
        )
    torch.testing.assert_close(gradient_penalty(flat, one_sided=False), torch.full((2,), 0.25))
    assert torch.equal(gradient_penalty(flat), torch.zeros(2))


def test_a_quadratic_function():
    norms = _norms(lambda x: x[:, 0] ** 2 + 2 * x[:, 1])
    torch.testing.assert_close(norms, torch.tensor([2.0, 2.828427]))
    mean = gradient_penalty(norms, one_sided=False).mean()
    assert float(mean) == pytest.approx(2.171573, abs=1e-6)


def test_a_constant_function():
    norms = _norms(lambda x: torch.zeros(len(x)))
    torch.testing.assert_close(gradient_penalty(norms, target=3.0, one_sided=False), 9 * norms**0)
    assert torch.equal(gradient_penalty(norms, target=3.0), torch.zeros(2))


def test_the_penalty_of_a_constant_function_can_be_differentiated():
    weight = torch.zeros(2, requires_grad=True)
    gradients = gradient_of(lambda x: x @ weight, POINTS, create_graph=True)
    gradient_penalty(gradient_norm(gradients), one_sided=False).mean().backward()
    assert bool(weight.grad.isfinite().all())


def test_the_penalty_acts_on_the_slope_and_not_on_the_level():
    weight, level = (torch.tensor([value], requires_grad=True) for value in (3.0, 5.0))

    def function(x):
        return x[:, 0] * weight + level

    loss = gradient_penalty(gradient_norm(gradient_of(function, POINTS, create_graph=True))).mean()
    slope, none = torch.autograd.grad(
        loss, [weight, level], allow_unused=True, materialize_grads=True
    )
    assert float(slope) == pytest.approx(4.0)
    assert float(none) == 0.0


def test_interpolates_have_a_weight_per_sample_and_per_part():
    drawn = _points("wgan")
    first, second = drawn[:, :3], drawn[:, 3:]
    assert torch.equal(first, first[:, :1].expand(-1, 3))
    assert torch.equal(second, second[:, :1].expand(-1, 2))
    for part in (first, second):
        assert len(part[:, 0].unique()) > 3900
        assert kstest(part[:, 0].numpy(), "uniform").pvalue > 1e-3
    assert pearsonr(first[:, 0].numpy(), second[:, 0].numpy()).pvalue > 1e-3


@pytest.mark.parametrize(("kind", "centre"), [("dragan", 0.0), ("nagard", 1.0)])
def test_noise_is_around_expert_or_policy(kind, centre):
    drawn = (_points(kind) - centre).flatten() / 10.0
    assert kstest(drawn.numpy(), "norm").pvalue > 1e-3
    torch.testing.assert_close(_points(kind, noise_std=0.0), torch.full((4000, 5), centre))


def test_bare_points_are_the_policy_s_own():
    assert torch.equal(_points("bare"), torch.ones(4000, 5))


@pytest.mark.parametrize("target", [0.0, -1.0, float("nan")])
def test_a_target_that_is_not_positive_is_refused(target):
    with pytest.raises(UserError):
        gradient_penalty(torch.ones(1), target=target)
