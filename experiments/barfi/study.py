"""Align with a hint, good or bad, as one run of a study; for ``bars/barfi-*.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from ctrl.search.barfi.build import build_learner
from ctrl.search.barfi.config import parse_align
from ctrl.search.barfi.learner import AlignmentLearner

_LAST, _POINTS = 20, 100
_LURE = (0, 1)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train once.

    Args:
        settings: of an alignment, see `ctrl.search.barfi.config.AlignConfig`. A reward
            ``heuristics.py:NAME`` is looked for beside this file.
        seed: of everything random.

    Returns:
        ``task_return`` (mean over the last 20 iterations), ``task_return_all`` (over all),
        ``no_signal`` (share of outer steps that saw no task reward), ``discount``, the mean
        coefficients at the end, for finite worlds ``lure_trust`` (the larger coefficient of the
        hint in states 0 and 1; 1 for the naive sum, 0 for the other baselines), and the curve of
        the task return.
    """
    torch.set_num_threads(1)
    config = parse_align({**_with_paths(settings), "seed": seed})
    learner = build_learner(config)
    numbers: list[dict[str, float]] = []

    def keep(learner: AlignmentLearner, found: dict[str, float]) -> None:
        numbers.append(found)

    try:
        learner.learn(config.iterations, keep)
    finally:
        learner.collector.recorder.close()
    returns = np.array([found["return/task"] for found in numbers])
    outer = max(config.iterations - config.schedule.warm_iterations, 1)
    blend = {
        name.removeprefix("blend/").replace("/", "_"): value
        for name, value in numbers[-1].items()
        if name.startswith("blend/")
    }
    every = max(len(returns) // _POINTS, 1)
    smooth = [float(returns[max(0, t + 1 - _LAST) : t + 1].mean()) for t in range(len(returns))]
    curve = [list(range(1, len(returns) + 1, every)), smooth[::every]]
    return {
        "task_return": float(returns[-_LAST:].mean()),
        "task_return_all": float(returns.mean()),
        "length": float(np.mean([found["return/length"] for found in numbers[-_LAST:]])),
        "no_signal": learner.no_signal / outer,
        **blend,
        **_lure(learner),
        "curves": {"task_return": curve},
    }


@torch.no_grad()
def _lure(learner: AlignmentLearner) -> dict[str, float]:
    space = learner.collector.recorder.observation_space
    if not isinstance(space, spaces.Discrete):
        return {}
    if learner.baseline is not None:
        return {"lure_trust": float(learner.baseline == "naive")}
    trust = learner.coefficients(torch.tensor(_LURE))[:, 2:]
    return {"lure_trust": float(trust.max())}


def _with_paths(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write out where ``heuristics.py`` lies."""
    here = Path(__file__).resolve().parent

    def placed(term: Any) -> Any:
        if not isinstance(term, Mapping) or not str(term.get("use", "")).startswith(
            "heuristics.py"
        ):
            return term
        return {**term, "use": str(here / term["use"])}

    reward = {name: placed(term) for name, term in settings.get("reward", {}).items()}
    return {**settings, "reward": reward}
