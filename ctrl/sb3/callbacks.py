"""Callbacks around SB3's learning loop: logs, progress, checkpoints, evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv
from tqdm import tqdm

from ctrl.checkpoint import POLICY, load_tree, prune_checkpoints, save_tree
from ctrl.imitation.lipschitz import learner_steepness
from ctrl.sb3.books import Books
from ctrl.sb3.model import books_of
from ctrl.sb3.state import learner_state, policy_state, restore_learner


class RewardLogger(BaseCallback):
    """Write per-term numbers and task and shaped returns to the learner's logger.

    Keys are those of ``Books.metrics``: ``reward/<term>/...`` for the latest rollout,
    ``return/...`` for the last 100 episodes. SB3's own ``rollout/ep_rew_mean`` stays the task
    return. An alarm is printed when it is raised, and written to a file.

    Args:
        alarms: JSON lines with ``step``, ``kind``, ``term`` and ``message``; None for no file.
    """

    books: Books

    def __init__(self, alarms: Path | None = None) -> None:
        super().__init__()
        self.alarms = alarms

    def _on_training_start(self) -> None:
        self.books = books_of(self.model)
        if self.alarms is not None and self.alarms.is_file():
            # A resumed run raises again what came after its checkpoint.
            rows = self.alarms.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [row for row in rows if json.loads(row)["step"] <= self.num_timesteps]
            self.alarms.write_text("".join(kept), encoding="utf-8")

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if not self.books.fresh:
            return
        for key, value in self.books.metrics.items():
            self.logger.record(key, value)
        self.books.fresh = False
        for alarm in self.books.raised:
            tqdm.write(f"Alarm at step {self.num_timesteps} ({alarm.kind}): {alarm.message}")
            if self.alarms is not None:
                row = json.dumps({"step": self.num_timesteps, **alarm._asdict()})
                with self.alarms.open("a", encoding="utf-8") as file:
                    file.write(row + "\n")
        self.books.raised.clear()


class Progress(BaseCallback):
    """A progress bar over environment steps that shows the task return.

    Args:
        total: environment steps at the end of the run.
        description: text before the bar.
        disable: show nothing; None shows the bar only on a terminal.
    """

    def __init__(self, total: int, *, description: str = "", disable: bool | None = None) -> None:
        super().__init__()
        self.total, self.description, self.disable = total, description, disable

    def _on_training_start(self) -> None:
        self.books = books_of(self.model)
        self.bar = tqdm(
            total=self.total,
            initial=self.model.num_timesteps,
            desc=self.description,
            unit="step",
            disable=self.disable,
            mininterval=0.5,
        )

    def _on_step(self) -> bool:
        # SB3 finishes the rollout it has begun; the bar ends at what was asked for.
        self.bar.update(min(self.training_env.num_envs, self.total - self.bar.n))
        return True

    def _on_rollout_end(self) -> None:
        if self.bar.disable:
            return
        returns = self.books.returns()
        if returns:
            self.bar.set_postfix({"task return": f"{returns['return/task']:.3g}"}, refresh=False)

    def _on_training_end(self) -> None:
        self.bar.close()


class Checkpoints(BaseCallback):
    """Write checkpoints between rollouts, where the whole state of training is at hand.

    Args:
        folder: where ``step_*`` folders are written.
        every: environment steps between two; 0 for none but the one at the end.
        keep: how many of the newest stay.
        replay_buffer: include the replay buffer of an off-policy learner.
        at_once: write one before the first rollout too, for what was learned without any step.

    Attributes:
        stop_requested: set it to end training at the next boundary, after a checkpoint.
        interrupted: training ended that way.
    """

    def __init__(
        self, folder: Path, *, every: int, keep: int, replay_buffer: bool, at_once: bool = False
    ) -> None:
        super().__init__()
        self.folder, self.every, self.keep = folder, every, keep
        self.replay_buffer, self.at_once = replay_buffer, at_once
        self.stop_requested = self.interrupted = False
        self._next = every

    def request_stop(self) -> None:
        """End training at the next boundary, after a checkpoint."""
        self.stop_requested = True

    def save_now(self) -> Path:
        """Write a checkpoint of the present state and return its folder."""
        path = self.folder / f"step_{self.model.num_timesteps:012d}"
        save_tree(learner_state(self.model, replay_buffer=self.replay_buffer), path)
        prune_checkpoints(self.folder, self.keep)
        return path

    def _on_training_start(self) -> None:
        if self.every and not self.at_once:
            self._next = (self.model.num_timesteps // self.every + 1) * self.every
        elif self.every:
            self._next = self.model.num_timesteps

    def _on_rollout_start(self) -> None:
        due = bool(self.every) and self.model.num_timesteps >= self._next
        if due or self.stop_requested:
            self.save_now()
            self.interrupted = self.stop_requested
        if due:
            self._next = (self.model.num_timesteps // self.every + 1) * self.every

    def _on_step(self) -> bool:
        return not self.interrupted


class Restore(BaseCallback):
    """Put a resumed learner exactly where its checkpoint was written.

    SB3 draws random numbers and resets action noise on its way into the first rollout; the
    checkpoint was written after that, so its state is restored at that moment again.

    Args:
        tree: what ``learner_state`` returned.
    """

    def __init__(self, tree: Mapping[str, Any]) -> None:
        super().__init__()
        self.tree: Mapping[str, Any] | None = tree

    def _on_rollout_start(self) -> None:
        if self.tree is not None:
            total = self.model._total_timesteps
            restore_learner(self.model, self.tree)
            self.model._total_timesteps = total
            self.tree = None

    def _on_step(self) -> bool:
        return True


class LipschitzLogger(BaseCallback):
    """Log how steep critic and policy are, as ``lipschitz/...``; see `learner_steepness`.

    The draws depend on ``seed`` and the environment step alone, so that a resumed run measures what
    the uninterrupted one does, and no generator of the learner is touched.

    Args:
        every: environment steps between measurements.
        samples: transitions of each.
        seed: of the draws.
    """

    def __init__(self, *, every: int, samples: int, seed: int) -> None:
        super().__init__()
        self.every, self.samples, self.seed = every, samples, seed

    def _on_training_start(self) -> None:
        self._next = (self.model.num_timesteps // self.every + 1) * self.every

    def _on_rollout_end(self) -> None:
        steps = self.model.num_timesteps
        if steps < self._next:
            return
        self._next = (steps // self.every + 1) * self.every
        generator = np.random.default_rng((self.seed, steps))
        found = learner_steepness(self.model, samples=self.samples, generator=generator)
        for key, value in found.items():
            self.logger.record(f"lipschitz/{key}", value)

    def _on_step(self) -> bool:
        return True


class Evaluator(BaseCallback):
    """Evaluate by the task reward between rollouts and keep the best policy by it.

    Args:
        make_env: makes the evaluation environments; called once.
        every: environment steps between evaluations.
        episodes: of each evaluation, always with the same seeds.
        seed: of the evaluation environments.
        best: folder for the best policy.
        at_once: evaluate before the first rollout too.
    """

    def __init__(
        self,
        make_env: Callable[[], VecEnv],
        *,
        every: int,
        episodes: int,
        seed: int,
        best: Path,
        at_once: bool = False,
    ) -> None:
        super().__init__()
        self.at_once = at_once
        self.make_env, self.every, self.episodes = make_env, every, episodes
        self.seed, self.best = seed, best
        self.env: VecEnv | None = None
        self.best_return = float("-inf")

    def _on_training_start(self) -> None:
        steps = self.model.num_timesteps
        self._next = steps if self.at_once else (steps // self.every + 1) * self.every
        if self.best.is_dir():
            self.best_return = float(load_tree(self.best)["task_return"])

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps >= self._next:
            self._next = (self.model.num_timesteps // self.every + 1) * self.every
            self._evaluate()

    def _on_training_end(self) -> None:
        # An interrupted run is evaluated when it is finished, like one that never stopped.
        if self.model.num_timesteps >= self.model._total_timesteps:
            self._evaluate()
        if self.env is not None:
            self.env.close()

    def _evaluate(self) -> None:
        from ctrl.evaluation import evaluate

        if self.env is None:
            self.env = self.make_env()
        result = evaluate(self.model, self.env, episodes=self.episodes, seed=self.seed).summary()
        self.logger.record("evaluation/task_return", result["task_return_mean"])
        if result["success_rate"] is not None:
            self.logger.record("evaluation/success_rate", result["success_rate"])
        self.logger.record("time/total_timesteps", self.model.num_timesteps, exclude="tensorboard")
        self.logger.dump(self.model.num_timesteps)
        if result["task_return_mean"] > self.best_return:
            self.best_return = result["task_return_mean"]
            tree = {**policy_state(self.model), "task_return": self.best_return}
            save_tree(tree, self.best, arrays_file=POLICY)

    def _on_step(self) -> bool:
        return True
