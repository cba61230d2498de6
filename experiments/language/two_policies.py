"""One reward block, two policies: a network of SB3 and a transformer learn the same task.

ctrl study experiments/bars/same-reward.yaml
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
    """Train one policy.

    Args:
        settings: ``reward`` (the same text for both), ``helped`` (use it, or the task alone) and
            ``policy``, the name of the entry with the rest of ``ctrl.train``'s settings.
        seed: of everything random.

    Returns:
        ``start`` and ``success`` (share of evaluation episodes solved at the first and the last
        evaluation; a transformer's first is before the first rollout), ``area`` (mean over the
        evaluations), and the curve.
    """
    policy = dict(settings[settings["policy"]])
    with tempfile.TemporaryDirectory() as folder:
        ctrl.train(
            **policy, reward=dict(settings["reward"]) if settings["helped"] else {}, seed=seed,
            out=Path(folder) / "run",
        )  # fmt: skip
        columns = read_progress(Path(folder) / "run" / "progress.csv")
    rates, steps = columns["evaluation/success_rate"], columns["time/total_timesteps"]
    there = np.isfinite(rates)
    curve = [steps[there].tolist(), rates[there].tolist()]
    return {
        "success": curve[1][-1],
        "start": curve[1][0],
        "area": float(np.mean(curve[1])),
        "curves": {"success": curve},
    }
