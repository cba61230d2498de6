"""Trying a program out: train a policy with it, let the policy act, and count what happened."""

from __future__ import annotations

import csv
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import numpy as np

from ctrl.build import alone, build_env
from ctrl.checkpoint import newest_checkpoint
from ctrl.config import TASK
from ctrl.design.analyzer import analyse
from ctrl.design.attempts import Trial
from ctrl.design.config import DesignConfig
from ctrl.design.environment import EVERYTHING
from ctrl.design.episode_log import EpisodeLog, finished_episodes
from ctrl.design.metric import Metric
from ctrl.evaluation import evaluate, load_policy
from ctrl.run_folder import RunFolder
from ctrl.sb3.recorder import Recorder
from ctrl.training import resume, train
from reward_models.base import split_output
from reward_models.coded.coded_reward import CodedReward
from reward_models.coded.program import Convention
from reward_models.errors import TrainingError
from reward_models.rollout import Rollout

PROGRAM = "program"
"""Name of the program's term in trainings."""
TOTAL = "total"
"""Name of what the whole program paid."""

_EVALUATION_SEED = 2_000_000
_OF_EVERY_TERM = frozenset(
    ("mean", "std", "nonzero", "contribution", "share", "weight", "effective_weight", "faults")
)


class DesignInterruptedError(Exception):
    """A training was stopped by the user; it can be taken up again."""


class Trainer(ABC):
    """A "train once" callable: from a program to what training with it came to."""

    @abstractmethod
    def __call__(
        self,
        program: Path | None,
        folder: Path,
        *,
        seed: int,
        fallback: Path | None = None,
        start: Path | None = None,
    ) -> Trial:
        """Train and evaluate; what lies finished in the folder is not done again.

        Args:
            program: file of the program; None for the task reward alone.
            folder: of this training; it may hold an interrupted one.
            seed: of the training.
            fallback: file of the best program so far, which pays when this one fails; None where
                there is none.
            start: folder of the training whose policy this one starts from; None for a new one.

        Raises:
            DesignInterruptedError: the user stopped it.
            TrainingError: the program broke the training.
        """


@final
class RunTrainer(Trainer):
    """Train through `ctrl.train`, evaluate the final policy by the task metric.

    Args:
        config: the design.
        metric: of the task.
    """

    def __init__(self, config: DesignConfig, metric: Metric) -> None:
        self._config, self._metric = config, metric

    def __call__(
        self,
        program: Path | None,
        folder: Path,
        *,
        seed: int,
        fallback: Path | None = None,
        start: Path | None = None,
    ) -> Trial:
        """Train or go on with a training, then evaluate; see `Trainer`."""
        run = RunFolder(folder)
        if not run.final.is_dir():
            if newest_checkpoint(run.checkpoints) is None:
                shutil.rmtree(folder, ignore_errors=True)
                terms = self._terms(program, fallback)
                result = train(self._config.training(terms, seed=seed, start=start), out=folder)
            else:
                result = resume(folder, trust_code=True)
            if not result.finished:
                raise DesignInterruptedError
        if program is not None and _faults(run):
            raise TrainingError(
                "the program failed while a policy was trained with it; the warning in the log of "
                f"{folder} says where."
            )
        return self._judged(program, run)

    def _terms(self, program: Path | None, fallback: Path | None) -> dict[str, Any]:
        if program is None:
            return {TASK: 1.0}
        term = {"use": "coded", "program": str(program.resolve())}
        if fallback is not None:
            term["fallback"] = str(fallback.resolve())
        return {TASK: self._config.task_weight, PROGRAM: term}

    def _judged(self, program: Path | None, run: RunFolder) -> Trial:
        config, judge = self._config, self._config.judge
        model, _ = load_policy(run, trust_code=True)
        venv = build_env(
            alone(config.env), n_envs=min(judge.episodes, 8), seed=config.seed + _EVALUATION_SEED
        )
        recorder = Recorder(venv, requires=EVERYTHING)
        recorder.begin(64)
        try:
            evaluate(
                model, recorder, episodes=judge.episodes, seed=config.seed + _EVALUATION_SEED,
                deterministic=judge.deterministic,
            )  # fmt: skip
            rollout = recorder.rollout()
        finally:
            recorder.close()
        paid = {} if program is None else what_it_paid(program, rollout)
        episodes = finished_episodes(
            rollout, wanted=judge.episodes, paid=paid, success=self._metric.success
        )
        curve, parts = _logged(run, self._metric, program)
        by_best = judge.best
        if by_best is None:
            by_best = config.convention == Convention.COMPONENTS
        return judged(
            episodes, self._metric, window=judge.window, curve=curve, parts=parts, best=by_best
        )


def judged(
    episodes: list[EpisodeLog],
    metric: Metric,
    *,
    window: int,
    curve: tuple[tuple[int, float], ...] = (),
    parts: Mapping[str, tuple[float, ...]] | None = None,
    best: bool = False,
) -> Trial:
    """Return the trial of evaluated episodes.

    Args:
        episodes: at least one.
        metric: of the task.
        window: see `ctrl.design.analyzer.analyse`.
        curve: the metric over training.
        parts: means of the program's parts over training.
        best: score by the best of ``curve`` and the episodes instead of the episodes alone.
    """
    facts = analyse(episodes, window=window)
    score = metric.score(facts)
    if best:
        score = max([score, *(value for _, value in curve)])
    return Trial(score, facts, curve, dict(parts or {}), _correlation(episodes))


def what_it_paid(program: Path, rollout: Rollout) -> dict[str, np.ndarray]:
    """Return what a program pays on recorded steps, ``[T, B]``, by part and as ``total``.

    Args:
        program: its file.
        rollout: recorded from a reset on.
    """
    value, extras = split_output(CodedReward(program=program)(rollout))
    parts = {_part(name): rows.numpy() for name, rows in extras.items() if name != "defined"}
    return {**parts, TOTAL: value.numpy()}


def _part(name: str) -> str:
    return name.removeprefix("component_")


def _correlation(episodes: list[EpisodeLog]) -> float | None:
    if any(TOTAL not in episode.paid for episode in episodes):
        return None
    ours = np.concatenate([episode.paid[TOTAL] for episode in episodes]).astype(np.float64)
    task = np.concatenate([episode.reward for episode in episodes]).astype(np.float64)
    if ours.std() == 0 or task.std() == 0:
        return None
    return float(f"{float(np.corrcoef(ours, task)[0, 1]):.6g}")


def _logged(
    run: RunFolder, metric: Metric, program: Path | None
) -> tuple[tuple[tuple[int, float], ...], dict[str, tuple[float, ...]]]:
    """Return the metric and the means of the program's parts over training, from the log."""
    with run.progress_file.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    curve = tuple(
        (int(float(row["time/total_timesteps"])), float(row[metric.column]))
        for row in rows
        if metric.column is not None and row.get(metric.column)
    )
    if program is None or not rows:
        return curve, {}
    prefix = f"reward/{PROGRAM}/"
    own = [key for key in rows[-1] if key.startswith(prefix)]
    parts = {
        _part(key.removeprefix(prefix)): tuple(float(row[key]) for row in rows if row.get(key))
        for key in own
        if key.removeprefix(prefix) not in _OF_EVERY_TERM
    }
    return curve, {name: values for name, values in parts.items() if values}


def _faults(run: RunFolder) -> float:
    """Return how many programs failed in a training, from its log."""
    with run.progress_file.open(encoding="utf-8", newline="") as file:
        counts = [row.get(f"reward/{PROGRAM}/faults") or "0" for row in csv.DictReader(file)]
    return max(map(float, counts), default=0.0)
