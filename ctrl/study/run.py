"""Run a study, or go on with it, and judge it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ctrl.study.cells import read_result
from ctrl.study.executors import run_locally, run_on_ray
from ctrl.study.plan import Cell, Study
from ctrl.study.results import Findings, findings
from reward_models.errors import UserError


def run_study(
    study: Study,
    *,
    out: Path | None = None,
    processes: int | None = None,
    ray_address: str | None = None,
    seeds: Sequence[int] | None = None,
    quiet: bool = False,
) -> tuple[Findings, dict[str, str]]:
    """Run every cell that has no result yet, and judge the rules.

    Args:
        study: from ``read_study``.
        out: folder of the cells; ``runs/studies/<name>`` by default. What is finished there is
            kept, so the same call after an interruption goes on.
        processes: local processes at once; None takes one per core.
        ray_address: run on that Ray cluster instead.
        seeds: instead of the study's.
        quiet: no progress bar.

    Returns:
        The findings, and the reasons of the cells that failed by their name.

    Raises:
        UserError: the folder holds cells of other settings, or the cluster cannot be reached.
    """
    if seeds is not None:
        study = replace(study, seeds=tuple(seeds))
    if processes is not None and processes < 1:
        raise UserError(f"--processes must be at least 1, got {processes}.")
    folder = out or Path("runs") / "studies" / study.name
    cells = study.cells()
    results: dict[str, dict[str, Any]] = {}
    open_cells: list[Cell] = []
    for cell in cells:
        result = read_result(study, cell, folder / cell.name)
        if result is None:
            open_cells.append(cell)
        else:
            results[cell.name] = result
    failures: dict[str, str] = {}
    workers = processes or max(1, len(os.sched_getaffinity(0)))
    disable = True if quiet else None
    with tqdm(
        total=len(cells), initial=len(results), desc=study.name, unit="run", disable=disable
    ) as bar:
        ended = (
            run_locally(study, open_cells, folder, workers)
            if ray_address is None
            else run_on_ray(study, open_cells, folder, ray_address)
        )
        for cell, result, error in ended if open_cells else ():
            if result is None:
                failures[cell.name] = error or "no reason given"
            else:
                results[cell.name] = result
                bar.update()
    ordered = [results[cell.name] for cell in cells if cell.name in results]
    missing = [cell.name for cell in cells if cell.name not in results]
    return findings(study, ordered, missing), failures
