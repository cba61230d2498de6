"""Design once: from a configuration to a run folder with the best program in it.

Every step is on disk before the next one begins: what was asked and answered in
``exchange.jsonl``, every finished attempt in ``history.jsonl``, every training in its own run
folder. A design that was stopped at any moment repeats nothing but the step it was in.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ctrl.config import read_config
from ctrl.design.attempts import (
    Attempt,
    Request,
    Trial,
    Try,
    best_attempt,
    read_history,
    write_history,
)
from ctrl.design.backends.backend import Usage
from ctrl.design.backends.exchanges import StoredExchanges
from ctrl.design.config import DesignConfig, parse_design
from ctrl.design.critic import Critic, reviewed
from ctrl.design.designer import Designer
from ctrl.design.designers import make_designer
from ctrl.design.environment import Surroundings, explore
from ctrl.design.metric import Metric
from ctrl.design.page import write_page
from ctrl.design.trainer import DesignInterruptedError, RunTrainer, Trainer
from ctrl.run_folder import RunFolder
from reward_models.coded.program import Program, as_convention
from reward_models.errors import TrainingError, UserError

EXCHANGE, HISTORY, BEST, PAGE = "exchange.jsonl", "history.jsonl", "best.py", "history.html"

MakeTrainer = Callable[[DesignConfig, Metric], Trainer]


@dataclass(frozen=True)
class DesignResult:
    """Closing numbers of a design.

    Attributes:
        run_folder: where everything lies; ``best.py`` in it is the best program, for
            ``use: RUN/best.py:program``, and ``history.html`` tells how it came about.
        rounds: done.
        accepted: programs that the Critic accepted.
        refused: texts that it refused.
        baseline: score of the task reward alone; None without it.
        best: score of the best program; None when none could be run.
        best_round: its round; None without it.
        final: scores of the best program with the final seeds.
        usage: what the backend cost; zeros without one.
        seconds: wall time in this process.
        finished: false when it was interrupted and can be resumed.
    """

    run_folder: str
    rounds: int
    accepted: int
    refused: int
    baseline: float | None
    best: float | None
    best_round: int | None
    final: tuple[float, ...]
    usage: Usage
    seconds: float
    finished: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def design(
    config: DesignConfig | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    progress: bool | None = False,
    make_trainer: MakeTrainer = RunTrainer,
) -> DesignResult:
    """Design a reward program and write a run folder.

    Args:
        config: the configuration, or its plain data.
        out: run folder; one that holds a design of the same configuration is gone on with; None
            makes a new one under ``runs/``.
        progress: show a bar; None shows it on a terminal only.
        make_trainer: from the configuration and the metric to what trains with a program.

    Returns:
        The closing numbers and the run folder.

    Raises:
        UserError: a mistake in the configuration, before anything is written, or a backend that
            cannot answer; what is done is kept.
    """
    if not isinstance(config, DesignConfig):
        config = parse_design(config)
    path = None if out is None else Path(out)
    if path is not None and (path / "config.yaml").is_file():
        stored = parse_design(read_config(path / "config.yaml"))
        if stored != config:
            raise UserError(
                f"{path} holds a design with another configuration. Name another folder with "
                f"--out, or go on with that one: ctrl resume {path}."
            )
        return resume_design(path, progress=progress, make_trainer=make_trainer)
    running = _Design(config, make_trainer)
    folder = RunFolder.create(path, config)
    return running.run(folder, progress=progress)


def resume_design(
    path: str | Path,
    *,
    rounds: int | None = None,
    progress: bool | None = False,
    make_trainer: MakeTrainer = RunTrainer,
) -> DesignResult:
    """Go on with a design, as if it had never stopped.

    Args:
        path: the run folder.
        rounds: design for this many rounds instead of the configured ones.
        progress: see `design`.
        make_trainer: see `design`.

    Raises:
        UserError: no design, or its records were changed.
    """
    folder = RunFolder.open(path)
    config = parse_design(read_config(folder.config_file))
    if rounds is not None:
        config = replace(config, rounds=rounds)
    return _Design(config, make_trainer).run(folder, progress=progress)


class _Design:
    """A design that is under way."""

    def __init__(self, config: DesignConfig, make_trainer: MakeTrainer) -> None:
        self.config = config
        self.convention = as_convention(config.convention)
        self.around: Surroundings = explore(
            config.env,
            task=config.task,
            quantities=config.inputs.quantities,
            actions=config.inputs.actions,
            steps=config.inputs.samples,
            seed=config.seed,
        )
        self.metric = Metric.choose(
            config.judge.metric,
            has_success=self.around.has_success,
            quantities=dict.fromkeys(self.around.quantities),
        )
        self.trainer = make_trainer(config, self.metric)
        self.exchanges: StoredExchanges | None = None
        self.history: list[Attempt] = []
        self.final: list[float] = []

    def run(self, folder: RunFolder, *, progress: bool | None) -> DesignResult:
        """Design until the rounds are done or Ctrl-C was pressed."""
        began = time.perf_counter()
        config = self.config
        self.folder = folder
        designer, self.exchanges = make_designer(config, folder.path / EXCHANGE)
        self._read_history()
        total = config.baseline + config.rounds * config.samples + config.final_seeds
        finished = True
        with (
            tqdm(
                total=total, initial=len(self.history), desc=folder.path.name, unit="training",
                disable=None if progress is None else not progress,
            ) as self.bar,
            Critic(self.around, self.convention) as self.critic,
        ):  # fmt: skip
            try:
                if config.baseline and not self.history:
                    self._add(Attempt(0, 1, trial=self._trained(None, 0, 1)))
                for number in range(1, config.rounds + 1):
                    self._round(designer, number)
                self._repeat_best()
            except DesignInterruptedError:
                finished = False
        result = self._result(began, finished=finished)
        text = json.dumps(result.as_dict(), indent=2)
        folder.result_file.write_text(text + "\n", encoding="utf-8")
        return result

    # -- one round --------------------------------------------------------------------------

    def _round(self, designer: Designer, number: int) -> None:
        done = [attempt for attempt in self.history if attempt.round == number]
        earlier = tuple(attempt for attempt in self.history if attempt.round < number)
        request = Request(
            inputs=self.around.inputs,
            ranges=self.around.ranges,
            convention=self.config.convention,
            metric=self.metric.words,
            target="" if self.metric.column else self.metric.name,
            round=number,
            samples=self.config.samples,
            seed=self.config.seed,
            history=earlier,
        )
        if len(done) == self.config.samples and self.exchanges is None:
            return
        replies = designer.propose(request)
        for sample, reply in enumerate(replies, start=1):
            if sample <= len(done):
                # A conversation that went on from here is gone through again, from the records.
                tries = done[sample - 1].tries
                for place, one in enumerate(tries):
                    if place > 0:
                        designer.repair(request, sample, tries[:place])
                    if one.review:
                        designer.review(request, one.source)
                continue
            self._sample(designer, request, sample, reply)

    def _sample(self, designer: Designer, request: Request, sample: int, reply: str) -> None:
        best = request.best
        parents = () if best is None else (best.sha256,)
        tries: list[Try] = []
        program: Program | None = None
        while program is None and len(tries) <= self.config.critic.retries:
            if tries:
                reply = designer.repair(request, sample, tries)
            program, one = self.critic.review(reply, parents)
            if program is not None and self.config.critic.model:
                one = reviewed(one, designer.review(request, one.source))
                program = None if one.faults else program
            tries.append(one)
        attempt = Attempt(request.round, sample, tuple(tries))
        if program is not None:
            attempt = replace(attempt, sha256=program.sha256)
            path = self._place(request.round, sample) / "program.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            program.save(path)
            try:
                trial = self._trained(path, request.round, sample, earlier=request.history)
                attempt = replace(attempt, trial=trial)
            except TrainingError as error:
                attempt = replace(attempt, failure=str(error))
        self._add(attempt)

    def _trained(
        self, program: Path | None, number: int, sample: int, *, earlier: Sequence[Attempt] = ()
    ) -> Trial:
        """Train with a program; what the rounds before it found stands behind it."""
        best = best_attempt([attempt for attempt in earlier if attempt.round > 0])
        start = best_attempt(earlier) if self.config.continue_training else None
        return self.trainer(
            program,
            self._place(number, sample) / "training",
            seed=self.config.seed,
            fallback=None if best is None else self._place(best.round, best.sample) / "program.py",
            start=None if start is None else self._place(start.round, start.sample) / "training",
        )

    def _repeat_best(self) -> None:
        """Train with the best program again, with other seeds."""
        best = self._best()
        if best is None:
            return
        program = self._place(best.round, best.sample) / "program.py"
        for place in range(1, self.config.final_seeds + 1):
            folder = self.folder.path / "final" / f"seed_{self.config.seed + place}"
            trial = self.trainer(program, folder, seed=self.config.seed + place)
            self.final.append(trial.score)
            self.bar.update()

    # -- records ----------------------------------------------------------------------------

    def _place(self, number: int, sample: int) -> Path:
        if number == 0:
            return self.folder.path / "rounds" / "baseline"
        return self.folder.path / "rounds" / f"round_{number:02d}" / f"sample_{sample}"

    def _read_history(self) -> None:
        path = self.folder.path / HISTORY
        self.history = read_history(path) if path.is_file() else []

    def _add(self, attempt: Attempt) -> None:
        self.history.append(attempt)
        write_history(self.folder.path / HISTORY, self.history)
        best = self._best()
        if best is attempt:
            place = self._place(best.round, best.sample) / "program.py"
            shutil.copyfile(place, self.folder.path / BEST)
        self._write_page()
        self.bar.update()
        score = "-" if best is None else f"{best.score:.3g}"
        self.bar.set_postfix_str(f"{self.metric.words}: {score}")

    def _write_page(self) -> None:
        write_page(
            self.folder.path / PAGE, self.config, self.metric, self.history, final=self.final
        )

    def _best(self) -> Attempt | None:
        return best_attempt([attempt for attempt in self.history if attempt.round > 0])

    def _result(self, began: float, *, finished: bool) -> DesignResult:
        best = self._best()
        if best is not None:
            # A process that died between two writes may have left an older one.
            place = self._place(best.round, best.sample) / "program.py"
            shutil.copyfile(place, self.folder.path / BEST)
        self._write_page()
        baseline = next((a.score for a in self.history if a.round == 0), None)
        programs = [attempt for attempt in self.history if attempt.round > 0]
        return DesignResult(
            run_folder=str(self.folder.path),
            rounds=len({attempt.round for attempt in programs}),
            accepted=sum(bool(attempt.sha256) for attempt in programs),
            refused=sum(bool(each.faults) for attempt in programs for each in attempt.tries),
            baseline=baseline,
            best=None if best is None else best.score,
            best_round=None if best is None else best.round,
            final=tuple(self.final),
            usage=Usage() if self.exchanges is None else self.exchanges.total,
            seconds=time.perf_counter() - began,
            finished=finished,
        )
