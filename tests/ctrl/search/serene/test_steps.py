"""The single steps of SERENE: candidates, improvement, choice, stagnation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ctrl.search.individuals import Individuals
from ctrl.search.serene.candidates import emitter_sigma, most_novel_first, new_candidates
from ctrl.search.serene.choice import chosen_emitter
from ctrl.search.serene.improvement import improvement
from ctrl.search.serene.stagnation import has_stagnated, stagnation_window_size
from reward_models.errors import UserError

# The genome in question and three others: distances 5, 3 and 10.
GENOMES = np.array([(0.0, 0, 0), (3, 4, 0), (1, 2, 2), (10, 0, 0)])


def records(*means, members=6):
    return [np.full(members, mean) for mean in means]


def test_sigma_is_a_third_of_the_way_to_the_nearest_other():
    assert emitter_sigma(0, GENOMES, "paper", 0.5) == pytest.approx(1.0)
    assert emitter_sigma(0, GENOMES, "sqrt_d", 0.5) == pytest.approx(1 / math.sqrt(3))


def test_auto_divides_by_the_root_of_the_size_beyond_nine_genes():
    for size, expected in ((9, 1.0), (10, 1 / math.sqrt(10))):
        genomes = np.zeros((2, size))
        genomes[1, 0] = 3.0
        assert emitter_sigma(1, genomes, "auto", 0.5) == pytest.approx(expected)


def test_sigma_of_a_duplicate_or_of_nobody_else_is_that_of_the_search():
    assert emitter_sigma(1, np.array([(1.0, 2), (1, 2), (3, 3)]), "paper", 0.5) == 0.5
    assert emitter_sigma(0, np.array([(1.0, 2)]), "paper", 0.5) == 0.5


def test_candidates_are_the_rewarded_that_have_not_spawned(landscape, last_sample):
    genomes = np.array([(1.5, 1.5, 0, 0), (0, 0, 0, 0), (1.6, 1.5, 0, 0), (2.25, 1.5, 0, 0)])
    everyone = Individuals.of(landscape()(genomes), last_sample, generation=0)
    # The last one ends on the rim of the area: it has found it, and is paid nothing.
    assert everyone.episodes.area.tolist() == [0, -1, 0, 0]
    assert new_candidates(everyone).tolist() == [0, 2]
    assert new_candidates(everyone.flagged(np.array([0]))).tolist() == [2]


def test_negative_rewards_are_refused_with_the_cure(landscape, last_sample):
    everyone = Individuals.of(landscape()(np.zeros((3, 4))), last_sample, generation=0)
    everyone.reward[1] = -0.5
    with pytest.raises(UserError, match=r"got -0\.5 for evaluation 1\. Shift the reward"):
        new_candidates(everyone)


def test_candidates_are_ordered_by_novelty_against_the_reward_archive():
    ancestors = np.array([(0.0, 0), (5, 5), (1, 0)])
    rewarded = np.concatenate([ancestors, [(0.5, 0)]])
    assert most_novel_first(ancestors, rewarded, 2).tolist() == [1, 0, 2]


def test_improvement_is_that_of_the_last_three_generations_over_the_first():
    rewards = (0.1, 0.2, 0.3, 0.4, 0.5, 0.9)
    assert improvement(records(*rewards)) == pytest.approx(0.4)
    assert improvement(records(*rewards[::-1])) == 0
    assert improvement(records(*rewards), 0.35) == pytest.approx(0.25)


def test_improvement_counts_every_member():
    one = [np.array([0.0, 0.0]), np.array([0.0, 0.0]), np.array([0.0, 0.0])]
    assert improvement([*one, *[np.array([0.0, 0.6])] * 3]) == pytest.approx(0.3)


def test_an_emitter_is_drawn_uniformly_from_the_first_front():
    # With one neighbour, and the rest far away, novelties are 1, 2, 3 and 0.5.
    ancestors = np.array([(0.0, 0), (100, 0), (200, 0), (300, 0)])
    others = ancestors + np.array([(1.0, 0), (2, 0), (3, 0), (0.5, 0)])
    rewarded = np.concatenate([ancestors, others])
    improvements = np.array([3.0, 2.0, 1.0, 0.5])
    random = np.random.default_rng(0)
    drawn = [chosen_emitter(ancestors, improvements, rewarded, 1, random) for _ in range(300)]
    counts = np.bincount(drawn, minlength=4)
    assert counts[3] == 0
    assert stats.chisquare(counts[:3]).pvalue > 0.01


def test_without_a_reward_archive_the_most_improved_is_taken():
    ancestors, random = np.zeros((3, 2)), np.random.default_rng(0)
    improvements = np.array([0.1, 0.7, 0.2])
    assert chosen_emitter(ancestors, improvements, np.empty((0, 2)), 15, random) == 1


def test_the_window_grows_with_the_genome():
    assert stagnation_window_size(27, 6) == 210
    assert stagnation_window_size(10, 6) == 153


def test_rewards_that_rise_do_not_stagnate_and_those_that_stay_do():
    rising = records(*np.linspace(0, 1, 60))
    assert not has_stagnated(rising, 40)
    assert has_stagnated(records(*[0.5] * 60), 40)
    assert has_stagnated(rising[::-1], 40)


def test_it_takes_both_a_higher_median_and_a_higher_maximum():
    first = [np.array([0.0, 0.0, 0.9])] * 21
    for last, stagnated in (((0.5, 0.5, 0.8), True), ((0.5, 0.5, 1), False), ((0, 0, 1), True)):
        assert has_stagnated([*first, *[np.array(last, dtype=float)] * 20], 40) is stagnated


def test_only_the_window_counts_and_only_when_it_is_full():
    assert not has_stagnated(records(*[0.5] * 40), 40)
    # The rise before the window is forgotten.
    assert has_stagnated([*records(0.0, 0.1, 0.2), *records(*[0.5] * 40)], 40)
