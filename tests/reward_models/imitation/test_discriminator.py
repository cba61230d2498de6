from __future__ import annotations

import copy

import pytest
import torch

from reward_models.errors import UserError
from reward_models.imitation.discriminator import Discriminator
from reward_models.imitation.penalties import gradient_norm, gradient_of, gradient_penalty

ROWS = torch.randn(64, 7, generator=torch.Generator().manual_seed(3))


def _network(**options) -> Discriminator:
    network = Discriminator(input_size=7, **{"seed": 1, **options})
    with torch.no_grad():
        network.head.weight.mul_(300.0)
        network.first.bias.normal_(generator=torch.Generator().manual_seed(0))
    return network


@pytest.mark.parametrize("spectral", [True, False])
def test_the_closed_gradient_is_that_of_autograd(spectral):
    network = _network(spectral=spectral)
    logits, gradients = network.with_gradient(ROWS)
    torch.testing.assert_close(logits, network(ROWS))
    torch.testing.assert_close(gradients, gradient_of(network, ROWS, create_graph=False))


@pytest.mark.parametrize("spectral", [True, False])
def test_the_penalty_has_the_gradient_of_differentiating_twice(spectral):
    network = _network(spectral=spectral)
    parameters = list(network.parameters())

    def of_penalty(gradients):
        loss = gradient_penalty(gradient_norm(gradients), one_sided=False).mean()
        return torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)

    closed = of_penalty(network.with_gradient(ROWS)[1])
    twice = of_penalty(gradient_of(network, ROWS, create_graph=True))
    for mine, reference in zip(closed, twice, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-5)
    named = dict(zip([name for name, _ in network.named_parameters()], closed, strict=True))
    assert float(named["head.bias"].abs().sum()) == 0.0
    assert float(named["head.weight"].abs().sum()) > 0.0


def test_weights_begin_orthogonal_with_a_small_head():
    network = Discriminator(input_size=7, spectral=False)
    weight = network.second.weight
    expected = 2 / (1 + 0.1**2) * torch.eye(100)
    torch.testing.assert_close(weight @ weight.T, expected, rtol=1e-4, atol=1e-4)
    assert float(network.head.weight.detach().norm()) == pytest.approx(0.01, rel=1e-4)
    for layer in (network.first, network.second, network.head):
        assert not bool(layer.bias.any())


def test_spectral_normalisation_is_on_the_hidden_layers_only():
    network = _network()
    with torch.no_grad():
        for name in ("first", "second"):
            getattr(network, name).parametrizations.weight.original.mul_(7.0)
    for _ in range(200):
        network.layers(advance=True)
    layers = network.layers()
    for weight in (layers.first, layers.second):
        assert float(torch.linalg.matrix_norm(weight.detach(), 2)) == pytest.approx(1.0, abs=1e-3)
    assert float(layers.head.detach().norm()) == pytest.approx(3.0, rel=1e-4)


def test_only_learning_advances_the_power_iteration():
    network = _network()
    with torch.no_grad():
        network.first.parametrizations.weight.original.normal_()
    before = copy.deepcopy(network.state_dict())
    for mode in (True, False):
        network.train(mode)
        network(ROWS)
        network.with_gradient(ROWS)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    network.layers(advance=True)
    after = network.state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in after.items())


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    Discriminator(input_size=7)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_hidden_units_are_refused():
    with pytest.raises(UserError, match="hidden_size"):
        Discriminator(input_size=7, hidden_size=0)


def _fit_gaussians(weight: float, seed: int, steps: int = 2000) -> float:
    """Return the mean |grad D| on interpolates of two Gaussians after learning them apart."""
    generator = torch.Generator().manual_seed(seed)
    network = Discriminator(input_size=6, spectral=False, seed=seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-4, fused=True)

    def draw(centre):
        return centre + 0.3 * torch.randn(128, 6, generator=generator)

    def between(policy, expert):
        return torch.lerp(policy, expert, torch.rand(128, 1, generator=generator))

    for _ in range(steps):
        policy, expert = draw(-0.5), draw(0.5)
        logits, gradients = network.with_gradient(
            torch.cat([policy, expert, between(policy, expert)])
        )
        of_policy, of_expert, _ = logits.chunk(3)
        loss = torch.nn.functional.softplus(of_policy) + torch.nn.functional.softplus(-of_expert)
        loss = loss + weight * gradient_penalty(gradient_norm(gradients[256:]))
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    gradients = network.with_gradient(between(draw(-0.5), draw(0.5)))[1]
    return float(gradient_norm(gradients).mean().detach())


@pytest.mark.bar
def test_the_penalty_holds_the_slope_between_two_gaussians():
    with_penalty = [_fit_gaussians(10.0, seed) for seed in range(3)]
    without = [_fit_gaussians(0.0, seed) for seed in range(3)]
    print(with_penalty, without)
    assert with_penalty == pytest.approx([1.02] * 3, abs=0.03)
    assert all(10.0 < slope < 12.5 for slope in without)


def test_the_penalty_holds_the_slope_in_few_steps():
    assert _fit_gaussians(10.0, 0, steps=300) < 1.3
    assert _fit_gaussians(0.0, 0, steps=300) > 3.0
