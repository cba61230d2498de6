"""The experiment on distances and regret runs, and its recorded results passed its rules."""

import json
import subprocess
import sys
from pathlib import Path

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def test_that_the_experiment_runs_and_judges_its_rules(tmp_path):
    script = EXPERIMENTS / "comparing_rewards" / "starc.py"
    small = ["--seeds", "2", "--worlds", "3", "--states", "6", "--resamples", "20"]
    run = subprocess.run(
        [sys.executable, str(script), *small, "--pendulum-seeds", "0", "--out", str(tmp_path)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    record = json.loads((tmp_path / "starc.json").read_text())
    assert record["passed"] == all(record["rules"].values())
    assert len(record["random_worlds"]) == 2
    low, high = record["random_worlds"][0]["interval"]["VAL"]
    assert low <= record["random_worlds"][0]["correlation"]["VAL"] <= high
    assert "VAL - none >= 0.1" in run.stdout
    assert (tmp_path / "starc.png").read_bytes().startswith(b"\x89PNG")


def test_that_the_recorded_results_hold_their_rules():
    record = json.loads((EXPERIMENTS / "results" / "starc.json").read_text())
    assert record["passed"]
    assert len(record["random_worlds"]) >= 3
    for found in record["random_worlds"]:
        value = found["correlation"]
        assert value["VAL"] > max(value["EPIC"], value["DARD"], value["none"] + 0.1)
        assert value["VAL"] >= 0.75
    for row in record["pendulum"]:
        assert row["shaped"] < row["random"] < row["negated"]
        assert row["seconds"] < 100
