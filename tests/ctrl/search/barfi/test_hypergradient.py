from __future__ import annotations

import pytest
import torch

from ctrl.search.barfi.hypergradient import (
    ConjugateGradient,
    Exact,
    Neumann,
    flat,
    hypergradient,
    make_solver,
)
from reward_models.errors import UnknownNameError, UserError

CURVATURE = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
MIXED = torch.tensor([[1.0, 0.0], [0.5, -1.0]], dtype=torch.float64)
OUTER = torch.tensor([1.0, 2.0], dtype=torch.float64)
TASK = torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64)
HINT = torch.tensor([0.0, 1.0, 0.2], dtype=torch.float64)
TEMPERATURE = 0.5


def _quadratic(solver):
    """J_phi = -theta' D theta / 2 + theta' B phi, J_p = c' theta."""
    theta = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    phi = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    objective = -0.5 * theta @ CURVATURE @ theta + theta @ MIXED @ phi
    inner = flat(torch.autograd.grad(objective, [theta], create_graph=True))
    return hypergradient(inner, OUTER, theta=[theta], phi=[phi], solver=solver)[0]


def _bandit(phi, solver):
    """Softmax over three arms with an entropy bonus, at the exact inner optimum."""
    phi = phi.clone().requires_grad_()
    theta = (best_logits(phi)).detach().requires_grad_()
    probability = theta.softmax(-1)
    rewards = phi[0] + phi[1] * TASK + phi[2] * HINT
    entropy = -(probability * theta.log_softmax(-1)).sum()
    objective = (probability * rewards).sum() + TEMPERATURE * entropy
    inner = flat(torch.autograd.grad(objective, [theta], create_graph=True))
    (outer,) = torch.autograd.grad((theta.softmax(-1) * TASK).sum(), theta)
    return hypergradient(inner, outer, theta=[theta], phi=[phi], solver=solver)[0]


def best_logits(phi):
    return (phi[0] + phi[1] * TASK + phi[2] * HINT) / TEMPERATURE


def task_value(phi):
    return float((best_logits(phi).softmax(-1) * TASK).sum())


def _phi(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("solver", "expected"),
    [
        (Exact(), (1.0, -2.0)),
        (ConjugateGradient(), (1.0, -2.0)),
        (Neumann(alpha=0.1, terms=5), (0.719618, -0.894481)),
        (Neumann(alpha=0.1, terms=50), (0.99783, -1.974733)),
        (Neumann(alpha=0.001, terms=5), (0.011936, -0.011963)),
    ],
    ids=["exact", "conjugate_gradient", "neumann", "long_neumann", "short_steps"],
)
def test_quadratic_problem(solver, expected):
    torch.testing.assert_close(_quadratic(solver), _phi(*expected), atol=1e-6, rtol=0)


def test_first_order_is_a_step_along_the_outer_gradient():
    found = _quadratic(make_solver("first_order", {"alpha": 0.3}))
    torch.testing.assert_close(found, 0.3 * MIXED.T @ OUTER)


