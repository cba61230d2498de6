from __future__ import annotations

import pytest
from scipy import stats

from ctrl.checkpoint import load_tree, save_tree
from ctrl.search.random_search import RandomSearch
from reward_models.errors import UnknownNameError, UserError


def test_genomes_are_drawn_from_the_named_distribution(landscape, last_sample):
    for name, scale, law in (("normal", 1.0, "norm"), ("uniform", 10.0, "uniform")):
        method = RandomSearch(
            genome_size=4, descriptor=last_sample, batch_size=500, archive_additions=500,
            distribution=name,
        )  # fmt: skip
        method.step(landscape(), 500)
        numbers = method.archives["novelty"].genomes.ravel() / scale
        numbers += 0.5 if name == "uniform" else 0.0
        assert stats.kstest(numbers, law).pvalue > 0.01


def test_the_budget_is_kept_to_the_evaluation(landscape, last_sample):
    evaluate = landscape()
    method = RandomSearch(genome_size=4, descriptor=last_sample, batch_size=30)
    while evaluate.used < 100:
        method.step(evaluate, 100 - evaluate.used)
    assert evaluate.batches == [30, 30, 30, 10]


def test_rewarded_episodes_are_kept(landscape, last_sample):
    method = RandomSearch(genome_size=4, descriptor=last_sample, batch_size=200)
    step = method.step(landscape(), 200)
    kept = method.archives["reward"]
    assert step["reward_archive"] == len(kept) > 3
    assert (kept.reward > 0).all()
    assert len(method.archives["novelty"]) == 5


def test_a_resumed_search_is_the_uninterrupted_one(landscape, last_sample, tmp_path):
    def method():
        return RandomSearch(genome_size=4, descriptor=last_sample, batch_size=20, seed=3)

    straight, first, second = method(), method(), method()
    evaluate, other = landscape(), landscape()
    for _ in range(4):
        straight.step(evaluate, 100)
    for _ in range(2):
        first.step(other, 100)
    save_tree(first.state_dict(), tmp_path / "state")
    second.load_state_dict(load_tree(tmp_path / "state"))
    for _ in range(2):
        second.step(other, 100)
    for name, kept in straight.archives.items():
        assert (second.archives[name].genomes == kept.genomes).all()
    assert second.generation == 4


def test_what_cannot_work_is_refused(last_sample):
    with pytest.raises(UserError, match="batch_size must be"):
        RandomSearch(genome_size=4, descriptor=last_sample, batch_size=0)
    with pytest.raises(UnknownNameError, match="Did you mean 'uniform'"):
        RandomSearch(genome_size=4, descriptor=last_sample, distribution="uniforn")
