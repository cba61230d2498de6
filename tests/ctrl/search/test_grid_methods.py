from __future__ import annotations

import numpy as np
import pytest

from ctrl.checkpoint import load_tree, save_tree
from ctrl.search.cma_me import CMAME
from ctrl.search.map_elites import MapElites
from reward_models.errors import UnknownNameError, UserError

RANGES = [[-3.0, 3.0], [-3.0, 3.0]]
COMMON = {"genome_size": 4, "ranges": RANGES, "cells": 12, "sigma": 0.3}
METHODS = {
    "gaussian": (MapElites, {"batch_size": 30, "initial_size": 20}),
    "iso_line": (MapElites, {"batch_size": 30, "initial_size": 20, "operator": "iso_line"}),
    "cma_me": (CMAME, {"batch_size": 8, "emitters": 3}),
}


def made(name, descriptor, **options):
    kind, own = METHODS[name]
    return kind(descriptor=descriptor, **{**COMMON, **own, **options})


@pytest.mark.parametrize("name", METHODS)
def test_every_cell_keeps_its_best_and_of_equals_the_first(landscape, last_sample, name):
    method, evaluate, best = made(name, last_sample), landscape(), {}

    def watched(genomes):
        episodes = evaluate(genomes)
        cells = np.clip(np.floor((episodes.samples[:, 0] + 3) / 6 * 12 + 1e-7), 0, 11).astype(int)
        for index, cell in enumerate(map(tuple, cells.tolist())):
            row = (episodes.reward[index], int(episodes.evaluation[index]))
            if cell not in best or row[0] > best[cell][0]:
                best[cell] = row
        return episodes

    for _ in range(30):
        step = method.step(watched, 1000)
    kept = method.archives["grid"]
    assert sorted(kept.evaluation.tolist()) == sorted(row[1] for row in best.values())
    assert step["elites"] == len(kept) > 30
    rewarded = method.archives["reward"]
    assert sorted(rewarded.reward) == sorted(row[0] for row in best.values() if row[0] > 0)
    assert len(rewarded) > 0


@pytest.mark.parametrize("name", METHODS)
def test_a_resumed_search_is_the_uninterrupted_one(landscape, last_sample, tmp_path, name):
    straight, first, second = (made(name, last_sample) for _ in range(3))
    evaluate, other = landscape(), landscape()
    expected = [straight.step(evaluate, 1000) for _ in range(14)]
    found = [first.step(other, 1000) for _ in range(6)]
    save_tree(first.state_dict(), tmp_path / "state")
    second.load_state_dict(load_tree(tmp_path / "state"))
    found += [second.step(other, 1000) for _ in range(8)]
    assert found == expected
    assert (second.archives["grid"].genomes == straight.archives["grid"].genomes).all()
    assert second.archives["grid"].evaluation.tolist() == (
        straight.archives["grid"].evaluation.tolist()
    )


def test_evolution_strategies_start_again_and_this_is_resumed_too(landscape, last_sample):
    method, evaluate = made("cma_me", last_sample), landscape()
    restarts = [method.step(evaluate, 1000)["restarts"] for _ in range(40)]
    assert restarts[-1] > 0
    other = made("cma_me", last_sample)
    other.load_state_dict(method.state_dict())
    again = landscape()
    again.used = evaluate.used
    assert other.step(again, 1000) == method.step(evaluate, 1000)


def test_map_elites_starts_with_what_it_draws_and_keeps_to_the_budget(landscape, last_sample):
    method, evaluate = made("gaussian", last_sample), landscape()
    while evaluate.used < 100:
        method.step(evaluate, 100 - evaluate.used)
    assert evaluate.batches == [20, 30, 30, 20]


def test_the_seed_decides_everything(landscape, last_sample):
    for name in METHODS:
        found = []
        for seed in (1, 1, 2):
            method, evaluate = made(name, last_sample, seed=seed), landscape()
            for _ in range(4):
                method.step(evaluate, 1000)
            found.append(method.archives["grid"].genomes.sum())
        assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("name", ["gaussian", "cma_me"])
def test_what_cannot_work_is_refused(last_sample, scaled, name):
    with pytest.raises(UserError, match="Scaled, which learns, cannot place"):
        made(name, scaled())
    with pytest.raises(UserError, match="ranges must be 2 pairs"):
        made(name, last_sample, ranges=[[0.0, 1.0]])
    with pytest.raises(UserError, match="ranges must be 2 pairs"):
        made(name, last_sample, ranges=[[0.0, 1.0], [1.0, 1.0]])
    with pytest.raises(UserError, match="cells must be 2 whole numbers"):
        made(name, last_sample, cells=[3])
    with pytest.raises(UserError, match="batch_size must be"):
        made(name, last_sample, batch_size=0)
    with pytest.raises(UserError, match="sigma must be"):
        made(name, last_sample, sigma=0.0)
    with pytest.raises(UnknownNameError, match="Did you mean 'iso_line'"):
        made("gaussian", last_sample, operator="isoline")
