"""Align once: from a configuration to a run folder with a reward in it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ctrl.build import Terms
from ctrl.checkpoint import (
    POLICY,
    load_tree,
    newest_checkpoint,
    prune_checkpoints,
    save_tree,
)
from ctrl.config import TrainConfig, read_config
from ctrl.interruption import stop_on_interrupt
from ctrl.run_folder import RunFolder
from ctrl.search.barfi.build import build_learner, complete
from ctrl.search.barfi.config import AlignConfig, parse_align
from ctrl.search.barfi.learner import AlignmentLearner
from reward_models.blend.behaviour_alignment import save_behaviour_alignment
from reward_models.errors import UserError

_LAST = 20


@dataclass(frozen=True)
class AlignResult:
    """Closing numbers of an alignment.

    Attributes:
        run_folder: where everything lies; ``reward/`` in it is the learned reward, for
            ``use: behaviour_alignment``. Baselines have none.
        iterations: done.
        steps: environment steps done.
        seconds: wall time in this process.
        task_return: mean task return over the last 20 iterations (those of this process).
        discount: the learned discount.
        no_signal: outer steps in which the episodes gave no gradient of the task.
        finished: false when it was interrupted and can be resumed.
    """

    run_folder: str
    iterations: int
    steps: int
    seconds: float
    task_return: float
    discount: float
    no_signal: int
    finished: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def align(
    config: AlignConfig | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    progress: bool | None = False,
    terms: Terms | None = None,
) -> AlignResult:
    """Learn a blend of task and auxiliary rewards, and write a run folder.

    Args:
        config: the configuration, or its plain data.
        out: run folder; None makes a new one under ``runs/``.
        progress: show a bar; None shows it on a terminal only.
        terms: reward models or functions by name, used instead of what the configuration names.
            Such a run can be neither resumed nor its reward be loaded by name.

    Returns:
        The closing numbers and the run folder.

    Raises:
        UserError: a mistake in the configuration, before anything is written.
    """
    if not isinstance(config, AlignConfig):
        config = parse_align(config)
    config = complete(config)
    torch.set_num_threads(config.threads)
    learner = build_learner(config, terms=terms)
    try:
        folder = RunFolder.create(None if out is None else Path(out), config)
        return _run(config, learner, folder, progress)
    finally:
        learner.collector.recorder.close()


def resume_align(
    path: str | Path,
    *,
    iterations: int | None = None,
    progress: bool | None = False,
    trust_code: bool = False,
) -> AlignResult:
    """Continue an alignment from its newest checkpoint, as if it had never stopped.

    Args:
        path: the run folder.
        iterations: up to this many instead of the configured ones.
        progress: see `align`.
        trust_code: allow reward code that the run folder names.

    Raises:
        UserError: no checkpoint, untrusted code, or the run is finished.
    """
    from ctrl.evaluation import require_trust

    folder = RunFolder.open(path)
    config = parse_align(read_config(folder.config_file))
    require_trust(TrainConfig(env=config.env, reward=config.reward), folder, trust_code)
    checkpoint = newest_checkpoint(folder.checkpoints)
    if checkpoint is None:
        raise UserError(f"{folder.path} has no checkpoint to continue from.")
    if iterations is not None:
        config = replace(config, iterations=iterations)
    tree = load_tree(checkpoint)
    if tree["iteration"] >= config.iterations:
        raise UserError(
            f"{folder.path} is finished ({tree['iteration']} iterations). To go on, ask for more."
        )
    torch.set_num_threads(config.threads)
    learner = build_learner(config)
    try:
        learner.load_state_dict(tree)
        return _run(config, learner, folder, progress, resumed=True)
    finally:
        learner.collector.recorder.close()


def _run(
    config: AlignConfig,
    learner: AlignmentLearner,
    folder: RunFolder,
    progress: bool | None,
    *,
    resumed: bool = False,
) -> AlignResult:
    began, every = time.perf_counter(), config.checkpoints.every or 0
    logger = folder.logger(resumed_at=learner.collector.steps if resumed else None)
    returns: list[float] = []
    asked: list[bool] = []
    disable = None if progress is None else not progress
    bar = tqdm(
        total=config.iterations, initial=learner.iteration, desc=folder.path.name,
        unit="iteration", disable=disable, mininterval=0.5,
    )  # fmt: skip

    try:
        with bar, stop_on_interrupt(lambda: asked.append(True), after="this iteration"):

            def after(learner: AlignmentLearner, numbers: dict[str, float]) -> bool:
                returns.append(numbers["return/task"])
                logger.record("time/total_timesteps", learner.collector.steps)
                logger.record("time/iterations", learner.iteration)
                for name, value in numbers.items():
                    logger.record(name, value)
                logger.dump(step=learner.collector.steps)
                bar.update()
                if not bar.disable:
                    mean = float(np.mean(returns[-_LAST:]))
                    bar.set_postfix_str(f"task return {mean:.3g}", refresh=False)
                if every and learner.iteration % every == 0:
                    _save(learner, config, folder)
                return not asked

            learner.learn(config.iterations - learner.iteration, after)
    finally:
        logger.close()
    finished = learner.iteration >= config.iterations
    _save(learner, config, folder)
    if finished:
        save_tree(dict(learner.policy.state_dict()), folder.final, arrays_file=POLICY)
        if config.baseline is None:
            export_reward(learner, config, folder.path / "reward")
    result = AlignResult(
        run_folder=str(folder.path),
        iterations=learner.iteration,
        steps=learner.collector.steps,
        seconds=time.perf_counter() - began,
        task_return=float(np.mean(returns[-_LAST:])) if returns else 0.0,
        discount=float(learner.discount().detach()),
        no_signal=learner.no_signal,
        finished=finished,
    )
    text = json.dumps(result.as_dict(), indent=2)
    folder.result_file.write_text(text + "\n", encoding="utf-8")
    return result


def export_reward(learner: AlignmentLearner, config: AlignConfig, folder: Path) -> None:
    """Write the learned blend as a reward, see `reward_models.blend.BehaviourAlignment`."""
    blend = config.blend
    save_behaviour_alignment(
        folder,
        mix=learner.collector.mix,
        coefficients=learner.coefficients,
        terms={name: asdict(term) for name, term in config.reward.items()},
        blend={
            "features": blend.features,
            "options": dict(blend.options),
            "hidden": list(blend.hidden),
            "fixed_task": blend.fixed_task,
        },
        discount=float(learner.discount().detach()),
    )


def _save(learner: AlignmentLearner, config: AlignConfig, folder: RunFolder) -> None:
    save_tree(learner.state_dict(), folder.checkpoints / f"step_{learner.collector.steps:012d}")
    prune_checkpoints(folder.checkpoints, config.checkpoints.keep)
