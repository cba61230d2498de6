"""The training loop of transformer policies: from a configuration to a run folder."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.logger import Logger
from tqdm import tqdm

from ctrl.alarms import RewardAlarms
from ctrl.build import Terms
from ctrl.checkpoint import POLICY, load_tree, newest_checkpoint, prune_checkpoints, save_tree
from ctrl.config import TrainConfig
from ctrl.interruption import stop_on_interrupt
from ctrl.llm.episodes import Episode
from ctrl.llm.evaluation import evaluate_learner
from ctrl.llm.learner import LanguageLearner
from ctrl.run_folder import RunFolder
from ctrl.training import RunResult
from reward_models.errors import TrainingError, UserError

_SEED_OF_EVALUATION = 1_000_000


def train_language(
    config: TrainConfig, *, terms: Terms, out: Path | None, progress: bool | None
) -> RunResult:
    """Train a transformer policy and write a run folder; see ``ctrl.train``."""
    torch.set_num_threads(config.threads)
    _check_settings(config)
    learner = LanguageLearner(config, terms=terms)
    return _Loop(learner, _shared_folder(learner, out, config), progress=progress).run()


def _shared_folder(learner: LanguageLearner, out: Path | None, config: TrainConfig) -> RunFolder:
    """Return the run folder, which the first of several processes makes."""
    accelerator = learner.accelerator
    if accelerator.num_processes == 1:
        return RunFolder.create(out, config)
    if out is None:
        raise UserError("With several processes name the run folder: --out DIR.")
    if accelerator.is_main_process:
        RunFolder.create(out, config)
    accelerator.wait_for_everyone()
    return RunFolder.open(out)


def resume_language(
    folder: RunFolder, config: TrainConfig, *, terms: Terms, progress: bool | None
) -> RunResult:
    """Continue from the newest checkpoint; on a CPU as if the run had never stopped.

    Raises:
        UserError: no checkpoint, or the run is finished.
    """
    torch.set_num_threads(config.threads)
    checkpoint = newest_checkpoint(folder.checkpoints)
    if checkpoint is None:
        raise UserError(f"{folder.path} has no checkpoint to continue from.")
    tree = load_tree(checkpoint)
    if tree["learner"]["steps"] >= config.steps:
        raise UserError(
            f"{folder.path} is finished ({config.steps} steps). To train it further, pass "
            "--steps with a larger number."
        )
    learner = LanguageLearner(config, terms=terms)
    learner.restore(tree["learner"])
    return _Loop(learner, folder, progress=progress, resumed=tree).run()


def _check_settings(config: TrainConfig) -> None:
    """Refuse settings of a run that only networks have.

    Raises:
        UserError: lists them.
    """
    wrong = [
        name
        for name, given in (
            ("start_from", config.start_from is not None),
            ("normalize_observations", config.normalize_observations),
            ("behaviour_cloning (take algo.warm_up)", config.behaviour_cloning is not None),
            ("diagnostics.lipschitz", bool(config.diagnostics.lipschitz)),
            ("env.n_envs (take algo.slots)", config.env.n_envs is not None),
        )
        if given
    ]
    if wrong:
        raise UserError(f"{config.algo.name} trains a transformer, without: {', '.join(wrong)}.")


class _Loop:
    """Warm up once, then roll out, reward, update, log and save until the steps are done."""

    def __init__(
        self, learner: LanguageLearner, folder: RunFolder, *, progress: bool | None,
        resumed: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.learner, self.folder, self.config = learner, folder, learner.config
        self.alarms = RewardAlarms(learner.mix.names)
        self.first = learner.steps
        self.resumed = resumed is not None
        self.best, self.evaluated, self.saved = -float("inf"), 0, learner.steps
        if resumed is not None:
            self.alarms.restore(resumed["alarms"])
            self.best, self.evaluated = resumed["best"], resumed["evaluated"]
        self.latest: dict[str, float] = dict(resumed["latest"]) if resumed is not None else {}
        self.interrupted = False
        self.is_main = learner.accelerator.is_main_process
        self.hidden = True if progress is False or not self.is_main else (
            None if progress is None else False
        )  # fmt: skip

    def run(self) -> RunResult:
        began, config = time.perf_counter(), self.config
        logger = self._logger()
        bar = tqdm(
            total=config.steps, initial=self.first, desc=self.folder.path.name, unit="turn",
            disable=self.hidden, mininterval=0.5,
        )  # fmt: skip
        try:
            if not self.resumed:
                self._warm_up(logger)
                bar.update(min(self.learner.steps, config.steps) - bar.n)
                self._evaluate(logger)
            with stop_on_interrupt(self._stop, after="this rollout"):
                while self.learner.steps < config.steps and not self.interrupted:
                    self._iterate(logger, began)
                    bar.update(min(self.learner.steps, config.steps) - bar.n)
                    bar.set_postfix({"success": f"{self.latest['rollout/success_rate']:.2f}"})
            if not self.interrupted and config.evaluation.every:
                self._evaluate(logger, last=True)
            self._save(final=not self.interrupted)
        except TrainingError as error:
            self._save(final=False)
            raise type(error)(*_with_place(error, self.folder.checkpoints)) from error
        finally:
            bar.close()
            logger.close()
            self.learner.close()
        result = self._result(time.perf_counter() - began)
        if not self.is_main:
            return result
        text = json.dumps(result.as_dict(), indent=2)
        self.folder.result_file.write_text(text + "\n", encoding="utf-8")
        return result

    def _logger(self) -> Logger:
        if not self.is_main:
            return Logger(None, [])
        return self.folder.logger(resumed_at=self.first if self.resumed else None)

    def _stop(self) -> None:
        self.interrupted = True

    def _warm_up(self, logger: Logger) -> None:
        def logged(epoch: int, loss: float) -> None:
            logger.record("warm_up/loss", loss)
            logger.record("warm_up/epoch", epoch + 1)

        if self.learner.warm_up(logged):
            logger.record("time/total_timesteps", self.learner.steps)
            logger.dump(self.learner.steps)
        self.learner.keep_reference()

    def _iterate(self, logger: Logger, began: float) -> None:
        before, start = self.learner.steps, time.perf_counter()
        metrics, episodes = self.learner.iterate()
        seconds = time.perf_counter() - start
        steps = self.learner.steps
        columns = {
            key.removeprefix("reward/"): value
            for key, value in metrics.items()
            if key.startswith("reward/")
        }
        ended = (metrics["return/task"], metrics["return/shaped"])
        for alarm in self.alarms.update(columns, ended, steps=steps - before):
            self._alarm(alarm, steps)
        metrics |= {f"alarm/{kind}": count for kind, count in self.alarms.counts().items()}
        self.latest = metrics
        tokens = sum(len(reply.tokens) for episode in episodes for reply in episode.replies)
        for name, value in metrics.items():
            logger.record(name, value)
        logger.record("time/tokens_per_second", tokens / seconds)
        logger.record("time/fps", int((steps - self.first) / (time.perf_counter() - began)))
        logger.record("time/total_timesteps", steps)
        logger.dump(steps)
        self._write_samples(episodes, steps)
        every = self.config.evaluation.every
        if every and steps // every > self.evaluated // every:
            self._evaluate(logger)
        every = self.config.checkpoints.every or 0
        if every and steps // every > self.saved // every:
            self._save(final=False)

    def _alarm(self, alarm: Any, steps: int) -> None:
        if not self.is_main:
            return
        tqdm.write(f"{alarm.message}")
        with self.folder.alarms_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"steps": steps, **alarm._asdict()}) + "\n")

    def _write_samples(self, episodes: list[Episode], steps: int) -> None:
        """Append some episodes as text; special tokens are shown, nothing is interpreted."""
        if not self.is_main:
            return
        with (self.folder.path / "samples.jsonl").open("a", encoding="utf-8") as file:
            for episode in episodes[: self.learner.settings.samples]:
                line = {
                    "steps": steps,
                    "task": episode.task,
                    "success": episode.success,
                    "task_return": episode.task_return,
                    "text": self.learner.policy.tokenizer.decode(episode.ids),
                }
                file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _evaluate(self, logger: Logger, *, last: bool = False) -> None:
        config, steps = self.config, self.learner.steps
        if not config.evaluation.every or (last and self.evaluated == steps):
            return
        found = evaluate_learner(
            self.learner, episodes=config.evaluation.episodes,
            seed=config.seed + _SEED_OF_EVALUATION,
        )  # fmt: skip
        self.evaluated = steps
        for name in ("task_return_mean", "success_rate"):
            logger.record(f"evaluation/{name.removesuffix('_mean')}", found[name])
        logger.record("time/total_timesteps", steps)
        logger.dump(steps)
        if found["task_return_mean"] > self.best and self.is_main:
            self.best = found["task_return_mean"]
            save_tree(self.learner.policy_state(), self.folder.best, arrays_file=POLICY)

    def _save(self, *, final: bool) -> None:
        learner = self.learner
        self.saved = learner.steps
        if not self.is_main:
            return
        tree = {
            "learner": learner.state(),
            "alarms": self.alarms.snapshot(),
            "best": self.best,
            "evaluated": self.evaluated,
            "latest": self.latest,
        }
        save_tree(tree, self.folder.checkpoints / f"step_{learner.steps:012d}")
        prune_checkpoints(self.folder.checkpoints, self.config.checkpoints.keep)
        if final:
            save_tree(learner.policy_state(), self.folder.final, arrays_file=POLICY)
            place = str(self.folder.path / "transformer")
            learner.policy.model.save_pretrained(place, safe_serialization=True)
            learner.policy.tokenizer.save_pretrained(place)

    def _result(self, seconds: float) -> RunResult:
        prefix = "return/term/"
        return RunResult(
            run_folder=str(self.folder.path),
            steps=self.learner.steps,
            seconds=seconds,
            steps_per_second=(self.learner.steps - self.first) / seconds,
            task_return=self.latest.get("return/task"),
            shaped_return=self.latest.get("return/shaped"),
            success_rate=self.latest.get("rollout/success_rate"),
            terms={
                k.removeprefix(prefix): v for k, v in self.latest.items() if k.startswith(prefix)
            },
            finished=not self.interrupted,
        )


def _with_place(error: TrainingError, checkpoints: Path) -> tuple[str, ...]:
    note = f"The last good state is kept in {checkpoints}."
    message = getattr(error, "message", None)
    named = getattr(error, "term", getattr(error, "part", None))
    if message is not None and named is not None:
        return (named, f"{message} {note}")
    return (f"{error} {note}",)
