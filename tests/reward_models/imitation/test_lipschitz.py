from __future__ import annotations

import math

import pytest
import torch
from gymnasium import spaces

from reward_models.base import as_reward_model
from reward_models.errors import UserError
from reward_models.imitation.lipschitz import (
    reward_gradient_norms,
    validity,
    value_bound,
    value_bound_as_published,
)


def test_validity():
    assert validity(torch.tensor([0.2, 0.9, 1.0, 1.2, 3.0])) == pytest.approx(0.6)
    assert math.isnan(validity(torch.zeros(0)))
    with pytest.raises(UserError):
        validity(torch.ones(1), 0.0)


def test_both_bounds_where_the_published_one_fails():
    settings = {"gamma": 0.9, "dynamics": 0.9, "policy": 0.0}
    assert value_bound(1.0, **settings) == pytest.approx(5.263, abs=1e-3)
    assert value_bound_as_published(1.0, **settings) == pytest.approx(1.705, abs=1e-3)
    # Q = s + 0.9 Q(0.9 s) = s / (1 - 0.81)
    s = torch.tensor(1.0, requires_grad=True)
    q = sum(0.9**t * 0.9**t * s for t in range(400))
    q.backward()
    assert float(s.grad) == pytest.approx(value_bound(1.0, **settings), rel=1e-5)


def test_bounds_that_do_not_exist_are_infinite():
    assert value_bound(1.0, gamma=0.9, dynamics=1.0, policy=1.0) == math.inf
    assert value_bound_as_published(1.0, gamma=0.99, dynamics=1.0, policy=1.1) == math.inf
    with pytest.raises(UserError):
        value_bound(-1.0, gamma=0.9, dynamics=1.0, policy=1.0)


def test_the_bound_holds_for_random_linear_worlds():
    generator = torch.Generator().manual_seed(0)
    horizon, tight = 5, []
    for _ in range(100):
        scale = 0.2 + float(torch.rand(1, generator=generator))
        m, n, k = (torch.randn(*s, generator=generator) * scale for s in ((3, 3), (3, 2), (2, 3)))
        w = torch.randn(5, generator=generator)
        gamma = float(torch.rand(1, generator=generator))
        x = torch.randn(5, generator=generator).requires_grad_()
        state, action, value = x[:3], x[3:], torch.zeros(())
        for t in range(horizon):
            value = value + gamma**t * (w @ torch.cat([state, action]))
            state = m @ state + n @ action
            action = k @ state
        value.backward()
        bound = value_bound(
            float(w.norm()), gamma=gamma, dynamics=float(torch.cat([m, n], 1).norm()),
            policy=float(k.norm()), horizon=horizon,
        )  # fmt: skip
        assert float(x.grad.norm()) <= bound * (1 + 1e-5)
        tight.append(float(x.grad.norm()) / bound)
    assert max(tight) > 0.3  # the bound says something


def test_reward_gradients_are_those_of_observation_and_action(make_rollout):
    model = as_reward_model(
        lambda observation, action: 3 * observation[..., 0] + 4 * action[..., 1]
    )
    torch.testing.assert_close(
        reward_gradient_norms(model, make_rollout()), torch.full((6, 3), 5.0)
    )


def test_a_reward_without_a_gradient_has_the_norm_zero(make_rollout):
    model = as_reward_model(lambda reward: reward)
    assert torch.equal(reward_gradient_norms(model, make_rollout()), torch.zeros(6, 3))


def test_what_has_no_gradient_is_refused(make_rollout, dungeon):
    model = as_reward_model(lambda reward: reward)
    nested = make_rollout(dungeon)
    whole = make_rollout(spaces.Discrete(3), spaces.Discrete(3))
    for rollout in (nested, whole):
        with pytest.raises(UserError):
            reward_gradient_norms(model, rollout)
