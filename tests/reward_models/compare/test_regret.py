"""Exact regret against every policy of small worlds."""

import itertools

import numpy as np
import pytest

from envs.worlds.random_mdp import random_transition
from reward_models.compare.distance import STARC
from reward_models.compare.regret import mean_regret, optimal_policies, regret, returns

GAMMA = 0.9


def drawn(seed, rewards=2):
    random = np.random.default_rng(seed)
    transition = random_transition(random, 4, 3, 0.0)
    return transition, random.standard_normal((rewards, *transition.shape))


def every_return(transition, reward, start):
    """Return J of every deterministic policy, by its own equations."""
    states, actions, _ = transition.shape
    found = {}
    for policy in itertools.product(range(actions), repeat=states):
        chain = np.array([transition[s, a] for s, a in enumerate(policy)])
        paid = np.array([transition[s, a] @ reward[s, a] for s, a in enumerate(policy)])
        found[policy] = start @ np.linalg.solve(np.eye(states) - GAMMA * chain, paid)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_regret_against_every_policy(seed):
    transition, (one, other) = drawn(seed)
    start = np.random.default_rng(seed).dirichlet(np.ones(4))
    true, used = every_return(transition, one, start), every_return(transition, other, start)
    best, worst = max(true.values()), min(true.values())
    chosen = tuple(optimal_policies(transition, other, gamma=GAMMA).tolist())
    assert used[chosen] == pytest.approx(max(used.values()))
    found = regret(transition, one, other, gamma=GAMMA, start=start)
    assert found == pytest.approx((best - true[chosen]) / (best - worst), abs=1e-9)
    value = returns(transition, one, np.array(chosen), gamma=GAMMA, start=start)
    assert value == pytest.approx(true[chosen])


def test_that_many_rewards_at_once_are_the_same_as_one_by_one():
    transition, rewards = drawn(1, rewards=6)
    found = regret(transition, rewards[0], rewards, gamma=GAMMA)
    single = [regret(transition, rewards[0], other, gamma=GAMMA) for other in rewards]
    np.testing.assert_allclose(found, single, atol=1e-12)
    assert found[0] == 0.0


def test_the_extremes(world):
    kwargs = {"gamma": world.gamma}
    assert regret(world.P, world.R, 2.0 * world.R + world.shaping, **kwargs) == 0.0
    assert regret(world.P, world.R, -world.R, **kwargs) == pytest.approx(1.0)
    assert mean_regret(world.P, world.R, -world.R, **kwargs) == pytest.approx(1.0)
    # All policies are worth the same under a shaping term, as large as it may be.
    assert regret(world.P, 1e3 * world.shaping, world.R, **kwargs) == 0.0


def test_that_equally_good_actions_give_the_lowest():
    transition = np.full((3, 4, 3), 1 / 3)
    reward = np.zeros((3, 4, 3))
    reward[1, 2:] = 1.0
    assert optimal_policies(transition, reward, gamma=GAMMA).tolist() == [0, 2, 0]


def test_that_equivalent_rewards_have_the_same_best_policies():
    transition, (reward, _) = drawn(11)
    potential = np.array([3.0, -1.0, 0.5, 2.0])
    shaped = 7.0 * (reward + GAMMA * potential - potential[:, None, None])
    assert STARC.between(transition, reward, shaped, gamma=GAMMA) < 1e-12
    np.testing.assert_array_equal(
        optimal_policies(transition, reward, gamma=GAMMA),
        optimal_policies(transition, shaped, gamma=GAMMA),
    )
