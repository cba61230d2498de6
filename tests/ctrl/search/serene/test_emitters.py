"""What an emitter remembers, and how its population moves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ctrl.search.archives import Archive
from ctrl.search.individuals import Individuals
from ctrl.search.serene.emitter import Emitter
from ctrl.search.serene.evolution_strategy import EvolutionStrategyEmitter
from ctrl.search.serene.kinds import ElitistEmitter

LIMIT = {"population": 6, "genome_limit": 5.0}


@pytest.fixture
def group(landscape, last_sample):
    """Return a function: individuals that earn the given rewards."""
    evaluate = landscape(radius=1.0)

    def make(rewards):
        genomes = np.zeros((len(rewards), 4))
        genomes[:, :2] = evaluate.centre
        genomes[:, 0] += 1 - np.asarray(rewards)
        return Individuals.of(evaluate(genomes), last_sample, generation=0)

    return make


@pytest.fixture
def emitter(group):
    return Emitter(ancestor=group([0.1]), sigma=0.2)


def test_the_best_is_stored_first_and_then_all_that_beat_what_was_stored(emitter, group):
    archive = Archive()
    for rewards, stored in (
        ([0.0, 0.0], []),
        ([0.2, 0.3], [0.3]),
        ([0.3, 0.3], []),
        ([0.5, 0.4], [0.5, 0.4]),
        ([0.45, 0.1], []),
        ([0.6, 0.1], [0.6]),
    ):
        before = len(archive)
        emitter.record(group(rewards))
        emitter.store_rewarded(archive, 9)
        found = [] if archive.individuals is None else archive.individuals.reward[before:]
        assert found == pytest.approx(stored)


def test_what_is_more_novel_than_ever_goes_into_the_buffer(emitter, group):
    emitter.novelty = 1.0
    emitter.record(group([0.1, 0.2, 0.3]))
    emitter.buffer_novel(np.array([0.5, 1.5, 1.2]))
    assert [one.tolist() for one in (found.reward.round(2) for found in emitter.buffer)] == [
        [0.2, 0.3]
    ]
    assert emitter.novelty == 1.5
    assert emitter.most_novel.evaluation.item() == emitter.members.evaluation[1]
    emitter.buffer_novel(np.array([1.4, 1.5, 1.0]))
    assert len(emitter.buffer) == 1


def test_improvement_is_over_the_start_or_since_the_last_visit(emitter, group):
    other = Emitter(ancestor=group([0.1]), sigma=0.2)
    for one, local, expected in ((emitter, False, [0.3, 0.4]), (other, True, [0.3, 0.1])):
        for reward in (0.1, 0.1, 0.1, 0.4, 0.4, 0.4):
            one.record(group([reward] * 2))
        one.rate(local=local)
        first = one.improvement
        for _ in range(3):
            one.record(group([0.5] * 2))
        one.rate(local=local)
        assert [first, one.improvement] == pytest.approx(expected)


def test_everything_is_described_again_and_the_best_novelty_forgotten(emitter, group, scaled):
    emitter.novelty = 0.0
    emitter.record(group([0.1, 0.2]))
    emitter.buffer_novel(np.array([1.0, 2.0]))
    descriptor = scaled()
    descriptor.learn(emitter.members.episodes)
    emitter.describe_again(descriptor)
    for kept in (emitter.ancestor, emitter.most_novel, emitter.members, *emitter.buffer):
        assert (kept.descriptor == 2 * kept.genomes[:, :2]).all()
    assert emitter.novelty is None


def test_mutants_have_the_emitters_sigma_and_the_best_live_on(emitter, group):
    kind, random = ElitistEmitter(by_novelty=False, **LIMIT), np.random.default_rng(0)
    genomes, parents = kind.propose(emitter, random)
    assert genomes.shape == (6, 4)
    assert (parents.evaluation == emitter.ancestor.evaluation).all()
    emitter.record(group([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]))
    genomes, parents = kind.propose(emitter, random)
    assert parents.evaluation.tolist() == np.repeat(emitter.members.evaluation, 2).tolist()
    many = [(kind.propose(emitter, random)[0] - parents.genomes).ravel() for _ in range(30)]
    assert stats.kstest(np.concatenate(many) / 0.2, "norm").pvalue > 0.01
    born = group([0.55, 0.15, 0.05, 0.35, 0.65, 0.0])
    everyone = Individuals.joined([emitter.members, born])
    best = kind.survivors(emitter, everyone, np.zeros(12))
    assert everyone.reward[best] == pytest.approx([0.65, 0.6, 0.55, 0.5, 0.4, 0.35])


def test_of_equals_the_younger_live_on(emitter, group):
    kind = ElitistEmitter(by_novelty=False, **LIMIT)
    emitter.record(group([0.5] * 6))
    born = group([0.5] * 6)
    everyone = Individuals.joined([emitter.members, born])
    assert set(kind.survivors(emitter, everyone, np.zeros(12))) == set(range(6, 12))


def test_the_novelty_emitter_keeps_the_most_novel(emitter, group):
    kind = ElitistEmitter(by_novelty=True, **LIMIT)
    emitter.record(group([0.5] * 6))
    everyone = Individuals.joined([emitter.members, group([0.1] * 12)])
    found = np.arange(18.0)[::-1].copy()
    found[3] = 0.0
    assert set(kind.survivors(emitter, everyone, found)) == {0, 1, 2, 4, 5, 6}


def test_the_evolution_strategy_climbs_and_goes_on_from_its_state(landscape, last_sample):
    def run(generations, *, reload_after):
        evaluate = landscape(radius=4.0)
        kind, random = EvolutionStrategyEmitter(**LIMIT), np.random.default_rng(0)
        ancestor = Individuals.of(evaluate(np.zeros((1, 4))), last_sample, generation=0)
        emitter = Emitter(ancestor=ancestor, sigma=0.3)
        for generation in range(generations):
            genomes, parents = kind.propose(emitter, random)
            born = Individuals.of(
                evaluate(genomes), last_sample, generation=generation, parents=parents
            )
            everyone = (
                born if emitter.members is None else Individuals.joined([emitter.members, born])
            )
            rows = kind.survivors(emitter, everyone, np.zeros(len(everyone)))
            assert everyone.evaluation[rows].tolist() == born.evaluation.tolist()
            emitter.record(everyone[rows])
            if generation == reload_after:
                emitter = Emitter.from_state(emitter.state_dict())
        return emitter

    emitter, again = run(25, reload_after=None), run(25, reload_after=10)
    assert (emitter.members.genomes == again.members.genomes).all()
    assert emitter.members.reward.mean() > emitter.ancestor.reward[0] + 0.25


def test_a_strategy_stops_when_all_earn_the_same(landscape, last_sample):
    evaluate = landscape(radius=0.1)
    kind, random = EvolutionStrategyEmitter(**LIMIT), np.random.default_rng(0)
    ancestor = Individuals.of(evaluate(np.full((1, 4), -4.9)), last_sample, generation=0)
    emitter = Emitter(ancestor=ancestor, sigma=0.5)
    genomes, parents = kind.propose(emitter, random)
    assert genomes.min() == -5.0  # proposed beyond the limit, evaluated at it
    born = Individuals.of(evaluate(genomes), last_sample, generation=0, parents=parents)
    kind.survivors(emitter, born, np.zeros(6))
    assert emitter.stopped
