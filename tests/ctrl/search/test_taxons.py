from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ctrl.checkpoint import load_tree, save_tree
from ctrl.config import EnvConfig
from ctrl.search.evaluation import CountedEvaluate, Evaluator, Setting
from ctrl.search.individuals import Individuals
from ctrl.search.novelty_search import NoveltySearch
from ctrl.search.serene.serene import Serene
from ctrl.search.stax import STAX_VARIANTS, stax
from ctrl.search.taxons import taxons
from reward_models.errors import UnknownNameError, UserError

SMALL = {
    "genome_size": 27, "population_size": 4, "archive_additions": 1, "k": 3, "sigma": 0.5,
    "chunk": 12, "autoencoder": {"epochs": 1, "batch_size": 8},
}  # fmt: skip
# A disc that some walks end in, so that a few emitters are sent out.
WORLD = EnvConfig("PointWalker-v0", threads=1, options={"areas": [[0.1, 0.1, 0.12]], "horizon": 5})


@pytest.fixture(scope="module")
def pictured():
    setting = Setting(env=WORLD, genome={"kind": "controller", "hidden": [5]}, images=True)
    with Evaluator(setting) as evaluator:
        yield evaluator


def _counted(evaluator):
    return CountedEvaluate(evaluator)


def _kept(value, found):
    """Find every group of individuals that an object holds, however deep."""
    if isinstance(value, Individuals):
        found.append(value)
    elif isinstance(value, dict):
        for item in value.values():
            _kept(item, found)
    elif isinstance(value, list | tuple):
        for item in value:
            _kept(item, found)
    elif type(value).__module__.startswith("ctrl.search") and hasattr(value, "__dict__"):
        for item in vars(value).values():
            _kept(item, found)
    return found


@pytest.mark.parametrize(
    "make",
    [
        lambda: taxons(**SMALL),
        lambda: stax(**SMALL, emitter_population=2, bootstrap_generations=2),
        lambda: stax(**SMALL, variant="stax-p", emitter_population=2, bootstrap_generations=2),
    ],
    ids=["taxons", "stax", "stax-p"],
)
def test_old_codes_and_new_ones_are_never_mixed(pictured, make):
    method, evaluate = make(), _counted(pictured)
    descriptor = (method.search if isinstance(method, Serene) else method).descriptor
    version, groups = 0, 0
    for _ in range(40):
        method.step(evaluate, 1000)
        if descriptor.version == version:
            continue
        # Everything it holds has just been described by the old code.
        version = descriptor.version
        kept = _kept(method, [])
        groups = max(groups, len(kept))
        for individuals in kept:
            found = descriptor.describe(individuals.episodes)
            assert np.array_equal(individuals.descriptor, found)
        assert np.array_equal(kept[0].surprise, descriptor.surprise(kept[0].episodes))
        if version == 2:
            break
    assert version == 2
    assert groups >= (5 if isinstance(method, Serene) else 3)


def test_training_after_one_and_then_two_and_then_three_chunks(pictured):
    method, evaluate = taxons(**SMALL), _counted(pictured)
    trained = []
    # The first step evaluates 4, the others 8 each: a chunk of 12 ends with every second step.
    for step in range(1, 22):
        metrics = method.step(evaluate, 1000)
        if "descriptor/loss" in metrics:
            trained.append(step)
    assert [step // 2 for step in trained] == [1, 3, 6, 10]


def test_resuming_equals_going_on(pictured, tmp_path):
    evaluate = _counted(pictured)
    method = stax(**SMALL, seed=3, emitter_population=2, bootstrap_generations=2)
    for _ in range(6):
        method.step(evaluate, 1000)
    save_tree(method.state_dict(), tmp_path)
    again = stax(**SMALL, seed=8, emitter_population=2, bootstrap_generations=2)
    again.load_state_dict(load_tree(tmp_path))
    other = CountedEvaluate(pictured, used=evaluate.used)
    for _ in range(6):
        assert method.step(evaluate, 1000) == again.step(other, 1000)
    for name, archive in method.archives.items():
        assert (again.archives[name].evaluation == archive.evaluation).all()


def test_variants():
    made = {name: stax(genome_size=4, variant=name) for name in STAX_VARIANTS}
    searches = {name: method.search for name, method in made.items()}
    assert {name: search.criterion for name, search in searches.items()} == {
        "stax": "random", "stax-p": "pareto", "stax-nt": "novelty", "stax-multi": "random",
    }  # fmt: skip
    assert searches["stax-multi"].descriptor.size == 50
    assert stax(genome_size=4, variant="stax-multi", samples=3).search.descriptor.size == 30
    assert stax(genome_size=4, criterion="surprise").search.criterion == "surprise"
    with pytest.raises(UnknownNameError, match="stax-nt"):
        stax(genome_size=4, variant="stax-n")


def test_a_code_that_is_never_trained(pictured):
    method, evaluate = stax(**SMALL, variant="stax-nt"), _counted(pictured)
    weights = method.search.descriptor.state_dict()["weights"]
    first = method.search.population
    for _ in range(5):
        metrics = method.step(evaluate, 1000)
        assert "descriptor/loss" not in metrics
    assert method.search.descriptor.version == 0
    assert first is None
    assert method.search.population.born.max() > 0
    after = method.search.descriptor.state_dict()["weights"]
    assert all(np.array_equal(after[name], value) for name, value in weights.items())


def test_options_reach_search_and_autoencoder():
    method = taxons(genome_size=4, k=7, samples=2, autoencoder={"code_size": 3}, seed=1)
    assert isinstance(method, NoveltySearch)
    assert (method.k, method.criterion, method.descriptor.size) == (7, "random", 6)
    other = taxons(genome_size=4, autoencoder={"code_size": 3}, seed=2)
    weights = [each.descriptor.autoencoder.encoder[0].weight for each in (method, other)]
    assert not np.array_equal(*(each.detach().numpy() for each in weights))
    with pytest.raises(UserError, match="code_size must be at least 1"):
        taxons(genome_size=4, autoencoder={"code_size": 0})


def test_without_pictures_there_is_nothing_to_learn_from(pictured):
    with (
        Evaluator(replace(pictured.setting, images=False)) as blind,
        pytest.raises(UserError, match="needs pictures of the episodes"),
    ):
        taxons(**SMALL).step(_counted(blind), 1000)
