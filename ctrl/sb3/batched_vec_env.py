"""The batched MuJoCo tasks as a vector environment of Stable-Baselines3."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, final

import gymnasium
import numpy as np
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env.base_vec_env import (
    VecEnvIndices,
    VecEnvObs,
    VecEnvStepReturn,
)

from ctrl.sb3.vec_env import ColumnarVecEnv
from envs.errors import BatchingError
from envs.mujoco.batch import batch
from envs.mujoco.batched import BatchedTask
from envs.threads import available_cpus


@final
class BatchedVecEnv(ColumnarVecEnv):
    """Copies of one MuJoCo task whose physics runs on threads and whose rest runs as a batch.

    Results equal those of ``DummyVecEnv`` bit for bit, ``info["episode"]`` included except for its
    wall time ``t``. The environments themselves stay usable: `get_attr`, `env_method` and
    rendering reach them, and a state that a method changes counts for the next step.

    Args:
        env_fns: functions that each make one environment: ``envs.make(...)``, all with equal
            arguments, either all inside SB3's ``Monitor`` or none.
        threads: how many threads step, including the caller; by default one per processor.

    Raises:
        envs.BatchingError: when the task has no batched form, the environments differ, or a
            wrapper has to see every step. `InProcessVecEnv` steps them then.
        ValueError: when ``threads`` is less than 1, or two functions return the same environment.
    """

    _task: BatchedTask | None = None

    def __init__(
        self, env_fns: list[Callable[[], gymnasium.Env]], *, threads: int | None = None
    ) -> None:
        super().__init__(env_fns)
        self._books = _EpisodeBooks(self.envs)
        inner = [env.env if isinstance(env, Monitor) else env for env in self.envs]
        self._task = batch(inner, threads=available_cpus() if threads is None else threads)
        self._columns: dict[str, np.ndarray] = {}

    @property
    def task(self) -> BatchedTask:
        """The batch that steps the environments."""
        if self._task is None:
            raise RuntimeError("The constructor of this vector environment did not finish.")
        return self._task

    @property
    def threads(self) -> int:
        """How many threads step the environments, including the caller."""
        return self.task.threads

    def reset(self) -> VecEnvObs:
        """Reset every environment, with the seeds and options set for it."""
        self._store()
        observation = super().reset()
        self._load()
        return observation

    def step_wait(self) -> VecEnvStepReturn:
        """Step every environment with the actions of `step_async`; see ``DummyVecEnv``."""
        step = self.task.step(self.actions)
        self._books.record(step.reward)
        self._columns = step.info
        self.terminated = step.terminated
        self.truncated = step.truncated & ~step.terminated
        self.next_observation = step.observation
        observation = step.observation.copy()
        dones = step.terminated | step.truncated
        infos = _rows(step.info, self.truncated)
        if dones.any():
            for column in np.flatnonzero(dones).tolist():
                self._books.finish(column, infos[column])
                infos[column]["terminal_observation"] = step.observation[column].copy()
                observation[column], self.reset_infos[column] = self.envs[column].reset()
                self.task.load([column])
                self._books.load([column])
        return observation, step.reward.astype(np.float32), dones, infos

    def info_columns(self, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
        """Return the simulator's quantities of the last step by name, each ``[B, ...]``."""
        return self._columns

    def snapshot(self) -> dict[str, Any]:
        """Return the state of all environments; see `ColumnarVecEnv`."""
        self._store()
        return super().snapshot()

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue where `snapshot` was taken; see `ColumnarVecEnv`."""
        self._store()
        super().restore(tree)
        self._load()
        self._columns = {}

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of the environments; see ``DummyVecEnv``."""
        self._store()
        return super().get_attr(attr_name, indices)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Call a method of the environments, which may change their state; see ``DummyVecEnv``."""
        self._store()
        results = super().env_method(method_name, *method_args, indices=indices, **method_kwargs)
        self._load()
        return results

    def close(self) -> None:
        """Close the environments and end the threads."""
        self.task.close()
        super().close()

    def _store(self) -> None:
        """Write the counters kept here into the wrappers, where others look for them."""
        if self._task is not None:
            self._task.store()
            self._books.store()

    def _load(self) -> None:
        """Read the counters of the wrappers, which may have been changed from outside."""
        self.task.load()
        self._books.load(range(self.num_envs))


@final
class _EpisodeBooks:
    """What SB3's ``Monitor`` keeps about the running episodes, for all environments at once.

    Args:
        envs: the B environments; those inside a ``Monitor`` get their episodes reported.

    Raises:
        BatchingError: when only some are inside a ``Monitor``.
    """

    def __init__(self, envs: list[gymnasium.Env]) -> None:
        self._monitors: list[Monitor] = [env for env in envs if type(env) is Monitor]
        if self._monitors and len(self._monitors) < len(envs):
            raise BatchingError("Put all environments into a Monitor, or none.")
        # All rewards of an episode are kept and added up at its end, as Monitor does: the sum of
        # Python depends on its version, and a running sum would not have the same bits.
        self._rewards = np.empty((1024, len(envs)))
        self._length = np.zeros(len(envs), dtype=np.int64)
        self._all = np.arange(len(envs))
        self._unreported = 0

    def record(self, rewards: np.ndarray) -> None:
        """Note the rewards ``[B]`` of one step."""
        if not self._monitors:
            return
        if self._length.max() == len(self._rewards):
            self._rewards = np.concatenate([self._rewards, np.empty_like(self._rewards)])
        self._rewards[self._length, self._all] = rewards
        self._length += 1
        self._unreported += 1

    def finish(self, column: int, info: dict[str, Any]) -> None:
        """Report a finished episode in its monitor and in ``info``, as ``Monitor.step`` does."""
        if not self._monitors:
            return
        monitor = self._monitors[column]
        monitor.rewards = self._rewards[: self._length[column], column].tolist()
        monitor.needs_reset = True
        total, seconds = sum(monitor.rewards), time.time() - monitor.t_start
        episode = {"r": round(total, 6), "l": len(monitor.rewards), "t": round(seconds, 6)}
        episode.update({key: info[key] for key in monitor.info_keywords})
        episode.update(monitor.current_reset_info)
        monitor.episode_returns.append(total)
        monitor.episode_lengths.append(len(monitor.rewards))
        monitor.episode_times.append(seconds)
        if monitor.results_writer:
            monitor.results_writer.write_row(episode)
        info["episode"] = episode

    def store(self) -> None:
        """Write the running episodes into the monitors."""
        for column, monitor in enumerate(self._monitors):
            monitor.rewards = self._rewards[: self._length[column], column].tolist()
            monitor.total_steps += self._unreported
        self._unreported = 0

    def load(self, columns: list[int] | range) -> None:
        """Read the running episodes of some columns from their monitors."""
        for column in columns if self._monitors else ():
            rewards = self._monitors[column].rewards
            while len(rewards) > len(self._rewards):
                self._rewards = np.concatenate([self._rewards, np.empty_like(self._rewards)])
            self._rewards[: len(rewards), column] = rewards
            self._length[column] = len(rewards)


def _rows(columns: dict[str, np.ndarray], truncated: np.ndarray) -> list[dict[str, Any]]:
    """Return the columns as one dict per environment, as SB3 expects them.

    Numbers become those of Python, which are equal, and faster to make than numpy's.
    """
    keys = [*columns, "TimeLimit.truncated"]
    values = [column.tolist() if column.ndim == 1 else column for column in columns.values()]
    return [dict(zip(keys, row)) for row in zip(*values, truncated.tolist())]  # noqa: B905
