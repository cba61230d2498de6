from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ctrl.checkpoint import load_tree, save_tree
from ctrl.config import EnvConfig
from ctrl.search.descriptors import LastSample
from ctrl.search.evaluation import CountedEvaluate, Evaluator, Setting
from ctrl.search.novelty_search import NoveltySearch
from ctrl.search.random_search import RandomSearch
from reward_models.errors import UnknownNameError, UserError
from reward_models.novelty.nearest import novelty

SMALL = {
    "genome_size": 4, "population_size": 10, "archive_additions": 3, "k": 3, "sigma": 0.3,
}  # fmt: skip


def searched(method, evaluate, steps):
    return [method.step(evaluate, 10_000) for _ in range(steps)]


def test_novelty_is_the_mean_distance_to_the_neighbours_but_the_nearest():
    points = np.array([(0.0, 0), (1, 0), (0, 1), (3, 4)])
    assert novelty(points, points, 2) == pytest.approx([1.0, 1.207107, 1.207107, 4.357388])
    assert novelty(points[:1], np.array([(0.0, 0), (0, 0), (1, 0)]), 2) == pytest.approx([0.5])


def test_the_first_batch_is_drawn_and_the_others_are_offspring(landscape, last_sample):
    evaluate = landscape()
    method = NoveltySearch(descriptor=last_sample, offspring_per_parent=3, **SMALL)
    searched(method, evaluate, 3)
    assert evaluate.batches == [10, 30, 30]
    assert method.generation == 3
    assert set(method.offspring.parent) <= set(range(40))
    assert (method.offspring.ancestor < 10).all()


def test_the_most_novel_of_population_and_offspring_live_on(landscape, last_sample):
    evaluate = landscape()
    method = NoveltySearch(descriptor=last_sample, **SMALL)
    searched(method, evaluate, 4)
    before, archived = method.population, method.archive.descriptors(2)
    step = method.step(evaluate, 10_000)
    everyone = np.concatenate([before.descriptor, method.offspring.descriptor])
    names = np.concatenate([before.evaluation, method.offspring.evaluation])
    found = novelty(everyone, np.concatenate([everyone, archived]), 3)
    best = np.argsort(-found, kind="stable")[:10]
    assert method.population.evaluation.tolist() == names[best].tolist()
    assert step["mean_novelty"] == pytest.approx(found[best].mean())


def test_some_offspring_of_every_generation_are_archived(landscape, last_sample):
    method = NoveltySearch(descriptor=last_sample, **SMALL)
    steps = searched(method, landscape(), 5)
    assert [step["novelty_archive"] for step in steps] == [0, 3, 6, 9, 12]
    kept = method.individuals["novelty"]
    assert (kept.stored == kept.born).all()
    assert kept.stored.tolist() == np.repeat([1, 2, 3, 4], 3).tolist()
    copy = method.archives["novelty"]
    copy.genomes[:] = 0
    assert np.abs(method.archives["novelty"].genomes).max() > 0


def test_the_best_offspring_are_archived_on_request(landscape, last_sample):
    evaluate = landscape()
    method = NoveltySearch(descriptor=last_sample, archive_selection="best", **SMALL)
    searched(method, evaluate, 2)
    before, archived = method.population, method.archive.descriptors(2)
    method.step(evaluate, 10_000)
    everyone = np.concatenate([before.descriptor, method.offspring.descriptor])
    found = novelty(everyone, np.concatenate([everyone, archived]), 3)[10:]
    expected = method.offspring.evaluation[np.argsort(-found, kind="stable")[:3]]
    assert method.archives["novelty"].evaluation[-3:].tolist() == expected.tolist()


def test_the_seed_decides_everything(landscape, last_sample):
    def archive(seed):
        method = NoveltySearch(descriptor=last_sample, seed=seed, **SMALL)
        searched(method, landscape(), 4)
        return method.archives["novelty"].genomes

    assert (archive(1) == archive(1)).all()
    assert (archive(1) != archive(2)).any()


@pytest.mark.parametrize("criterion", ["novelty", "random", "pareto"])
def test_a_resumed_search_is_the_uninterrupted_one(landscape, scaled, tmp_path, criterion):
    def method():
        return NoveltySearch(descriptor=scaled(), criterion=criterion, chunk=40, **SMALL)

    straight, first, evaluate, other = method(), method(), landscape(), landscape()
    expected = searched(straight, evaluate, 9)
    found = searched(first, other, 4)
    save_tree(first.state_dict(), tmp_path / "state")
    second = method()
    second.load_state_dict(load_tree(tmp_path / "state"))
    found += searched(second, other, 5)
    assert found == expected
    assert (straight.archives["novelty"].genomes == second.archives["novelty"].genomes).all()
    assert (straight.population.descriptor == second.population.descriptor).all()
    assert straight.descriptor.scale == second.descriptor.scale > 1


