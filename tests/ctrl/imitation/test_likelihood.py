import math

import numpy as np
import pytest
import torch
from torch.nn.functional import log_softmax

from ctrl.imitation.likelihood import (
    action_targets,
    check_cloneable,
    cloning_error,
    cloning_loss,
    settle,
)
from reward_models.errors import UserError

OBSERVATIONS = torch.tensor([[0.1, -0.2, 0.0, 0.3], [0.5, 0.4, -0.3, 0.0]])
ACTIONS = np.array([[0.5, -0.25], [0.0, 0.9]], dtype=np.float32)


def _fixed_actor(model, mean, log_deviation):
    """Let an actor of SAC or TQC emit the same mean and deviation everywhere."""
    actor = model.policy.actor
    with torch.no_grad():
        for layer, value in ((actor.mu, mean), (actor.log_std, log_deviation)):
            layer.weight.zero_()
            layer.bias.fill_(value)


@pytest.mark.parametrize("algo", ["sac", "tqc"])
def test_the_squashed_gaussian_has_its_published_density(algo, learner):
    model = learner(algo)
    _fixed_actor(model, 0.2, math.log(0.5))
    loss = cloning_loss(model, OBSERVATIONS, action_targets(model, ACTIONS))
    # log pi(a) = log N(atanh a; mean, deviation) - sum log(1 - a^2)
    raw = np.arctanh(ACTIONS.astype(np.float64))
    normal = -0.5 * ((raw - 0.2) / 0.5) ** 2 - math.log(0.5) - 0.5 * math.log(2 * math.pi)
    expected = -(normal - np.log(1 - ACTIONS.astype(np.float64) ** 2)).sum(1)
    np.testing.assert_allclose(loss.detach(), expected, rtol=1e-4)
    error = cloning_error(model, OBSERVATIONS, action_targets(model, ACTIONS))
    np.testing.assert_allclose(error, np.abs(np.tanh(0.2) - ACTIONS).mean(1), rtol=1e-5)


def test_actions_at_their_bounds_have_a_finite_density(learner):
    model = learner("sac")
    targets = action_targets(model, np.array([[1.0, -1.0], [-1.0, 1.0]], dtype=np.float32))
    torch.testing.assert_close(targets, torch.tensor([[0.999, -0.999], [-0.999, 0.999]]))
    loss = cloning_loss(model, OBSERVATIONS, targets)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert all(torch.isfinite(p.grad).all() for p in model.policy.actor.parameters())


def test_actions_are_in_the_environments_units(learner):
    model = learner("sac", env="Pendulum-v1")
    np.testing.assert_allclose(
        action_targets(model, np.array([[1.0], [-2.0], [2.0]], dtype=np.float32)),
        [[0.5], [-0.999], [0.999]],
    )
    plain = learner("ppo", env="Pendulum-v1")
    np.testing.assert_allclose(action_targets(plain, np.array([[2.0]], np.float32)), [[2.0]])


@pytest.mark.parametrize("algo", ["td3", "ddpg"])
def test_deterministic_policies_are_judged_by_squared_error(algo, learner):
    model = learner(algo)
    targets = action_targets(model, ACTIONS)
    actions = model.policy.actor(OBSERVATIONS)
    expected = (actions - torch.as_tensor(ACTIONS)).square().sum(1)
    torch.testing.assert_close(cloning_loss(model, OBSERVATIONS, targets), expected)
    with torch.no_grad():
        model.policy.actor.mu[0].weight += 1
    assert _difference(model) > 0
    settle(model)
    assert _difference(model) == 0


def _difference(model):
    policy = model.policy
    with torch.no_grad():
        return float((policy.actor(OBSERVATIONS) - policy.actor_target(OBSERVATIONS)).abs().sum())


@pytest.mark.parametrize("algo", ["ppo", "a2c", "trpo"])
def test_gaussian_policies_are_judged_by_their_density(algo, learner):
    model = learner(algo)
    policy = model.policy
    with torch.no_grad():
        policy.log_std.fill_(-1.0)
    mean = policy.get_distribution(OBSERVATIONS).mode().detach().numpy()
    z = (ACTIONS - mean) / math.exp(-1)
    expected = (0.5 * z**2 - 1 + 0.5 * math.log(2 * math.pi)).sum(1)
    loss = cloning_loss(model, OBSERVATIONS, action_targets(model, ACTIONS))
    np.testing.assert_allclose(loss.detach(), expected, rtol=1e-4)


def test_choices_are_judged_by_their_probability(learner):
    model = learner("ppo", env="CartPole-v1")
    targets = action_targets(model, np.array([0, 1]))
    with torch.no_grad():
        logits = model.policy.get_distribution(OBSERVATIONS).distribution.logits
    expected = -log_softmax(logits, 1)[[0, 1], [0, 1]]
    torch.testing.assert_close(cloning_loss(model, OBSERVATIONS, targets).detach(), expected)
    best = logits.argmax(1)
    assert cloning_error(model, OBSERVATIONS, best).tolist() == [0.0, 0.0]
    assert cloning_error(model, OBSERVATIONS, 1 - best).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("algo", "env", "reason"),
    [
        ("dqn", "CartPole-v1", "DQN acts by comparing values"),
        ("recurrent_ppo", "PointMass-v0", "RecurrentPPO acts on whole histories"),
    ],
)
def test_learners_that_cannot_are_refused_with_the_reason(algo, env, reason, learner):
    with pytest.raises(UserError, match=f"{reason}.*use|{reason}.*needs"):
        check_cloneable(learner(algo, env=env))


def test_a_learner_without_torch_is_refused(learner):
    model = learner("ppo")
    model.policy = object()
    with pytest.raises(UserError, match="no policy network of torch"):
        check_cloneable(model)
