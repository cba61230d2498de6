"""The life cycle of SERENE as a whole."""

from __future__ import annotations

import numpy as np
import pytest

from ctrl.checkpoint import load_tree, save_tree
from ctrl.search.serene import Serene
from reward_models.errors import UnknownNameError, UserError

SMALL = {
    "genome_size": 4, "population_size": 10, "archive_additions": 3, "k": 3, "sigma": 0.3,
    "chunk": 120, "emitter_population": 4, "stagnation_window": 25,
}  # fmt: skip


def run(method, evaluate, budget):
    steps = []
    while evaluate.used < budget:
        steps.append(method.step(evaluate, budget - evaluate.used))
    return steps


def fingerprint(method):
    return {
        name: (kept.evaluation.tolist(), kept.genomes.sum(), kept.descriptor.sum())
        for name, kept in method.individuals.items()
    }


def test_phases_use_a_chunk_each_and_alternate(landscape, last_sample):
    evaluate = landscape(radius=2.0)
    method = Serene(descriptor=last_sample, **SMALL)
    steps = run(method, evaluate, 2000)
    used, chunks = 0, []
    for index, (step, batch) in enumerate(zip(steps, evaluate.batches, strict=True)):
        used += batch
        last = index + 1 == len(steps)
        if not last and steps[index + 1]["exploiting"] != step["exploiting"]:
            chunks.append((step["exploiting"], used))
            used = 0
    assert [phase for phase, _ in chunks[:6]] == [0, 1, 0, 1, 0, 1]
    assert chunks[0] == (0, 130)  # the first population of 10, then 6 times 20
    assert all(total == 120 for phase, total in chunks[1:6] if phase == 0)
    assert all(120 <= total < 128 for phase, total in chunks[1:6] if phase == 1)


def test_the_budget_is_exceeded_by_less_than_a_batch(landscape, last_sample):
    for budget in (55, 500, 777):
        evaluate = landscape()
        run(Serene(descriptor=last_sample, **SMALL), evaluate, budget)
        assert budget <= evaluate.used < budget + max(evaluate.batches)


def test_the_newly_rewarded_become_candidates_once_with_a_copy_in_the_archive(
    landscape, last_sample
):
    evaluate = landscape(radius=2.0)
    method = Serene(descriptor=last_sample, **{**SMALL, "chunk": 100_000})
    rewarded = set()
    for _ in range(12):
        method.step(evaluate, 10_000)
        for group in (method.search.population, method.search.offspring):
            if group is not None:
                rewarded |= set(group.evaluation[group.reward > 0].tolist())
                assert (group.spawned == (group.reward > 0)).all()
    waiting = [one.ancestor.evaluation.item() for one in method.exploitation.candidates]
    kept = method.individuals["reward"]
    assert len(waiting) == len(set(waiting)) > 3
    assert set(waiting) == set(kept.evaluation.tolist()) >= rewarded
    assert kept.spawned.all()
    # The flag went into the novelty archive with those who are there.
    both = method.individuals["novelty"]
    assert (both.spawned == (both.reward > 0)).all()
    assert both.spawned.any()


def test_the_archives_share_nothing_with_who_lives(landscape, last_sample):
    method = Serene(descriptor=last_sample, **SMALL)
    run(method, landscape(), 500)
    before = fingerprint(method)
    alive = [method.search.population, method.search.offspring]
    alive += [one.ancestor for one in method.exploitation.candidates]
    alive += [one.members for one in method.exploitation.emitters]
    assert len(alive) > 2
    for group in alive:
        group.genomes[:] = 0
        group.descriptor[:] = 0
    for kept in method.archives.values():
        kept.genomes[:] = 0
    assert fingerprint(method) == before