@pytest.mark.parametrize(
    ("solver", "expected"),
    [
        (Exact(), 0.39234),
        (ConjugateGradient(), 0.39234),
        (Neumann(alpha=1.0, terms=5), 0.2865),
        (Neumann(alpha=1.0, terms=100), 0.39234),
        (Neumann(alpha=0.5, terms=20), 0.347451),
    ],
    ids=["exact", "conjugate_gradient", "short", "long", "half"],
)
def test_bandit_problem(solver, expected):
    phi = _phi(0.0, 1.0, 1.0)
    probability = best_logits(phi).softmax(-1)
    torch.testing.assert_close(probability, _phi(0.39234, 0.39234, 0.215321), atol=1e-5, rtol=0)
    assert task_value(phi) == pytest.approx(0.5, abs=1e-6)
    found = _bandit(phi, solver)
    torch.testing.assert_close(found, _phi(0.0, expected, -expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "solver", [Exact(), Neumann(alpha=1.0, terms=400), ConjugateGradient()],
    ids=["exact", "neumann", "conjugate_gradient"],
)  # fmt: skip
@pytest.mark.parametrize("phi", [(0.0, 1.0, 1.0), (0.3, 0.7, -0.4), (-1.0, 1.2, 0.4)])
def test_central_differences_agree(solver, phi):
    phi, step = _phi(*phi), 1e-5
    found = _bandit(phi, solver)
    for k in range(1, 3):
        shift = torch.zeros(3, dtype=torch.float64)
        shift[k] = step
        difference = (task_value(phi + shift) - task_value(phi - shift)) / (2 * step)
        assert float(found[k]) == pytest.approx(difference, rel=1e-3)
    assert float(found[0]) == pytest.approx(0.0, abs=1e-12)


def test_ascent_turns_the_harmful_hint_round():
    phi, reached = _phi(0.0, 1.0, 1.0), {}
    for step in range(1, 201):
        phi = phi + 0.1 * _bandit(phi, Exact())
        reached[step] = task_value(phi)
    found = [reached[step] for step in (10, 50, 100, 200)]
    assert found == pytest.approx([0.734753, 0.914494, 0.948977, 0.969883], abs=1e-5)
    assert phi.tolist() == pytest.approx([0.0, 2.7313, -0.2545], abs=1e-4)


def test_a_hint_of_zero_gets_no_gradient():
    theta = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    phi = torch.ones(2, dtype=torch.float64, requires_grad=True)
    objective = phi[0] * theta.sum() + phi[1] * 0.0 * theta.sum() - theta.square().sum()
    inner = flat(torch.autograd.grad(objective, [theta], create_graph=True))
    (found,) = hypergradient(inner, OUTER, theta=[theta], phi=[phi], solver=Exact())
    assert float(found[1]) == 0.0
    assert float(found[0]) != 0.0


def test_a_parameter_that_is_not_in_the_inner_gradient_gets_zero():
    theta = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    phi, other = (torch.ones(2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    objective = theta @ phi - theta.square().sum()
    inner = flat(torch.autograd.grad(objective, [theta], create_graph=True))
    found = hypergradient(inner, OUTER, theta=[theta], phi=[phi, other], solver=Exact())
    assert not bool(found[1].any())
    assert phi.grad is theta.grad is None


def test_conjugate_gradient_stops_at_negative_curvature():
    vector = _phi(1.0, 1.0)
    # -H = diag(-1, 2): the second direction is not reached after the first has failed.
    uphill = ConjugateGradient().solve(lambda p: p * _phi(3.0, -2.0), vector)
    assert torch.equal(uphill, vector)
    assert bool(ConjugateGradient().solve(lambda p: p * _phi(-4.0, -2.0), vector).isfinite().all())


@pytest.mark.parametrize("solver", [Exact(damping=1.0), ConjugateGradient(damping=1.0)])
def test_damping_is_added_to_the_curvature(solver):
    unit = torch.eye(2, dtype=torch.float64)
    expected = MIXED.T @ torch.linalg.solve(CURVATURE + unit, OUTER)
    torch.testing.assert_close(_quadratic(solver), expected)


def test_a_flat_direction_gets_the_solution_of_least_norm():
    found = Exact().solve(lambda p: p * _phi(-2.0, 0.0), _phi(1.0, 0.0))
    torch.testing.assert_close(found, _phi(0.5, 0.0))


def test_exact_is_for_small_policies():
    with pytest.raises(UserError, match="500 parameters"):
        Exact().solve(lambda p: -p, torch.ones(501, dtype=torch.float64))


def test_a_series_that_diverges_stops_with_the_cure():
    with pytest.raises(UserError, match="Lower alpha"):
        _quadratic(Neumann(alpha=1e9, terms=80))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("neumann", {"alpha": 0.0}, "hypergradient: none"),
        ("neumann", {"alpha": -1.0}, "positive"),
        ("neumann", {"alpha": float("nan")}, "positive"),
        ("neumann", {"terms": -1}, "at least 0"),
        ("conjugate_gradient", {"iterations": 0}, "at least 1"),
        ("conjugate_gradient", {"damping": -1.0}, "damping"),
        ("exact", {"damping": float("inf")}, "damping"),
        ("neumann", {"beta": 1.0}, "cannot be built"),
        ("first_order", {"terms": 3}, "cannot be built"),
    ],
)
def test_numbers_out_of_range_are_refused(name, options, message):
    with pytest.raises(UserError, match=message):
        make_solver(name, options)


def test_names():
    assert make_solver("none") is None
    with pytest.raises(UnknownNameError, match="Did you mean 'neumann'"):
        make_solver("neuman")
