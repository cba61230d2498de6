from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

from reward_models.imitation.episode_lengths import EpisodeLengths, length_separation


def test_separation_of_lengths():
    apart = length_separation([10, 11, 12] * 10, [50, 60, 55] * 2)
    assert apart.auc == 0.0
    assert apart.leaks
    longer = length_separation([50, 60, 55] * 2, [10, 11, 12] * 10)
    assert longer.auc == 1.0
    assert longer.leaks


def test_equal_lengths_say_nothing():
    assert length_separation([60] * 50, [60] * 4) == (0.5, 1.0)
    mixed = length_separation([10, 20], [10, 20])
    assert mixed.auc == 0.5
    assert not mixed.leaks


def test_few_episodes_are_not_enough_to_warn():
    assert length_separation([3, 4, 5], [90, 91]).auc == 0.0
    assert not length_separation([3, 4, 5], [90, 91]).leaks


def test_the_test_does_not_warn_by_chance():
    rng = np.random.default_rng(0)
    warned = [
        length_separation(rng.integers(5, 50, 100).tolist(), rng.integers(5, 50, 5).tolist()).leaks
        for _ in range(200)
    ]
    assert sum(warned) <= 6  # a level of 0.01 and an effect beyond 0.9 besides
    agent, expert = rng.integers(5, 50, 30).tolist(), rng.integers(20, 90, 8).tolist()
    reference = mannwhitneyu(agent, expert, method="asymptotic")
    assert length_separation(agent, expert).p_value == pytest.approx(reference.pvalue)


def _rollout(make_rollout, ends, *, continued=None, mask=None):
    done = torch.zeros(6, 3, dtype=torch.bool)
    for t, column in ends:
        done[t, column] = True
    return make_rollout(truncated=done, continued=continued, mask=mask)


def test_episodes_run_through_rollouts(make_rollout):
    lengths = EpisodeLengths()
    assert lengths.update(_rollout(make_rollout, [(1, 0), (2, 0)])) == 2
    assert lengths.lengths() == [2, 1]
    goes_on = torch.ones(3, dtype=torch.bool)
    saved = copy.deepcopy(lengths.state_dict())
    assert lengths.update(_rollout(make_rollout, [(0, 0), (3, 1)], continued=goes_on)) == 2
    assert lengths.lengths() == [2, 1, 4, 10]
    restored = EpisodeLengths()
    restored.load_state_dict(saved)
    restored.update(_rollout(make_rollout, [(0, 0), (3, 1)], continued=goes_on))
    assert restored.lengths() == [2, 1, 4, 10]


def test_an_episode_whose_beginning_was_not_seen_is_left_out(make_rollout):
    lengths = EpisodeLengths()
    goes_on = torch.tensor([True, False, False])
    lengths.update(_rollout(make_rollout, [(1, 0), (4, 0), (5, 1)], continued=goes_on))
    assert lengths.lengths() == [3, 6]
    lengths.update(_rollout(make_rollout, [(0, 0)], continued=torch.ones(3, dtype=torch.bool)))
    assert lengths.lengths() == [3, 6, 2]


def test_padding_does_not_count(make_rollout):
    mask = torch.ones(6, 3, dtype=torch.bool)
    mask[2:, 0] = False
    lengths = EpisodeLengths()
    lengths.update(_rollout(make_rollout, [(1, 0), (4, 0)], mask=mask))
    assert lengths.lengths() == [2]


def test_the_newest_hundred_are_kept(make_rollout):
    lengths = EpisodeLengths()
    for _ in range(40):
        lengths.update(_rollout(make_rollout, [(1, 0), (2, 1), (5, 2)]))
    assert len(lengths.lengths()) == 100