def test_candidates_bootstrap_while_a_third_is_left_and_live_on_only_if_they_improved(
    landscape, last_sample
):
    evaluate = landscape()
    method = Serene(descriptor=last_sample, **SMALL)
    exploitation, left, kept = method.exploitation, 0, 0
    while evaluate.used < 3000:
        if method.phase == "explore":
            left = 120
            method.step(evaluate, 10_000)
            continue
        before = list(exploitation.emitters)
        started = not exploitation.bootstrapping
        method.step(evaluate, 10_000)
        if exploitation.bootstrapping and started:
            assert left > 40
            assert evaluate.batches[-1] == 4
        left -= evaluate.batches[-1]
        for one in exploitation.emitters:
            if one not in before:
                kept += 1
                assert len(one.records) == 6
                assert one.improvement > 0
                rise = np.mean(one.records[3:]) - np.mean(one.records[:3])
                assert one.improvement == pytest.approx(rise)
    assert kept > 3


def test_no_improvement_no_emitter(landscape, last_sample):
    class Flat(type(landscape())):
        """Pays everybody the same."""

        def __call__(self, genomes):
            episodes = super().__call__(genomes)
            episodes.reward[:] = 1.0
            return episodes

    evaluate = Flat()
    method = Serene(descriptor=last_sample, **SMALL)
    steps = run(method, evaluate, 1000)
    assert max(step["emitters"] for step in steps) == 0
    assert max(step["waiting_candidates"] for step in steps) > 10
    assert sum(step["exploiting"] for step in steps) > 10


def test_an_emitter_that_is_finished_leaves_ancestor_and_novelties(landscape, last_sample):
    evaluate = landscape()
    method = Serene(descriptor=last_sample, max_emitter_generations=9, **SMALL)
    exploitation, finished = method.exploitation, 0
    while evaluate.used < 4000:
        before, archived = list(exploitation.emitters), len(method.search.archive)
        was_exploiting = method.phase == "exploit"
        pending = len(exploitation.pending)
        method.step(evaluate, 10_000)
        gone = [one for one in before if one not in exploitation.emitters]
        names = set(method.individuals["reward"].evaluation) if gone else set()
        for one in gone:
            finished += 1
            assert len(one.records) == 9
            assert one.ancestor.evaluation.item() in names
        if was_exploiting and method.phase == "explore":
            assert exploitation.pending == []
            groups = pending + sum(bool(one.buffer) for one in gone)
            added = len(method.search.archive) - archived
            assert added <= 3 * groups
            assert (added > 0) == (groups > 0)
    assert finished > 3


def test_emitters_find_more_reward_than_novelty_search_alone(landscape, last_sample):
    method = Serene(descriptor=last_sample, **SMALL)
    run(method, landscape(radius=0.5), 3000)
    reward = method.individuals["reward"]
    from_candidates = reward.reward[reward.parent < 0]
    assert reward.reward.max() > 0.9
    assert reward.reward.max() > from_candidates.max(initial=0.0)


@pytest.mark.parametrize("emitter", ["fitness", "novelty", "cma-es"])
@pytest.mark.parametrize("scheduler", ["alternating", "ucb"])
def test_the_seed_decides_everything(landscape, last_sample, emitter, scheduler):
    def found(seed):
        method = Serene(
            descriptor=last_sample, emitter=emitter, scheduler=scheduler, seed=seed, **SMALL
        )
        run(method, landscape(), 800)
        return fingerprint(method)

    assert found(3) == found(3) != found(4)


@pytest.mark.parametrize("emitter", ["fitness", "cma-es"])
@pytest.mark.parametrize("moment", ["explore", "bootstrap", "emitter", "pending"])
def test_a_resumed_search_is_the_uninterrupted_one(landscape, scaled, tmp_path, emitter, moment):
    def method():
        # Emitters end after 9 generations, in the middle of the chunk.
        return Serene(
            descriptor=scaled(), criterion="random", emitter=emitter, improvement="local",
            scheduler="ucb", max_emitter_generations=9, seed=5, **SMALL,
        )  # fmt: skip

    def here(one):
        state = one.state_dict()["exploitation"]
        return (
            one.generation > 20
            and {
                "explore": one.phase == "explore",
                "bootstrap": one.exploitation.bootstrapping
                and len(state["bootstrapped"]["records"]) == 3,
                "emitter": state["running"] is not None,
                "pending": one.phase == "exploit" and len(state["pending"]) > 0,
            }[moment]
        )

    straight, first, second = method(), method(), method()
    other = landscape()
    found = []
    while not here(first):
        assert other.used < 20_000
        found.append(first.step(other, 10_000))
    save_tree(first.state_dict(), tmp_path / "state")
    second.load_state_dict(load_tree(tmp_path / "state"))
    found += [second.step(other, 10_000) for _ in range(80)]
    evaluate = landscape()
    assert [straight.step(evaluate, 10_000) for _ in found] == found
    assert fingerprint(straight) == fingerprint(second)
    assert evaluate.batches == other.batches


