"""Random worlds and rewards: as drawn as they are described."""

import numpy as np
import pytest
from scipy.stats import binomtest

from envs.worlds.random_mdp import random_mdp, random_reward, random_transition


def test_that_successors_below_the_threshold_are_almost_impossible():
    generator = np.random.default_rng(0)
    rows = random_transition(generator, 32, 4, 1.0)
    assert rows.sum(axis=-1) == pytest.approx(np.ones((32, 4)))
    assert (rows > 0).all()
    likely = rows > 1e-6
    # A normal number exceeds 1 with probability 0.1587.
    assert binomtest(int(likely.sum()), likely.size, 0.15866).pvalue > 1e-3
    logits = np.random.default_rng(0).standard_normal((32, 4, 32))
    first, second = np.sort(logits[0, 0])[-2:]
    ratio = np.sort(rows[0, 0])[-1] / np.sort(rows[0, 0])[-2]
    assert ratio == pytest.approx(np.exp(second - first))


def test_that_a_world_without_likely_successors_is_uniform():
    rows = random_transition(np.random.default_rng(0), 5, 2, 100.0)
    assert rows == pytest.approx(np.full((5, 2, 5), 0.2))


def test_that_rewards_are_of_the_described_kinds():
    rewards = [random_reward(np.random.default_rng(seed), 16, 4, 0.95) for seed in range(400)]
    assert all(np.isfinite(reward).all() for reward in rewards)
    zero = sum((reward == 0).mean() > 0.9 for reward in rewards)
    assert binomtest(zero, 400, 0.2 * 0.7 * 0.5).pvalue > 1e-3  # sparse, not shifted, not shaped
    assert len({reward.tobytes() for reward in rewards}) > 390  # an all-zero one may come twice


def test_that_the_same_seed_is_the_same_world():
    first, second, other = (random_mdp(1, mdp_seed=seed).mdp for seed in (4, 4, 5))
    assert np.array_equal(first.transition, second.transition)
    assert np.array_equal(first.reward, second.reward)
    assert not np.array_equal(first.transition, other.transition)
    assert first.start == pytest.approx(np.full(32, 1 / 32))
    assert not first.terminal.any()
    with pytest.raises(ValueError, match="at least 1"):
        random_mdp(1, states=0)
