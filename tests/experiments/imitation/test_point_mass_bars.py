"""The bars of imitation are studies that can be read, and their script runs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from ctrl.study.plan import read_study

EXPERIMENTS = Path(__file__).resolve().parents[3] / "experiments"


@pytest.mark.parametrize("name", ["gail-point-mass", "gail-distractors"])
def test_a_bar_can_be_read_and_has_its_controls(name):
    study = read_study(EXPERIMENTS / "bars" / f"{name}.yaml")
    assert study.name == name
    assert set(study.methods) == {"penalty", "none", "spectral"}
    assert {rule.metric for rule in study.rules} <= {"score", "gradient", "c_validity"}
    assert all(rule.seeds == len(study.seeds) == 3 for rule in study.rules)


@pytest.fixture
def point_mass():
    path = EXPERIMENTS / "imitation" / "point_mass.py"
    spec = importlib.util.spec_from_file_location("imitation_point_mass", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_method_of_the_study_of_preconditioning_runs_and_a_small_kappa_shows(point_mass):
    study = read_study(EXPERIMENTS / "bars" / "gail-preconditioning.yaml")
    small = {"demonstrations": 1, "iterations": 60, "updates": 2}
    found = {
        name: point_mass.precondition({**study.settings, **small, **settings}, 0)
        for name, settings in {
            **study.methods, "tiny": {"pessimistic": {"kappa": 0.01}}, "distillation":
            {"red": {"epochs": 1}},
        }.items()
    }  # fmt: skip
    assert found["tiny"]["critic"] < found["penalty"]["critic"]
    assert found["distillation"]["critic"] != found["penalty"]["critic"]


def test_the_script_runs_and_its_scale_is_that_of_random_and_expert(point_mass):
    found = point_mass.imitate(
        {"demonstrations": 2, "context": 3, "iterations": 30, "updates": 2,
         "gail": {"spectral_norm": False}},
        seed=0,
    )  # fmt: skip
    assert found["score"] < 1.0
    assert 0.0 <= found["c_validity"] <= 1.0
    assert found["gradient"] > 0.0
    lowest, highest = (
        point_mass.mean_return(policy, 3) for policy in (point_mass.uniform(), point_mass.expert)
    )
    assert lowest < -20 < -10 < highest < 0
    assert len(point_mass.demonstrations(2, 3, 0)[0]) == 60
