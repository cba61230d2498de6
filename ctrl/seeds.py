"""One run per seed, on several processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ctrl.config import TrainConfig
from ctrl.run_curves import read_progress
from ctrl.run_folder import free_name
from ctrl.statistics import bootstrap_interval, interquartile_mean
from ctrl.training import complete, train
from reward_models.errors import UserError


def parse_seeds(text: str) -> list[int]:
    """Read ``5`` (0 to 4), ``3-7`` or ``0,2,9``.

    Raises:
        UserError: none of these forms, or the same seed twice.
    """
    try:
        if "," in text:
            seeds = [int(part) for part in text.split(",")]
        elif "-" in text:
            first, last = (int(part) for part in text.split("-"))
            seeds = list(range(first, last + 1))
        else:
            seeds = list(range(int(text)))
    except ValueError:
        raise UserError(f"--seeds takes a count, A-B or A,B,C, got {text!r}.") from None
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise UserError(f"--seeds must name different seeds of at least 0, got {text!r}.")
    return seeds


def train_seeds(
    config: TrainConfig,
    seeds: Sequence[int],
    *,
    out: Path | None = None,
    processes: int | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train one run per seed into ``OUT/seed_K`` and summarise them.

    Every process uses ``config.threads`` threads of torch and steps its environments alone.

    Args:
        config: the run; its own seed is replaced.
        seeds: the seeds.
        out: folder of the runs; None makes a new one under ``runs/``.
        processes: at once; None takes one per core.
        quiet: no progress bar.

    Returns:
        ``runs`` (one result each), interquartile mean and 95 % interval of the task return.

    Raises:
        UserError: the configuration cannot work, or the folder is not empty.
    """
    out = free_name(complete(config)) if out is None else out
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} exists and is not empty. Name another folder with --out.")
    workers = processes or max(1, len(os.sched_getaffinity(0)))
    if workers < 1:
        raise UserError(f"--processes must be at least 1, got {processes}.")
    if workers > 1:
        config = replace(config, env=replace(config.env, threads=config.env.threads or 1))
    jobs = [(replace(config, seed=seed), out / f"seed_{seed}") for seed in seeds]
    runs = train_all(jobs, processes=workers, description=str(out), quiet=quiet)
    returns = [run["task_return"] for run in runs if run["task_return"] is not None]
    document: dict[str, Any] = {"run_folder": str(out), "seeds": list(seeds), "runs": runs}
    if returns:
        values = np.array(returns)
        interval = bootstrap_interval(values, interquartile_mean)
        document["task_return_iqm"] = float(interquartile_mean(values))
        document["task_return_interval"] = [interval.low, interval.high]
    return document


def train_all(
    jobs: Sequence[tuple[TrainConfig, Path]],
    *,
    processes: int,
    description: str = "",
    quiet: bool = False,
) -> list[dict[str, Any]]:
    """Train several runs on several processes, with one progress bar over all steps.

    Args:
        jobs: configuration and run folder of each run.
        processes: at once.
        description: text before the bar.
        quiet: no bar.

    Returns:
        One result per job, in their order.
    """
    total = sum(config.steps for config, _ in jobs)
    # Fresh interpreters: a forked copy of a process that runs torch threads can deadlock.
    context = multiprocessing.get_context("spawn")
    disable = True if quiet else None
    with (
        ProcessPoolExecutor(min(processes, len(jobs)), mp_context=context) as pool,
        tqdm(total=total, desc=description, unit="step", unit_scale=True, disable=disable) as bar,
    ):
        futures = [pool.submit(_train_one, *job) for job in jobs]
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, timeout=1.0, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()  # raises what the run raised
            if not bar.disable:
                done_steps = sum(min(config.steps, _steps_done(path)) for config, path in jobs)
                bar.update(done_steps - bar.n)
        bar.update(total - bar.n)
    return [future.result() for future in futures]


def _steps_done(folder: Path) -> int:
    """Return the environment steps that a running job has logged."""
    try:
        steps = read_progress(folder).get("time/total_timesteps")
    except UserError:
        return 0  # nothing logged yet
    return 0 if steps is None or not len(steps) else int(np.nanmax(steps))


def _train_one(config: TrainConfig, out: Path) -> dict[str, Any]:
    return train(config, out=out, progress=False).as_dict()