def test_everything_that_is_kept_is_described_again(landscape, scaled):
    evaluate, descriptor = landscape(), scaled()
    method = Serene(descriptor=descriptor, criterion="random", **SMALL)
    seen = set()
    while evaluate.used < 6000:
        version = descriptor.version
        method.step(evaluate, 10_000)
        if descriptor.version == version:
            continue
        state = method.exploitation
        groups = [
            ("population", method.search.population),
            ("offspring", method.search.offspring),
            *method.individuals.items(),
            *(("pending", group) for group in state.pending),
        ]
        for one in (*state.candidates, *state.emitters):
            groups += [("ancestor", one.ancestor), ("most_novel", one.most_novel)]
            groups += [("members", one.members)] * (one.members is not None)
            groups += [("buffer", group) for group in one.buffer]
        for name, group in groups:
            seen.add(name)
            assert (group.descriptor == descriptor.scale * group.genomes[:, :2]).all()
            assert (group.surprise == descriptor.scale * np.abs(group.genomes[:, 2])).all()
    assert descriptor.version > 4
    assert seen == {
        "population", "offspring", "novelty", "reward", "ancestor", "most_novel", "members",
        "buffer",
    }  # fmt: skip


def test_the_descriptor_learns_from_the_reward_archive_too(landscape, scaled):
    descriptor = scaled()
    names = []

    def learn(episodes, learn=descriptor.learn):
        names.append(set(episodes.evaluation.tolist()))
        return learn(episodes)

    descriptor.learn = learn
    method, evaluate = Serene(descriptor=descriptor, **SMALL), landscape()
    while len(names) < 3:
        method.step(evaluate, 10_000)
    assert names[2] == {
        name
        for group in (
            *method.individuals.values(), method.search.population, method.search.offspring,
        )
        for name in group.evaluation.tolist()
    }  # fmt: skip


def test_a_negative_reward_stops_the_search(landscape, last_sample):
    evaluate = landscape()

    def shifted(genomes):
        episodes = evaluate(genomes)
        episodes.reward[:] -= 1.0
        return episodes

    with pytest.raises(UserError, match="none may be negative"):
        Serene(descriptor=last_sample, **SMALL).step(shifted, 100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k must be"),
        ({"emitter_population": 0}, "emitter_population must be"),
        ({"emitter": "cma-es", "emitter_population": 1}, "at least 2, got 1"),
        ({"bootstrap_generations": 1}, "bootstrap_generations must be"),
        ({"stagnation_window": 20}, "stagnation_window must be .* at least 21"),
        ({"max_emitter_generations": 0}, "max_emitter_generations must be"),
        ({"scheduler": "ucb", "ucb_c": 0.0}, "c must be"),
        ({"emitter": "fitnes"}, "Did you mean 'fitness'"),
        ({"sigma_scale": "sqrt"}, "Did you mean 'sqrt_d'"),
        ({"improvement": "locl"}, "Did you mean 'local'"),
        ({"scheduler": "alternate"}, "Did you mean 'alternating'"),
    ],
)
def test_settings_that_cannot_work_are_refused(last_sample, options, message):
    with pytest.raises((UserError, UnknownNameError), match=message):
        Serene(descriptor=last_sample, **{**SMALL, **options})
