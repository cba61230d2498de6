"""The point walker's bar: it can be read, every method runs, and the recorded numbers hold."""

import json
from pathlib import Path

import pytest

from ctrl.study.plan import read_study
from reward_models.registry import load_reward

BARS = Path(__file__).resolve().parents[3] / "experiments" / "bars"
STUDY = read_study(BARS / "serene-walker.yaml")


@pytest.mark.parametrize("name", STUDY.methods)
def test_every_method_runs_and_says_what_it_found(name):
    pytest.importorskip("ribs")
    run = load_reward(STUDY.run)
    cell = next(cell for cell in STUDY.cells() if cell.method == name)
    found = run({**cell.settings, "budget": 350}, 3)
    assert run({**cell.settings, "budget": 350}, 3) == found
    curves = found["curves"]
    assert 350 <= found["evaluations"] < 550
    assert 0 < found["archive_coverage"] <= found["coverage"] < 0.2
    for metric in ("mean_best", "coverage"):
        evaluations, values = curves[metric]
        assert (evaluations[-1], values[-1]) == (found["evaluations"], found[metric])
        assert values == sorted(values)


def test_the_recorded_numbers_hold_the_bar():
    data = json.loads((BARS.parent / "results" / "serene-walker.json").read_text())
    means = {(s["metric"], s["method"]): s["mean"] for s in data["summaries"]}
    assert not data["missing"]
    assert len(data["cells"]) == 20 * len(STUDY.methods)
    assert means["mean_best", "serene"] >= 1.15 * means["mean_best", "novelty"]
    assert means["coverage", "serene"] >= 0.95 * means["coverage", "novelty"]
    assert means["all_areas", "serene"] >= means["all_areas", "novelty"] - 0.3
    assert data["passed"]
