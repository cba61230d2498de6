from __future__ import annotations

import math

import pytest
import torch

from ctrl.search.barfi.baselines import BASELINES, baseline_rewards, potential_rewards
from ctrl.search.barfi.discount import LearnedDiscount
from ctrl.search.barfi.episodes import EpisodeBatch
from ctrl.search.barfi.surrogate import mean_entropy, policy_surrogate, returns_to_go
from reward_models.blend.coefficients import blended
from reward_models.errors import UnknownNameError, UserError


def _columns(rows):
    return torch.tensor(rows, dtype=torch.float64).T.contiguous()


PROBABILITY = _columns([[0.5, 0.25, 0.8, 0.1], [0.9, 0.4, 0.1, 0.1]])
TASK = _columns([[0, 0, 1, 7], [1, 2, 7, 7]])
HINT = _columns([[1, 1, -1, 9], [0.5, -0.5, 9, 9]])
MASK = _columns([[1, 1, 1, 0], [1, 1, 0, 0]]).bool()


def _rewards():
    phi = torch.tensor([0.1, 1.0, -0.5], dtype=torch.float64).expand(4, 2, 3)
    return blended(phi, TASK, HINT.unsqueeze(-1))


def test_value_of_the_inner_objective():
    gamma = torch.sigmoid(torch.tensor(4.6, dtype=torch.float64))
    sums = returns_to_go(_rewards(), gamma, MASK)
    expected = _columns([[0.772293, 1.184077, 1.6, 0], [3.176613, 2.35, 0, 0]])
    torch.testing.assert_close(sums, expected, atol=1e-6, rtol=0)
    value = policy_surrogate(PROBABILITY.log(), _rewards(), gamma, MASK)
    assert float(value) == pytest.approx(-0.62772437, abs=1e-8)


@pytest.mark.parametrize("poison", [7.0, -1e30, math.inf, math.nan])
def test_padding_does_not_matter(poison):
    rewards = _rewards().masked_fill(~MASK, poison)
    logs = PROBABILITY.log().masked_fill(~MASK, poison).requires_grad_()
    value = policy_surrogate(logs, rewards, 0.99, MASK)
    expected = policy_surrogate(PROBABILITY.log(), _rewards(), 0.99, MASK)
    assert float(value.detach()) == float(expected)
    value.backward()
    assert not bool(logs.grad[~MASK].any())
    entropy = torch.ones(4, 2, dtype=torch.float64).masked_fill(~MASK, poison)
    assert float(mean_entropy(entropy, MASK)) == 1.0


def test_the_horizon_takes_the_place_of_the_padded_length():
    short = policy_surrogate(PROBABILITY.log(), _rewards(), 0.9, MASK)
    long = policy_surrogate(PROBABILITY.log(), _rewards(), 0.9, MASK, horizon=40)
    assert float(long) == pytest.approx(float(short) / 10)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 9, 33])
