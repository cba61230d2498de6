"""Search once: from a configuration to a run folder."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ctrl.checkpoint import load_tree, newest_checkpoint, prune_checkpoints, save_tree
from ctrl.config import TASK, TermConfig, TrainConfig, read_config
from ctrl.interruption import stop_on_interrupt
from ctrl.own_code import absolute_term
from ctrl.run_folder import RunFolder
from ctrl.search.config import SearchConfig, parse_search
from ctrl.search.episodes import Episodes
from ctrl.search.evaluation import CountedEvaluate, Evaluator, Executor, Setting
from ctrl.search.findings import write_findings
from ctrl.search.method import SearchMethod
from ctrl.search.methods import make_method, plan
from ctrl.search.metrics import SearchMetrics
from ctrl.search.worlds import area_count, place_bounds
from reward_models.errors import UserError

_ARCHIVE_ROWS = 100
"""Rows of a whole search that say how much the archives alone cover."""


@dataclass(frozen=True)
class SearchResult:
    """Closing numbers of a search.

    Attributes:
        run_folder: where everything lies.
        evaluations: episodes done.
        steps: environment steps done in them.
        seconds: wall time in this process.
        coverage: share of the cells of places in which an episode ended.
        archive_coverage: the same of the kept episodes alone.
        best: best reward of an episode in each reward area, 0 where none ended there.
        mean_best: their mean.
        uniformity: how evenly the episodes ended over the cells, see
            `ctrl.search.metrics.uniformity`.
        kept: size of every archive.
        finished: false when it was interrupted and can be resumed.
    """

    run_folder: str
    evaluations: int
    steps: int
    seconds: float
    coverage: float
    archive_coverage: float
    best: dict[str, float]
    mean_best: float
    uniformity: float
    kept: dict[str, int]
    finished: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def search(
    config: SearchConfig | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    processes: int = 1,
    ray_address: str | None = None,
    progress: bool | None = False,
) -> SearchResult:
    """Search for policies and write a run folder.

    Args:
        config: the configuration, or its plain data.
        out: run folder; None makes a new one under ``runs/``.
        processes: evaluate on this many processes; results do not depend on it.
        ray_address: evaluate on this Ray cluster instead.
        progress: show a bar; None shows it on a terminal only.

    Returns:
        The closing numbers and the run folder.

    Raises:
        UserError: a mistake in the configuration, before anything is written.
    """
    if not isinstance(config, SearchConfig):
        config = parse_search(config)
    config = complete(config)
    with _Search(config, processes, ray_address) as running:
        folder = RunFolder.create(None if out is None else Path(out), config)
        return running.run(folder, progress=progress)


def resume_search(
    path: str | Path,
    *,
    budget: int | None = None,
    processes: int = 1,
    ray_address: str | None = None,
    progress: bool | None = False,
    trust_code: bool = False,
) -> SearchResult:
    """Continue a search from its newest checkpoint, as if it had never stopped.

    Args:
        path: the run folder.
        budget: search until this many evaluations instead of the configured ones.
        processes: see `search`.
        ray_address: see `search`.
        progress: see `search`.
        trust_code: allow reward code that the run folder names.

    Raises:
        UserError: no checkpoint, untrusted code, or the search is finished.
    """
    from ctrl.evaluation import require_trust

    folder = RunFolder.open(path)
    config = parse_search(read_config(folder.config_file))
    require_trust(TrainConfig(env=config.env, reward=config.reward), folder, trust_code)
    checkpoint = newest_checkpoint(folder.checkpoints)
    if checkpoint is None:
        raise UserError(f"{folder.path} has no checkpoint to continue from.")
    if budget is not None:
        config = replace(config, budget=budget)
    tree = load_tree(checkpoint)
    if tree["used"] >= config.budget:
        raise UserError(
            f"{folder.path} is finished ({config.budget} evaluations). To search further, pass "
            "--budget with a larger number."
        )
    with _Search(config, processes, ray_address) as running:
        return running.run(folder, progress=progress, resumed=tree)


def complete(config: SearchConfig) -> SearchConfig:
    """Write out what the configuration leaves to defaults, so that the run folder records it."""
    chosen = plan(config)
    every = config.checkpoints.every
    terms = {TASK: TermConfig(use=TASK), **config.reward}
    return replace(
        config,
        descriptor=replace(config.descriptor, name=chosen.descriptor),
        images=chosen.images,
        samples=chosen.samples,
        bounds=place_bounds(config.env, config.bounds),
        areas=area_count(config.env, config.areas),
        reward={name: absolute_term(t) for name, t in terms.items()},
        checkpoints=replace(
            config.checkpoints, every=max(1, config.budget // 20) if every is None else every
        ),
    )


class _Search:
    """A search with its processes open."""

    def __init__(self, config: SearchConfig, processes: int, ray_address: str | None) -> None:
        torch.set_num_threads(config.threads)
        self.config = config
        self.bounds = place_bounds(config.env, config.bounds)
        setting = _setting(config)
        self.executor, self.evaluator = _executor(setting, processes, ray_address)
        try:
            self.method: SearchMethod = make_method(config, self.evaluator, self.bounds)
            self.metrics = SearchMetrics(
                bounds=self.bounds, cells=config.cells, areas=config.areas or 0
            )
        except BaseException:
            self.executor.close()
            raise
        self.evaluate = CountedEvaluate(self.executor)
        self.steps = self._looked = 0
        self.stop_requested = False

    def __enter__(self) -> _Search:
        return self

    def __exit__(self, *error: object) -> None:
        self.executor.close()

    def run(
        self, folder: RunFolder, *, progress: bool | None, resumed: Mapping[str, Any] | None = None
    ) -> SearchResult:
        """Search until the budget is spent or Ctrl-C was pressed."""
        began = time.perf_counter()
        budget, every = self.config.budget, self.config.checkpoints.every or 0
        if resumed is not None:
            self._restore(resumed)
        logger = folder.logger(resumed_at=None if resumed is None else self.steps)
        saved = self.evaluate.used // every if every else 0
        disable = None if progress is None else not progress
        bar = tqdm(
            total=budget, initial=self.evaluate.used, desc=folder.path.name, unit="evaluation",
            disable=disable, mininterval=0.5,
        )  # fmt: skip
        try:
            with bar, stop_on_interrupt(self._request_stop, after="this generation"):
                while self.evaluate.used < budget and not self.stop_requested:
                    numbers = self.method.step(self._watched(bar), budget - self.evaluate.used)
                    self._log(logger, numbers)
                    if every and self.evaluate.used // every > saved:
                        saved = self.evaluate.used // every
                        self._save(folder)
        finally:
            logger.close()
        finished = self.evaluate.used >= budget
        self._save(folder)
        result = self._result(folder, time.perf_counter() - began, finished=finished)
        if finished:
            write_findings(folder, self.config, self.method, self.metrics, self.evaluator)
        text = json.dumps(result.as_dict(), indent=2)
        folder.result_file.write_text(text + "\n", encoding="utf-8")
        return result

    def _watched(self, bar: tqdm[Any]) -> Any:
        """Return what the method evaluates with: counts, measures and moves the bar."""

        def evaluate(genomes: NDArray[np.float64]) -> Episodes:
            episodes = self.evaluate(genomes)
            self.metrics.add(episodes)
            self.steps += int(episodes.length.sum())
            bar.update(min(len(episodes), self.config.budget - bar.n))
            if not bar.disable:
                best = "/".join(f"{value:.2f}" for value in self.metrics.best)
                bar.set_postfix_str(
                    f"coverage {self.metrics.coverage:.3f}, best {best or '-'}", refresh=False
                )
            return episodes

        return evaluate

    def _log(self, logger: Any, numbers: Mapping[str, float]) -> None:
        logger.record("time/total_timesteps", self.steps)
        logger.record("search/evaluations", self.evaluate.used)
        logger.record("search/coverage", self.metrics.coverage)
        # Looking at the archives copies them, pictures and all.
        if self.evaluate.used * _ARCHIVE_ROWS // self.config.budget > self._looked:
            self._looked = self.evaluate.used * _ARCHIVE_ROWS // self.config.budget
            kept = self.method.archives.values()
            logger.record("search/archive_coverage", self.metrics.coverage_of(kept))
        logger.record("search/mean_best", self.metrics.mean_best)
        for area, value in enumerate(self.metrics.best):
            logger.record(f"search/best/{area}", float(value))
        for name, value in numbers.items():
            logger.record(f"method/{name}", value)
        # As in training: a resumed run drops what was logged behind its environment steps.
        logger.dump(step=self.steps)

    def _save(self, folder: RunFolder) -> None:
        tree = {
            "used": self.evaluate.used,
            "steps": self.steps,
            "method": self.method.state_dict(),
            "metrics": self.metrics.state_dict(),
        }
        save_tree(tree, folder.checkpoints / f"step_{self.evaluate.used:012d}")
        prune_checkpoints(folder.checkpoints, self.config.checkpoints.keep)

    def _restore(self, tree: Mapping[str, Any]) -> None:
        self.evaluate.used, self.steps = int(tree["used"]), int(tree["steps"])
        self._looked = self.evaluate.used * _ARCHIVE_ROWS // self.config.budget
        self.method.load_state_dict(tree["method"])
        self.metrics.load_state_dict(tree["metrics"])

    def _result(self, folder: RunFolder, seconds: float, *, finished: bool) -> SearchResult:
        kept = self.method.archives
        best = {str(area): float(value) for area, value in enumerate(self.metrics.best)}
        return SearchResult(
            run_folder=str(folder.path),
            evaluations=self.evaluate.used,
            steps=self.steps,
            seconds=seconds,
            coverage=self.metrics.coverage,
            archive_coverage=self.metrics.coverage_of(kept.values()),
            best=best,
            mean_best=self.metrics.mean_best,
            uniformity=self.metrics.uniformity,
            kept={name: len(episodes) for name, episodes in kept.items()},
            finished=finished,
        )

    def _request_stop(self) -> None:
        self.stop_requested = True


def _setting(config: SearchConfig) -> Setting:
    return Setting(
        env=config.env,
        genome=config.genome,
        seed=config.seed,
        reward=config.reward,
        gamma=config.gamma,
        samples=config.samples,
        observe=config.observe,
        place=config.place,
        images=bool(config.images),
        columns=config.columns,
    )


def _executor(
    setting: Setting, processes: int, ray_address: str | None
) -> tuple[Executor, Evaluator]:
    """Return who evaluates, and an evaluator of this process that knows the setting."""
    if ray_address is not None:
        from ctrl.search.evaluation.cluster import RayCluster

        cluster = RayCluster(setting, address=ray_address)
        return cluster, cluster.evaluator
    if processes == 1:
        evaluator = Evaluator(setting)
        return evaluator, evaluator
    from ctrl.search.evaluation.local import LocalProcesses

    workers = LocalProcesses(setting, processes=processes)
    return workers, workers.evaluator
