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


def test_the_script_runs_and_its_scale_is_that_of_random_and_expert():
    path = EXPERIMENTS / "imitation" / "point_mass.py"
    spec = importlib.util.spec_from_file_location("imitation_point_mass", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.imitate(
        {"demonstrations": 2, "context": 3, "iterations": 30, "updates": 2,
         "gail": {"spectral_norm": False}},
        seed=0,
    )  # fmt: skip
    assert found["score"] < 1.0
    assert 0.0 <= found["c_validity"] <= 1.0
    assert found["gradient"] > 0.0
    lowest, highest = (
        module.mean_return(policy, 3) for policy in (module.uniform(), module.expert)
    )
    assert lowest < -20 < -10 < highest < 0
    assert len(module.demonstrations(2, 3, 0)[0]) == 60
