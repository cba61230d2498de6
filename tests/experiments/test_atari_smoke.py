"""The smoke test of the Atari configurations says of each rollout what belongs to it."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "experiments" / "atari" / "smoke.py"

pytest.importorskip("resource")


def script():
    spec = importlib.util.spec_from_file_location("atari_smoke", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_that_what_a_rollout_taught_is_read_from_the_row_after_it(tmp_path):
    smoke = script()
    heading = [*smoke.COLUMNS.values(), *smoke.LEARNED.values()]
    rows = [
        ["1024", "5", "0.9", "1", "", "", ""],
        ["2048", "9", "0.1", "2", "7.5", "0.5", "0.25"],
        ["2048", "", "", "", "6.5", "0.4", ""],  # the closing row belongs to no rollout
    ]
    path = tmp_path / "progress.csv"
    path.write_text("\n".join(",".join(row) for row in [heading, *rows]) + "\n")
    first, second = smoke.progress(path)
    assert first == {
        "steps": 1024, "seconds": 5, "paid_share": 0.9, "rooms": 1,
        "raw_reward": 7.5, "reconstruction": 0.5, "invariance": 0.25,
    }  # fmt: skip
    assert second["raw_reward"] == 6.5
    assert second["rooms"] == 2
    assert second["invariance"] is None