@pytest.mark.parametrize("gamma", [1.0, 0.9, 0.01])
def test_returns_to_go_is_the_plain_loop(steps, gamma):
    generator = torch.Generator().manual_seed(steps)
    rewards = torch.randn(steps, 3, generator=generator, dtype=torch.float64)
    mask = torch.arange(steps).unsqueeze(1) < torch.tensor([steps, max(steps // 2, 1), 1])
    expected, running = torch.zeros_like(rewards), torch.zeros(3, dtype=torch.float64)
    for t in reversed(range(steps)):
        running = torch.where(mask[t], rewards[t] + gamma * running, 0.0)
        expected[t] = running
    torch.testing.assert_close(returns_to_go(rewards, gamma, mask), expected)


def test_gradient_in_the_discount_is_right():
    gamma = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
    mask = torch.ones(5, 1, dtype=torch.bool)
    rewards = torch.arange(5.0, dtype=torch.float64).unsqueeze(1)

    def first(g):
        return returns_to_go(rewards, g, mask)[0, 0]

    assert torch.autograd.gradcheck(first, gamma)
    assert torch.autograd.gradgradcheck(first, gamma)


def test_a_constant_moves_from_the_hint_into_the_free_coefficient():
    generator = torch.Generator().manual_seed(0)
    phi = torch.randn(4, 2, 3, generator=generator, dtype=torch.float64)
    moved = phi.clone()
    moved[..., 0] -= phi[..., 2] * 2.5
    torch.testing.assert_close(
        blended(moved, TASK, HINT.unsqueeze(-1) + 2.5), blended(phi, TASK, HINT.unsqueeze(-1))
    )


def test_gradient_of_the_discount_penalty():
    discount = LearnedDiscount(1 / (1 + math.exp(-4.6)))
    assert discount.logit.item() == pytest.approx(4.6)
    assert discount().item() == pytest.approx(0.99005, abs=1e-5)
    discount().backward()
    assert float(discount.logit.grad) == pytest.approx(0.009853, abs=1e-6)


@pytest.mark.parametrize("start", [0.0, 1.0, -0.5, math.nan])
def test_a_discount_that_no_logit_gives_is_refused(start):
    with pytest.raises(UserError, match="inside"):
        LearnedDiscount(start)


def _batch(task, hint, *, terminated, mask=None):
    rewards = torch.tensor([task, hint], dtype=torch.float64).T.unsqueeze(1)
    steps = len(task)
    return EpisodeBatch(
        observation=torch.zeros(steps, 1),
        action=torch.zeros(steps, 1, dtype=torch.int64),
        rewards=rewards,
        mask=torch.ones(steps, 1, dtype=torch.bool) if mask is None else mask,
        terminated=torch.tensor([terminated]),
    )


def test_potential_changes_returns_by_minus_the_potential():
    batch = _batch([0.0, 0.0, 1.0], [0.3, -0.2, 0.7], terminated=True)
    shaped = baseline_rewards("potential", batch, 0.9)
    difference = returns_to_go(shaped, 0.9, batch.mask) - returns_to_go(batch.task, 0.9, batch.mask)
    expected = torch.tensor([[-0.3], [0.2], [-0.7]], dtype=torch.float64)
    torch.testing.assert_close(difference, expected, atol=1e-12, rtol=0)


def test_a_potential_after_the_end_changes_more():
    # The identity with a terminal potential of 0.5, as a time limit would leave it.
    batch = _batch([0.0, 0.0, 1.0, 0.0], [0.3, -0.2, 0.7, 0.5], terminated=False)
    shaped = potential_rewards(batch.auxiliary[..., 0], batch, 0.9)
    found = returns_to_go(shaped[:3], 0.9, batch.mask[:3])[:, 0].tolist()
    assert found == pytest.approx([0.0645, 0.605, -0.25])


def test_a_time_limit_keeps_the_last_potential():
    batch = _batch([0.0, 0.0], [0.3, 0.8], terminated=False)
    found = potential_rewards(batch.auxiliary[..., 0], batch, 0.9)[:, 0].tolist()
    assert found == pytest.approx([0.9 * 0.8 - 0.3, 0.9 * 0.8 - 0.8])


def test_potentials_of_padding_are_not_read():
    mask = torch.tensor([[True], [True], [False]])
    batch = _batch([0.0, 0.0, 7.0], [0.3, 0.8, 9.0], terminated=True, mask=mask)
    found = potential_rewards(batch.auxiliary[..., 0], batch, 0.9)[:, 0].tolist()
    assert found == pytest.approx([0.9 * 0.8 - 0.3, -0.8, 0.0])


def test_baselines():
    batch = _batch([1.0, 2.0], [10.0, 20.0], terminated=True)
    assert baseline_rewards("task", batch, 0.9)[:, 0].tolist() == [1.0, 2.0]
    assert baseline_rewards("naive", batch, 0.9)[:, 0].tolist() == [11.0, 22.0]
    with pytest.raises(UnknownNameError, match="Did you mean 'naive'"):
        baseline_rewards("naiv", batch, 0.9)
    assert BASELINES == ("naive", "task", "potential")


def test_summed_rewards_are_refused():
    with pytest.raises(UserError, match="as a term of its own"):
        EpisodeBatch(
            observation=torch.zeros(3, 1),
            action=torch.zeros(3, 1, dtype=torch.int64),
            rewards=torch.zeros(3, 1, 1, dtype=torch.float64),
            mask=torch.ones(3, 1, dtype=torch.bool),
            terminated=torch.tensor([True]),
        )
