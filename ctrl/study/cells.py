"""Running one cell of a study, in whatever process it lands."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ctrl.checkpoint import newest_checkpoint
from ctrl.study.measures import AREA, mean_height, measured, thinned
from ctrl.study.plan import TRAIN, Cell, Study, training
from reward_models.errors import UserError
from reward_models.registry import load_reward

RESULT = "cell.json"


def run_cell(study: Study, cell: Cell, folder: Path) -> dict[str, Any]:
    """Run a cell into its folder, or continue it there.

    A training that was interrupted goes on from its newest checkpoint.

    Args:
        study: the study.
        cell: one of its cells.
        folder: of this cell alone.

    Returns:
        ``metrics`` (name to number), ``curves`` (name to steps and values) and ``seconds``; the
        same is written to ``cell.json``.

    Raises:
        UserError: the cell cannot run, or returned something else than numbers.
    """
    import torch

    torch.set_num_threads(1)
    began = time.perf_counter()
    if study.run == TRAIN:
        metrics, curves = _trained(study, cell, folder / "run")
    else:
        metrics, curves = _called(study, cell)
    result = {
        "method": cell.method,
        "environment": cell.environment,
        "seed": cell.seed,
        "settings": cell.settings,
        "measures": study.measures,
        "metrics": metrics,
        "curves": curves,
        "seconds": time.perf_counter() - began,
    }
    write_result(folder, result)
    return result


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write ``cell.json`` so that it is whole or not there."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{RESULT}.{os.getpid()}"
    temporary.write_text(json.dumps(result) + "\n", encoding="utf-8")
    temporary.replace(folder / RESULT)


def read_result(study: Study, cell: Cell, folder: Path) -> dict[str, Any] | None:
    """Return a finished cell's result, or None where there is none.

    A training that finished before the study's ``measures`` were changed is measured again from
    its log.

    Raises:
        UserError: the folder holds a cell of other settings: the study file was changed.
        UnknownNameError: the log has no column that ``measures`` names.
    """
    path = folder / RESULT
    if not path.is_file():
        return None
    result = json.loads(path.read_text(encoding="utf-8"))
    # Through JSON as well, which knows no tuples and no whole-number keys.
    if result["settings"] != json.loads(json.dumps(cell.settings)):
        raise UserError(
            f"{folder} was run with other settings than {study.source} has now. Name another "
            "folder with --out, or remove this one."
        )
    before = result.get("measures", {})
    if before != study.measures:
        metrics, curves = measured(study.measures, folder / "run")
        old = {*before, *(f"{name}{AREA}" for name in before)}
        for part, found in (("metrics", metrics), ("curves", curves)):
            kept = {key: value for key, value in result[part].items() if key not in old}
            result[part] = {**found, **kept}
        result["measures"] = study.measures
        write_result(folder, result)
    return result


def _trained(study: Study, cell: Cell, run: Path) -> tuple[dict[str, float], dict[str, Any]]:
    from ctrl.evaluation import evaluate_run
    from ctrl.run_folder import RunFolder
    from ctrl.training import resume, train

    config = training(cell)
    if run.exists() and newest_checkpoint(run / "checkpoints") is None:
        shutil.rmtree(run)  # it was stopped before its first checkpoint
    if not run.exists():
        train(config, out=run)
    elif not (run / "result.json").is_file() or not (run / "final").is_dir():
        resume(run, trust_code=True)  # the code is that of the study's own file
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    found = evaluate_run(RunFolder.open(run), episodes=study.episodes, trust_code=True)
    metrics = {
        "task_return": found["task_return_mean"],
        "success_rate": found["success_rate"],
        "episode_length": found["length_mean"],
        "training_task_return": result["task_return"],
        "training_shaped_return": result["shaped_return"],
        "training_success_rate": result["success_rate"],
    }
    curves = _curves(run)
    for name in ("task_return", "success_rate"):
        if len(curves.get(name, [()])[0]) > 1:
            metrics[f"{name}{AREA}"] = mean_height(*(np.asarray(part) for part in curves[name]))
    known = {name: float(value) for name, value in metrics.items() if value is not None}
    own_metrics, own_curves = measured(study.measures, run)
    return {**own_metrics, **known}, {**own_curves, **curves}


def _curves(run: Path) -> dict[str, Any]:
    """Return the learning curves of a run folder, thinned to at most 200 points."""
    from ctrl.run_curves import find_runs
    from ctrl.run_summary import SUCCESS_RATE, TASK_RETURN

    columns = find_runs(run)[0]
    found = {}
    for name, key in (("task_return", TASK_RETURN), ("success_rate", SUCCESS_RATE)):
        steps, values = columns.curve(key)
        if len(steps):
            found[name] = thinned(steps, values)
    return found


def _called(study: Study, cell: Cell) -> tuple[dict[str, float], dict[str, Any]]:
    function = load_reward(study.run)
    if not callable(function):
        raise UserError(f"{study.run} must name a function f(settings, seed).")
    returned = function(dict(cell.settings), cell.seed)
    if not isinstance(returned, Mapping) or not returned:
        raise UserError(f"{study.run} must return a mapping of names to numbers, got {returned!r}.")
    metrics: dict[str, float] = {}
    curves = {
        name: [[float(number) for number in part] for part in curve]
        for name, curve in returned.get("curves", {}).items()
    }
    for name, value in returned.items():
        if name == "curves":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise UserError(f"{study.run} returned {name!r} = {value!r}, expected a number.")
        if not math.isfinite(value):
            raise UserError(f"{study.run} returned {name!r} = {value}, expected a finite number.")
        metrics[str(name)] = float(value)
    return metrics, curves
