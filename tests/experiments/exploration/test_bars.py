"""Every bar about exploration is a study that can be read, and whose every method can be built."""

import json
from pathlib import Path

import pytest

from ctrl.build import build_model
from ctrl.study.plan import TRAIN, read_study, training

BARS = Path(__file__).resolve().parents[3] / "experiments" / "bars"
CONTROLS = {"none", "constant"}
TRAINED = ["serpentine-coverage", "hindsight-tracker-maze", "hindsight-cheetah"]
NETHACK = ["hindsight-minihack"]
CALLED = ["hindsight-corridor", "hindsight-ring"]


@pytest.mark.parametrize("name", [*TRAINED, *NETHACK, *CALLED])
def test_a_bar_can_be_read_and_has_its_controls_and_rules(name):
    study = read_study(BARS / f"{name}.yaml")
    assert study.name == name
    assert study.rules
    assert len(study.seeds) >= 3
    if name != "hindsight-ring":  # it explores nothing
        assert set(study.methods) >= CONTROLS
    ruled = {rule.metric.removesuffix("_area") for rule in study.rules}
    if study.run == TRAIN:
        assert ruled <= set(study.measures)
        assert "visits" in study.settings["reward"]


@pytest.mark.parametrize("name", TRAINED)
def test_every_method_of_a_bar_can_be_built(name):
    build_all(name)


def test_every_method_of_the_nethack_bar_can_be_built():
    pytest.importorskip("minihack")
    build_all("hindsight-minihack")


def build_all(name):
    study = read_study(BARS / f"{name}.yaml")
    for cell in study.cells()[: len(study.methods)]:
        model = build_model(training(cell), n_envs=2)
        model.env.close()
        assert "visits" in model.rollout_buffer.books.mix.names


def recorded(name):
    """Return means over seeds by (metric, method, environment), and the verdicts by claim."""
    data = json.loads((BARS.parent / "results" / f"{name}.json").read_text())
    means = {(s["metric"], s["method"], s["environment"]): s["mean"] for s in data["summaries"]}
    assert not data["missing"]
    assert len({cell["seed"] for cell in data["cells"]}) == 5
    return means, {verdict["claim"]: verdict["passed"] for verdict in data["verdicts"]}


def test_the_recorded_coverage_holds_the_published_bar():
    means, verdicts = recorded("serpentine-coverage")
    cells = {method: mean for (metric, method, _), mean in means.items() if metric == "cells"}
    assert all(verdicts.values())
    bonuses = set(cells) - CONTROLS
    assert len(bonuses) == 12
    assert min(cells[name] for name in bonuses) >= 1.2 * cells["none"]


def test_the_recorded_corridor_holds_the_published_bar_but_for_what_is_said_of_icm():
    means, verdicts = recorded("hindsight-corridor")
    assert [claim for claim, passed in verdicts.items() if not passed] == ["ICM is trapped"]
    share = {method: means["tv_share", method, "television"] for method in ("byol_explore",
             "byol_hindsight", "icm_stopped")}  # fmt: skip
    states = {method: means["states", method, "television"] for method in share}
    assert share["byol_hindsight"] <= min(0.35, 0.5 * share["byol_explore"])
    assert states["byol_hindsight"] >= 1.5 * states["byol_explore"]
    assert share["icm_stopped"] > 0.5


def test_the_recorded_ring_holds_the_published_bar():
    means, verdicts = recorded("hindsight-ring")
    assert all(verdicts.values())
    error = {m: means["tv_error", m, "default"] for m in ("byol_explore", "byol_hindsight")}
    assert error["byol_hindsight"] < 0.1 * error["byol_explore"]
    assert means["leak", "byol_hindsight", "default"] < 0.5
    assert means["leak", "without_invariance", "default"] > 1
