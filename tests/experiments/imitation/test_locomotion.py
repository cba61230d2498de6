"""The study of MuJoCo's runners: its data sets are what it says, and its methods run."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from ctrl.study.plan import read_study
from reward_models.demonstrations import read_demonstrations

pytest.importorskip("h5py")
pytest.importorskip("mujoco")

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "experiments" / "imitation" / "demonstrations"


@pytest.mark.parametrize("folder", sorted(FOLDER.iterdir()), ids=lambda folder: folder.name)
def test_experts_run_to_the_time_limit(folder):
    shown = read_demonstrations(folder)
    assert len(shown) == 16
    for each in shown:
        # The ant falls now and then; docs/imitation.md gives the mean return.
        if folder.name != "ant":
            assert len(each) == 1000
            assert each.truncations[-1]
        assert np.isfinite(each.observations).all()
        assert np.abs(each.actions).max() <= 1.0


@pytest.mark.parametrize("method", [pytest.param("penalty", marks=pytest.mark.jax), "cloning"])
def test_methods_run(method, monkeypatch):
    if method == "penalty":
        pytest.importorskip("sbx")
    monkeypatch.syspath_prepend(str(ROOT))
    from experiments.imitation.locomotion import imitate

    study = yaml.safe_load((ROOT / "experiments/bars/gail-hopper.yaml").read_text())
    settings = {**study["settings"], **study["methods"][method], "steps": 384, "episodes": 1}
    small = {"learning_starts": 100, "policy_kwargs": {"net_arch": [8]}}
    settings["algo"] = {**settings["algo"], **small, "gradient_steps": 4}
    if method == "cloning":
        settings["cloning"] = {"epochs": 2}
    found = imitate(settings, 0)
    assert -0.1 < found["score"] < 0.4
    assert ("gradient" in found) == (method == "penalty")


def test_the_full_comparison_can_be_started(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from experiments.imitation.locomotion import imitate

    study = read_study(ROOT / "experiments" / "imitation" / "full.yaml")
    assert len(study.environments) == 4
    assert len(study.seeds) == 10
    settings = {
        **study.settings, **study.environments["hopper"], **study.methods["pessimistic"],
        "steps": 120,
        "episodes": 1,
    }  # fmt: skip
    settings["algo"] = {**settings["algo"], "learning_starts": 100}
    assert np.isfinite(imitate(settings, 0)["score"])