def test_a_learned_descriptor_is_trained_after_one_three_and_six_chunks(landscape, scaled):
    descriptor = scaled()
    method = NoveltySearch(descriptor=descriptor, chunk=20, **SMALL)
    # Steps use 10, 20, 20 ... evaluations: the first chunk ends with the second step.
    steps = searched(method, landscape(), 8)
    trained = [index for index, step in enumerate(steps) if "descriptor/loss" in step]
    assert trained == [1, 3, 6]
    kept = [method.archive.individuals, method.population, method.offspring]
    for group in kept:
        assert (group.descriptor == 8 * group.genomes[:, :2]).all()


def test_a_descriptor_learns_from_everybody_that_is_kept_once(landscape, scaled):
    descriptor = scaled()
    method = NoveltySearch(descriptor=descriptor, chunk=20, **SMALL)
    searched(method, landscape(), 2)
    kept = (method.archive.individuals, method.population, method.offspring)
    names = {name for group in kept for name in group.evaluation.tolist()}
    assert 20 < len(names) < sum(map(len, kept))
    assert descriptor.learned_from == [len(names)]


def test_nothing_is_trained_when_it_should_not_be(landscape, scaled, last_sample):
    descriptor = scaled()
    untrained = NoveltySearch(descriptor=descriptor, chunk=20, train_descriptor=False, **SMALL)
    searched(untrained, landscape(), 5)
    assert descriptor.version == 0
    fixed = NoveltySearch(descriptor=last_sample, chunk=20, **SMALL)
    assert not any("descriptor/loss" in step for step in searched(fixed, landscape(), 5))


def test_a_descriptor_that_was_changed_elsewhere_describes_all_again(landscape, scaled):
    evaluate, descriptor = landscape(), scaled()
    method = NoveltySearch(descriptor=descriptor, **SMALL)
    searched(method, evaluate, 3)
    descriptor.learn(method.population.episodes)
    method.step(evaluate, 10_000)
    for group in (method.archive.individuals, method.population, method.offspring):
        assert (group.descriptor == 2 * group.genomes[:, :2]).all()


def test_surprise_selects_those_that_surprise(landscape, scaled):
    evaluate = landscape()
    method = NoveltySearch(descriptor=scaled(), criterion="surprise", **SMALL)
    searched(method, evaluate, 2)
    before = method.population
    method.step(evaluate, 10_000)
    surprise = np.concatenate([before.surprise, method.offspring.surprise])
    assert sorted(method.population.surprise) == sorted(surprise)[-10:]


def test_the_random_criterion_takes_both_about_equally_often(landscape, scaled):
    evaluate = landscape()
    method = NoveltySearch(
        descriptor=scaled(), criterion="random", novelty_only_generations=3, **SMALL
    )
    by_surprise = []
    for _ in range(63):
        before = method.population
        method.step(evaluate, 10_000)
        if before is not None:
            surprise = np.concatenate([before.surprise, method.offspring.surprise])
            by_surprise.append(sorted(method.population.surprise) == sorted(surprise)[-10:])
    assert not any(by_surprise[:2])
    assert stats.binomtest(sum(by_surprise[2:]), 60, 0.5).pvalue > 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k must be a whole number of at least 1, got 0"),
        ({"population_size": 0}, "population_size must be a whole number of at least 1"),
        ({"sigma": 0.0}, "sigma must be a finite number above 0"),
        ({"mutation_probability": 1.5}, "mutation_probability must be in"),
        ({"chunk": 0}, "chunk must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_settings_that_cannot_work_are_refused(last_sample, options, message):
    with pytest.raises(UserError, match=message):
        NoveltySearch(descriptor=last_sample, **{**SMALL, **options})


def test_unknown_names_are_refused_with_the_nearest(last_sample):
    with pytest.raises(UnknownNameError, match="Did you mean 'novelty'"):
        NoveltySearch(descriptor=last_sample, criterion="novlety", **SMALL)
    with pytest.raises(UnknownNameError, match="Did you mean 'best'"):
        NoveltySearch(descriptor=last_sample, archive_selection="bets", **SMALL)


def test_it_covers_more_of_the_walkers_world_than_random_search():
    def cells(seed, kind, **options):
        genome = {"kind": "controller", "hidden": [5]}
        setting = Setting(env=EnvConfig(id="PointWalker-v0"), genome=genome, seed=seed)
        with Evaluator(setting) as evaluator:
            evaluate, seen = CountedEvaluate(evaluator), set()

            def watched(genomes):
                episodes = evaluate(genomes)
                seen.update(map(tuple, np.floor(episodes.place * 10).astype(int).tolist()))
                return episodes

            method = kind(
                genome_size=evaluator.genome.size,
                descriptor=LastSample(observation_size=2),
                seed=seed,
                **options,
            )
            while evaluate.used < 900:
                method.step(watched, 900 - evaluate.used)
        return len(seen)

    ours = [cells(seed, NoveltySearch, sigma=0.5, population_size=50) for seed in range(3)]
    random = [cells(seed, RandomSearch, batch_size=100) for seed in range(3)]
    assert stats.ttest_ind(ours, random, alternative="greater").pvalue < 0.01
