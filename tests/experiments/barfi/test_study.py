"""The hints are what their names say, and every bar about alignment can be read, built and run."""

import importlib.util
import json
import math
from pathlib import Path

import pytest
import torch

from ctrl.search.barfi.build import build_learner
from ctrl.search.barfi.config import parse_align
from ctrl.study.plan import read_study

EXPERIMENTS = Path(__file__).resolve().parents[3] / "experiments"
BARS = (
    "barfi-corridor",
    "barfi-corridor-cold",
    "barfi-gridworld",
    "barfi-cartpole",
    "barfi-mountaincar",
)


def _load(name):
    spec = importlib.util.spec_from_file_location(
        f"barfi_{name}", EXPERIMENTS / "barfi" / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


heuristics, study_file = _load("heuristics"), _load("study")


def test_the_controller_pushes_under_the_falling_pole():
    falling = torch.tensor([[[0.0, 0.0, 0.1, 0.0], [0.0, 0.0, -0.1, 0.0], [0.0, 0.0, 0.05, -2.0]]])
    right = torch.ones(1, 3, dtype=torch.int64)
    assert heuristics.agree(falling, right).tolist() == [[5.0, -1.0, -1.0]]
    assert heuristics.disagree(falling, right).tolist() == [[-1.0, 0.0, 0.0]]


def test_along_and_against_the_velocity():
    rolling = torch.tensor([[[-0.5, 0.01], [-0.5, -0.01], [-0.5, 0.0]]])
    left, none, right = (torch.full((1, 3), k) for k in range(3))
    assert heuristics.along_velocity(rolling, right).tolist() == [[1.0, -1.0, -1.0]]
    assert heuristics.along_velocity(rolling, left).tolist() == [[-1.0, 1.0, -1.0]]
    assert heuristics.along_velocity(rolling, none).tolist() == [[-1.0, -1.0, 1.0]]
    assert heuristics.against_velocity(rolling, left).tolist() == [[1.0, -1.0, -1.0]]
    assert heuristics.speed(rolling)[0].tolist() == pytest.approx([0.01, 0.01, 0.0])


def test_control_cost_is_that_of_the_simulator():
    assert heuristics.control_cost(torch.tensor([[[1.0, -2.0]]])).item() == pytest.approx(-0.5)


@pytest.mark.parametrize("name", BARS)
def test_every_cell_of_a_bar_can_be_built(name):
    study = read_study(EXPERIMENTS / "bars" / f"{name}.yaml")
    assert study.name == name
    assert study.rules
    assert len(study.seeds) >= 3
    for cell in study.cells()[: len(study.methods) * len(study.environments)]:
        plain = study_file._with_paths(cell.settings)
        learner = build_learner(parse_align({**plain, "seed": cell.seed}))
        learner.collector.recorder.close()
        assert learner.horizon == cell.settings["env"].get("max_episode_steps", learner.horizon)


def test_the_full_configuration_of_the_cheetah_is_one():
    import yaml

    pytest.importorskip("mujoco")
    text = (EXPERIMENTS / "barfi" / "halfcheetah.yaml").read_text()
    config = parse_align(yaml.safe_load(text))
    assert config.iterations * config.schedule.episodes == pytest.approx(10_000, abs=3)


def test_a_short_run_returns_its_numbers():
    cell = read_study(EXPERIMENTS / "bars" / "barfi-corridor-cold.yaml").cells()[0]
    found = study_file.run({**cell.settings, "iterations": 4}, seed=0)
    assert set(found) >= {"task_return", "no_signal", "discount", "phi_3_hint", "lure_trust"}
    assert all(math.isfinite(value) for key, value in found.items() if key != "curves")
    assert found["curves"]["task_return"][0] == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["barfi-corridor", "barfi-corridor-cold"])
def test_the_recorded_corridor_holds_the_published_bar(name):
    data = json.loads((EXPERIMENTS / "results" / f"{name}.json").read_text())
    assert not data["missing"]
    assert len({cell["seed"] for cell in data["cells"]}) == 5
    assert all(verdict["passed"] for verdict in data["verdicts"])
