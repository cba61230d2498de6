"""The benchmark of the curiosity rewards runs, and its recorded result is complete."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "experiments" / "benchmarks"

PEER = """#!{python}
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    if "versions" in request:
        answer = {{"rllte-core": "1.0"}}
    elif request["actions"] == "continuous":
        answer = {{"compute": 1.5, "update": "RuntimeError: shapes differ"}}
    else:
        assert request["options"] == {{"latent_dim": 128, "batch_size": 256, "lr": 1e-3}}
        answer = {{"compute": 1.5, "update": 3.0}}
    print(json.dumps(answer), flush=True)
"""


def test_that_the_peer_is_asked_and_compared(tmp_path):
    peer = tmp_path / "python"
    peer.write_text(PEER.format(python=sys.executable))
    peer.chmod(0o755)
    script, out = BENCHMARKS / "curiosity.py", tmp_path / "out" / "curiosity.json"
    small = ["--only", "rnd", "--steps", "8", "--columns", "2", "--repeats", "3"]
    run = subprocess.run(
        [sys.executable, str(script), *small, "--peer-python", str(peer), "--json", str(out)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    record = json.loads(out.read_text())
    assert record["versions"]["peer"] == {"rllte-core": "1.0"}
    rows = {(row["actions"], row["operation"]): row for row in record["rows"]}
    assert set(rows) == {
        (actions, operation)
        for actions in ("discrete", "continuous")
        for operation in ("forward", "update", "both")
    }
    # 16 transitions in 1.5 and in 3 seconds.
    for operation, seconds in (("forward", 1.5), ("update", 3.0), ("both", 4.5)):
        row = rows["discrete", operation]
        assert row["peer_microseconds"] == pytest.approx(1e6 * seconds / 16)
        assert row["ratio_min"] <= row["ratio"] <= row["ratio_max"]
        assert row["ours_best"] <= row["ours_microseconds"]
        assert row["ratio"] == pytest.approx(row["peer_microseconds"] / row["ours_microseconds"])
    assert rows["continuous", "forward"]["ratio"] > 0
    for operation in ("update", "both"):
        row = rows["continuous", operation]
        assert row["peer_error"] == "RuntimeError: shapes differ"
        assert "ratio" not in row
        assert row["ours_microseconds"] > 0
    assert "RuntimeError: shapes differ" in run.stdout


def test_that_the_recorded_comparison_is_faster_than_the_toolkit():
    record = json.loads((BENCHMARKS / "curiosity.json").read_text())
    assert record["versions"]["peer"]["rllte-core"]
    rows = {
        (row["model"], row["operation"]): row
        for row in record["rows"]
        if row["actions"] == "discrete"
    }
    for model in ("rnd", "icm", "disagreement", "e3b", "pseudo_counts", "ride", "re3"):
        assert rows[model, "both"]["ratio"] > 1
        # Nothing is faster than the products of matrices that it is made of.
        row = rows[model, "forward"]
        assert row["ours_best"] > row.get("products_best", 0)
