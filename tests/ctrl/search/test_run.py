"""Whole searches on real worlds: run folders, resuming, and equal results on other processes."""

import csv
import json

import numpy as np
import pytest

from ctrl.checkpoint import load_tree, newest_checkpoint
from ctrl.search.elites import load_elite
from ctrl.search.evaluation import Evaluator
from ctrl.search.run import resume_search, search
from reward_models.errors import UserError

SMALL = {"population_size": 10, "chunk": 60, "sigma": 0.5, "archive_additions": 3}
EASY = [[0.5, 0.5, 0.6], [-0.5, -0.5, 0.4]]
METHODS = {
    "random": {"batch_size": 40},
    "novelty": SMALL,
    "serene": {**SMALL, "emitter_population": 4},
    "map_elites": {"batch_size": 40, "initial_size": 20},
}


def configuration(name="serene", budget=240, **more):
    return {
        "env": {"id": "PointWalker-v0", "areas": EASY},
        "genome": {"kind": "controller", "hidden": [5]},
        "method": {"name": name, **METHODS[name]},
        "budget": budget,
        "seed": 3,
        **more,
    }


def archives(folder):
    return {
        place.name: load_tree(place)["episodes"]
        for place in sorted((folder / "archives").iterdir())
    }


def rows(folder):
    with (folder / "progress.csv").open() as file:
        return list(csv.DictReader(file))


def same(a, b):
    assert list(a) == list(b)
    for name, episodes in a.items():
        for key, value in episodes.items():
            np.testing.assert_array_equal(value, b[name][key], err_msg=f"{name}.{key}")


@pytest.mark.parametrize("name", list(METHODS))
def test_a_search_leaves_what_it_found(name, tmp_path):
    result = search(configuration(name), out=tmp_path / "run")
    assert result.finished
    assert 240 <= result.evaluations < 280
    assert result.steps == 50 * result.evaluations
    assert 0.0 < result.archive_coverage <= result.coverage < 1.0
    assert result.mean_best == pytest.approx(sum(result.best.values()) / 2)
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result.as_dict()
    found = archives(tmp_path / "run")
    assert {kept: len(episodes["reward"]) for kept, episodes in found.items()} == result.kept
    logged = rows(tmp_path / "run")
    assert int(logged[-1]["search/evaluations"]) == result.evaluations
    assert float(logged[-1]["search/coverage"]) == pytest.approx(result.coverage, abs=1e-6)
    coverage = [float(row["search/coverage"]) for row in logged]
    assert coverage == sorted(coverage)
    pictures = {picture.stem for picture in (tmp_path / "run" / "pictures").iterdir()}
    assert pictures == {"archives", "grid", "progress", "elites"}


def test_an_elite_runs_again_as_it_was_found(tmp_path):
    search(configuration(), out=tmp_path / "run")
    folders = sorted((tmp_path / "run" / "elites").iterdir())
    assert {folder.name for folder in folders} >= {"area_0", "novelty_0"}
    from ctrl.search.evaluation import Setting

    for folder in folders:
        elite = load_elite(folder)
        with Evaluator(Setting(env=elite.env, genome=dict(elite.kind), seed=3)) as evaluator:
            again = evaluator.evaluate(elite.genome[None], elite.numbers["evaluation"])
        assert again.reward[0] == elite.numbers["reward"]
        assert again.place[0].tolist() == [elite.numbers["x"], elite.numbers["y"]]
        if folder.name == "area_0":
            assert elite.numbers["area"] == 0
            assert elite.numbers["reward"] > 0.0


@pytest.mark.parametrize("name", list(METHODS))
def test_a_resumed_search_equals_one_that_never_stopped(name, tmp_path):
    whole = search(configuration(name), out=tmp_path / "whole")
    # A batch of MAP-Elites ends at the budget, so it is cut where one would have ended anyway.
    search(configuration(name, budget=100 if name == "map_elites" else 120), out=tmp_path / "cut")
    resumed = resume_search(tmp_path / "cut", budget=240)
    same(archives(tmp_path / "whole"), archives(tmp_path / "cut"))
    assert resumed.coverage == whole.coverage
    assert resumed.best == whole.best
    assert rows(tmp_path / "cut")[-1] == rows(tmp_path / "whole")[-1]


def test_two_processes_find_the_same(tmp_path):
    search(configuration(budget=120), out=tmp_path / "one")
    search(configuration(budget=120), out=tmp_path / "two", processes=2)
    same(archives(tmp_path / "one"), archives(tmp_path / "two"))
    assert rows(tmp_path / "one") == rows(tmp_path / "two")


def test_another_seed_finds_something_else(tmp_path):
    first = search(configuration(budget=60), out=tmp_path / "a")
    second = search({**configuration(budget=60), "seed": 4}, out=tmp_path / "b")
    assert first.coverage != second.coverage


def test_episodes_are_worth_what_the_mix_says(tmp_path):
    # The height of the end is added to the task: the hint pays everywhere, the disc in one place.
    hint = tmp_path / "mine.py"
    hint.write_text(
        "def ends_high(next_observation, terminated):\n"
        "    return (1.0 + next_observation[..., 1]).float() * terminated.float()\n"
    )
    data = configuration("random", budget=40, reward={"hint": {"use": f"{hint}:ends_high"}})
    search(data, out=tmp_path / "run")
    kept = archives(tmp_path / "run")["novelty"]
    np.testing.assert_allclose(kept["reward"] - kept["task_reward"], 1 + kept["place"][:, 1], 1e-5)
    with pytest.raises(UserError, match="trust"):
        resume_search(tmp_path / "run", budget=80)
    assert resume_search(tmp_path / "run", budget=80, trust_code=True).evaluations == 80


def test_checkpoints_come_as_often_as_asked_and_old_ones_go(tmp_path):
    data = configuration("random", budget=200, checkpoints={"every": 40, "keep": 3})
    search(data, out=tmp_path / "run")
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == [f"step_{used:012d}" for used in (120, 160, 200)]


def test_a_finished_search_says_how_to_go_on(tmp_path):
    search(configuration("random", budget=40), out=tmp_path / "run")
    with pytest.raises(UserError, match="--budget"):
        resume_search(tmp_path / "run")
    assert newest_checkpoint(tmp_path / "run" / "checkpoints") is not None


def test_a_search_in_nethack(tmp_path):
    pytest.importorskip("minihack")
    data = {
        "env": {"id": "MiniHack-Room-5x5-v0", "max_episode_steps": 20},
        "method": {"name": "novelty", **SMALL},
        "budget": 30,
    }
    result = search(data, out=tmp_path / "run")
    assert result.finished
    assert result.kept["novelty"] > 0


def test_pictures_teach_a_descriptor(tmp_path):
    data = configuration("novelty", budget=110)
    data["method"] = {"name": "taxons", **SMALL, "chunk": 30}
    data["descriptor"] = {"epochs": 1, "batch_size": 16}
    result = search(data, out=tmp_path / "run")
    assert result.finished
    trained = [row["method/descriptor/pictures"] for row in rows(tmp_path / "run")]
    assert sum(bool(cell) for cell in trained) == 2
