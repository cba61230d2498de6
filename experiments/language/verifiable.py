"""A transformer learns from a verifier what supervision began.

    ctrl study experiments/bars/language-addition.yaml

A small transformer over bytes is warmed up on few expert answers, then trained by reinforcement
learning on the verifier's 0 or 1.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import ctrl
from ctrl.run_curves import read_progress


def learn(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train once.

    Args:
        settings: of ``ctrl.train``; ``evaluation.every`` says how often success is measured.
        seed: of everything random.

    Returns:
        ``start`` and ``success`` (share of right answers after the warm-up and at the end, sampled
        at the training temperature on tasks of their own), ``ratio`` of the two, ``return``, the
        mean task return at the end, ``seconds``, and the curve.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = ctrl.train(**settings, seed=seed, out=Path(folder) / "run")
        columns = read_progress(Path(folder) / "run" / "progress.csv")
    rates, steps = columns["evaluation/success_rate"], columns["time/total_timesteps"]
    there = np.isfinite(rates)
    curve = [steps[there].tolist(), rates[there].tolist()]
    start, success = curve[1][0], curve[1][-1]
    return {
        "start": start,
        "success": success,
        "ratio": success / max(start, 1e-9),
        "return": float(columns["evaluation/task_return"][there][-1]),
        "seconds": result.seconds,
        "curves": {"success": curve},
    }
