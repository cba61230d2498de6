"""Numbers of a training that are read from its log."""

import json

import numpy as np
import pytest

from ctrl.study.cells import run_cell
from ctrl.study.measures import measured, thinned
from ctrl.study.plan import read_study
from ctrl.study.run import run_study
from reward_models import UnknownNameError, UserError

STUDY = """
study: tiny
seeds: 1
episodes: 1
settings:
  env: {id: PointMass-v0, n_envs: 2, max_episode_steps: 10}
  algo: {name: ppo, n_steps: 32, batch_size: 32, n_epochs: 1}
  steps: 192
methods: {rnd: {reward: {rnd: 0.1}}}
MEASURES
"""
LOG = """time/total_timesteps,reward/rnd/mean,reward/rnd/loss
64,1.0,
128,0.5,2.0
192,nan,1.5
"""


def study(tmp_path, measures=""):
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY.replace("MEASURES", measures))
    return path


def test_the_last_number_and_the_curve_of_a_column_are_read(tmp_path):
    (tmp_path / "progress.csv").write_text(LOG)
    metrics, curves = measured({"bonus": "reward/rnd/mean", "loss": "reward/rnd/loss"}, tmp_path)
    assert metrics == {"bonus": 0.5, "bonus_area": 0.75, "loss": 1.5, "loss_area": 1.75}
    assert curves["bonus"] == [[64.0, 128.0], [1.0, 0.5]]
    assert curves["loss"] == [[128.0, 192.0], [2.0, 1.5]]


def test_a_column_that_is_not_there_is_named_with_the_nearest(tmp_path):
    (tmp_path / "progress.csv").write_text(LOG)
    with pytest.raises(UnknownNameError, match="Did you mean 'reward/rnd/loss'"):
        measured({"loss": "reward/rnd/los"}, tmp_path)


def test_a_column_without_a_number_is_refused(tmp_path):
    (tmp_path / "progress.csv").write_text("time/total_timesteps,x\n64,nan\n128,\n")
    with pytest.raises(UserError, match="no number was ever logged in column 'x'"):
        measured({"x": "x"}, tmp_path)


def test_long_curves_are_thinned_and_keep_both_ends():
    steps, values = thinned(np.arange(5000.0), np.arange(5000.0) ** 2)
    assert len(steps) == len(values) == 200
    assert (steps[0], steps[-1], values[-1]) == (0.0, 4999.0, 4999.0**2)


def test_a_study_measures_and_a_measure_can_be_added_without_training_again(tmp_path):
    out = tmp_path / "out"
    first, failures = run_study(read_study(study(tmp_path)), out=out, processes=1, quiet=True)
    assert not failures
    run = out / "rnd/default/seed_0/run"
    weights = (run / "final/policy.safetensors").stat().st_mtime_ns
    again, _ = run_study(
        read_study(study(tmp_path, "measures: {bonus: reward/rnd/mean}\nmetric: bonus")),
        out=out, processes=1, quiet=True,
    )  # fmt: skip
    assert (run / "final/policy.safetensors").stat().st_mtime_ns == weights
    assert again.metrics == ["bonus", "bonus_area", *first.metrics]
    (cell,) = again.cells
    value, curve = measured({"bonus": "reward/rnd/mean"}, run)
    assert cell["metrics"]["bonus"] == value["bonus"] > 0
    assert next(iter(cell["curves"])) == "bonus"
    assert cell["curves"]["bonus"] == curve["bonus"]
    assert json.loads((out / "rnd/default/seed_0/cell.json").read_text()) == cell
    third, _ = run_study(read_study(study(tmp_path)), out=out, processes=1, quiet=True)
    assert third.metrics == first.metrics


def test_a_study_that_measures_a_misspelt_column_fails_with_the_nearest(tmp_path):
    misspelt = read_study(study(tmp_path, "measures: {bonus: reward/rnd/meen}"))
    with pytest.raises(UnknownNameError, match="Did you mean 'reward/rnd/mean'"):
        run_cell(misspelt, misspelt.cells()[0], tmp_path / "cell")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (STUDY.replace("MEASURES", "measures: {task_return: time/fps}"), "measured anyway"),
        (STUDY.replace("MEASURES", "measures: {x: 3}"), "must name a column of the log"),
        (STUDY.replace("MEASURES", "measures: [x]"), "measures must be a mapping"),
        ("study: s\nrun: a.py:f\nmethods: {a: {}}\nmeasures: {x: y}", "log of a training"),
    ],
)
def test_measures_that_cannot_be_are_refused(tmp_path, text, message):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_study(path)
