from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ctrl.search.operators import (
    at_least,
    mutated,
    normal_genomes,
    positive,
    probability,
    random_state,
    set_random_state,
    uniform_genomes,
)
from reward_models.errors import UserError


def test_mutants_differ_by_normal_numbers_of_the_given_deviation():
    parents = np.full((200, 50), 0.25)
    change = (mutated(parents, 0.3, 1.0, 5.0, np.random.default_rng(0)) - parents).ravel()
    assert stats.kstest(change / 0.3, "norm").pvalue > 0.01
    assert (parents == 0.25).all()


def test_only_a_share_of_the_genes_mutates():
    parents = np.zeros((100, 100))
    changed = (mutated(parents, 1.0, 0.2, 5.0, np.random.default_rng(0)) != 0).sum()
    assert stats.binomtest(int(changed), parents.size, 0.2).pvalue > 0.01


def test_genomes_stay_inside_of_their_limit():
    random = np.random.default_rng(0)
    for genomes in (
        mutated(np.full((50, 4), 0.9), 3.0, 1.0, 1.0, random),
        normal_genomes(50, 4, 1.0, random),
        uniform_genomes(50, 4, 1.0, random),
    ):
        assert np.abs(genomes).max() <= 1.0
    assert (
        stats.kstest(uniform_genomes(999, 1, 2.0, random).ravel() / 4 + 0.5, "uniform").pvalue
        > 0.01
    )


def test_a_generator_goes_on_from_its_state():
    random = np.random.default_rng(3)
    random.standard_normal(5)
    state, expected = random_state(random), random.random(4)
    other = np.random.default_rng(0)
    set_random_state(other, state)
    assert (other.random(4) == expected).all()


@pytest.mark.parametrize("value", [0, True, 1.5])
def test_a_count_is_a_whole_number_from_one_on(value):
    with pytest.raises(UserError, match="k must be a whole number of at least 1, got"):
        at_least("k", value, 1)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_is_finite_and_positive(value):
    with pytest.raises(UserError, match="sigma must be a finite number above 0"):
        positive("sigma", value)
    with pytest.raises(UserError, match=r"p must be in \(0, 1\]"):
        probability("p", value)
