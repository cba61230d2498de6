"""Several processes share one gradient."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("accelerate")

ROOT = Path(__file__).parents[3]


def test_two_processes_play_other_episodes_and_keep_equal_weights() -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, str(ROOT / "tests/ctrl/llm/share_gradients.py")],
        capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("{"))
    found = json.loads(line)
    assert found["processes"] == 2
    assert found["equal"]
    assert found["changed"]
    assert found["other_tasks"]
    # Two rollouts of twelve answers in each process.
    assert found["steps"] == 48
    assert "every process sees other episodes" in found["refused"]
