"""Environments spread over processes, for steps that are expensive and engines that may crash."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, final

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import (
    VecEnvIndices,
    VecEnvObs,
    VecEnvStepReturn,
)

import envs
from ctrl.sb3.info_columns import info_columns
from ctrl.sb3.worker_process import WorkerError, WorkerProcess, answers, step_memory_file
from envs.actions import check_actions
from envs.threads import available_cpus
from envs.worker import StepMemory, class_path

__all__ = ["ProcessVecEnv", "WorkerError", "make_process_vec_env"]


@final
class ProcessVecEnv(VecEnv):
    """Steps the columns in worker processes, several columns in each.

    Worth it where one step costs more than about a millisecond, or where an engine may take its
    process down: for cheap physics the exchange costs more than the step. Everything returned is
    what `InProcessVecEnv` with SB3's ``Monitor`` returns for the same seeds, bit for bit.

    A worker that crashes, raises or does not answer is a `WorkerError` with the environment, the
    columns and their seeds, and ends all workers. Workers end with this object and with this
    process, also when it is killed. POSIX only.

    Args:
        name: see `envs.make`; every worker makes its environments by name, in a fresh interpreter.
        n_envs: columns, B.
        processes: worker processes; by default one per processor. Columns are spread evenly.
        env_kwargs: arguments of the environment; must be picklable.
        timeout: seconds that one request may take before the worker counts as stuck.

    Attributes:
        terminated: bool ``[B]``, of the last step.
        truncated: bool ``[B]``, of the last step: cut off and not terminated.
        next_observation: true successors of the last step, ``[B, ...]``; None before the first.

    Raises:
        ValueError: fewer than one column or process, or a timeout that is not positive.
        envs.EnvironmentNameError, envs.MissingSimulatorError: as `envs.make`.
        WorkerError: a worker crashed while it started.
    """

    def __init__(
        self,
        name: str,
        n_envs: int,
        *,
        processes: int | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        timeout: float = 300.0,
    ) -> None:
        processes = available_cpus() if processes is None else processes
        for what, value in (("n_envs", n_envs), ("processes", processes)):
            if value < 1:
                raise ValueError(f"{what} must be at least 1, got {value}.")
        if timeout <= 0:
            raise ValueError(f"timeout must be positive, got {timeout}.")
        if os.name != "posix":
            raise OSError('Worker processes need a POSIX system; use backend "threads".')
        self.name, self.timeout = name, timeout
        self._broken: str | None = None
        self._workers: list[WorkerProcess] = []
        parts = np.array_split(np.arange(n_envs), min(processes, n_envs))
        descriptor = step_memory_file()
        try:
            self._workers += [WorkerProcess(name, part.tolist(), descriptor) for part in parts]
            described = self._request(
                "make", [(name, worker.columns, dict(env_kwargs or {})) for worker in self._workers]
            )[0]
            self.render_mode = described["render_mode"]
            observation, action = described["observation_space"], described["action_space"]
            self._memory = StepMemory(descriptor, observation, action, n_envs, create=True)
            self._request("attach", [(n_envs,)] * len(self._workers))
        except BaseException:
            self._end(kill=True)
            raise
        finally:
            os.close(descriptor)
        super().__init__(n_envs, observation, action)
        self.terminated = np.zeros(n_envs, dtype=bool)
        self.truncated = np.zeros(n_envs, dtype=bool)
        self.next_observation: VecEnvObs | None = None
        self._columns: dict[str, np.ndarray] | None = {}

    @property
    def processes(self) -> int:
        """How many worker processes there are."""
        return len(self._workers)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers."""
        return [worker.pid for worker in self._workers]

    # -- stepping ---------------------------------------------------------------------------

    def reset(self) -> VecEnvObs:
        """Reset every environment, with the seeds and options set for it."""
        for worker in self._workers:
            for row, column in enumerate(worker.columns):
                if self._seeds[column] is not None:
                    worker.seeds[row], worker.episodes[row] = self._seeds[column], 0
                else:
                    worker.episodes[row] += 1
        infos = self._request(
            "reset",
            [
                (
                    [self._seeds[c] for c in worker.columns],
                    [self._options[c] for c in worker.columns],
                )
                for worker in self._workers
            ],
            whole=True,
        )
        self.reset_infos = [info for part in infos for info in part]
        self._reset_seeds()
        self._reset_options()
        return self._read(self._memory.observation)

    def step_async(self, actions: np.ndarray) -> None:
        """Send the actions to the workers.

        Raises:
            envs.ActionError: actions that are not of the action space; nothing was stepped.
        """
        actions = check_actions(actions, self.action_space, self.num_envs)
        # The environments get the numbers that came: a change of type would change the results.
        same_type = actions.dtype == self._memory.action.dtype
        if same_type:
            self._memory.action[...] = actions
        self._ask(
            "step",
            [(None if same_type else actions[worker.columns],) for worker in self._workers],
        )

    def step_wait(self) -> VecEnvStepReturn:
        """Wait for the step of `step_async`; see ``DummyVecEnv``."""
        results = self._answers(whole=True)
        memory = self._memory
        self.terminated = memory.terminated.copy()
        self.truncated = memory.truncated & ~self.terminated
        dones = self.terminated | self.truncated
        self.next_observation = self._read(memory.successor)
        infos: list[dict[str, Any]] = []
        for worker, (part, reset_infos) in zip(self._workers, results, strict=True):
            infos += part
            for row, info in reset_infos.items():
                self.reset_infos[worker.columns[row]] = info
                worker.episodes[row] += 1
        self._infos, self._columns = infos, None
        return self._read(memory.observation), memory.reward.copy(), dones, infos

    def info_columns(self, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
        """Return the simulator's quantities of the last step by name, each ``[B, ...]``."""
        if names is not None and self._columns is None:
            return info_columns(self._infos, names)
        if self._columns is None:
            self._columns = info_columns(self._infos)
        return self._columns

    def _read(self, arrays: dict[Any, np.ndarray]) -> VecEnvObs:
        """Return observations in new arrays, in the structure of the observation space."""
        if isinstance(self.observation_space, spaces.Dict):
            return {key: rows.copy() for key, rows in arrays.items()}
        if isinstance(self.observation_space, spaces.Tuple):
            return tuple(rows.copy() for rows in arrays.values())
        return arrays[None].copy()

    # -- saving -----------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return the state of all environments and the seeds set for the next reset.

        Raises:
            envs.SnapshotError: when the environments do not support it.
        """
        parts = self._request("snapshot", [()] * len(self._workers))
        return {
            "columns": [column for part in parts for column in part],
            "seeds": list(self._seeds),
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue where `snapshot` was taken, without a reset, bit for bit.

        The columns may be spread over another number of processes than they were.

        Args:
            tree: what `snapshot` of equally made environments returned.

        Raises:
            envs.SnapshotError: when the environments differ from the saved ones.
        """
        columns = tree["columns"]
        if len(columns) != self.num_envs:
            raise envs.SnapshotError(
                f"The snapshot is of {len(columns)} environments, there are {self.num_envs}."
            )
        self._request(
            "restore", [([columns[c] for c in worker.columns],) for worker in self._workers]
        )
        self._seeds = list(tree["seeds"])
        self.terminated = np.zeros(self.num_envs, dtype=bool)
        self.truncated = np.zeros(self.num_envs, dtype=bool)
        self.next_observation, self._columns = None, {}

    # -- reaching the environments ----------------------------------------------------------

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of the environments; it must be picklable."""
        if attr_name == "render_mode":  # asked for before the base class is ready
            return [self.render_mode] * getattr(self, "num_envs", 1)
        return self._some("get", indices, attr_name)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the environments to a picklable value."""
        self._some("set", indices, attr_name, value, returns=False)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Call a method of the environments; arguments and results must be picklable."""
        return self._some("call", indices, method_name, method_args, method_kwargs)

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        """Return whether the environments are inside a wrapper; SB3's ``Monitor`` counts as one."""
        if wrapper_class is Monitor:
            return [True] * len(list(self._get_indices(indices)))
        return self._some("wrapped", indices, class_path(wrapper_class))

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Return the picture of every environment."""
        return self.env_method("render")

    def seed_actions(self, seed: int) -> None:
        """Seed the action spaces: of column ``i`` with ``seed + i``."""
        self.action_space.seed(seed)
        self._request(
            "seed_actions", [([seed + c for c in worker.columns],) for worker in self._workers]
        )

    def close(self) -> None:
        """Close the environments and end all workers; a second call changes nothing."""
        self._end(kill=False)

    # -- asking the workers -----------------------------------------------------------------

    def _some(
        self, command: str, indices: VecEnvIndices, *arguments: Any, returns: bool = True
    ) -> list[Any]:
        wanted = list(self._get_indices(indices))
        rows = [
            [worker.columns.index(column) for column in wanted if column in worker.columns]
            for worker in self._workers
        ]
        parts = self._request(command, [(own, *arguments) for own in rows])
        if not returns:
            return []
        by_column = {
            worker.columns[row]: value
            for worker, own, part in zip(self._workers, rows, parts, strict=True)
            for row, value in zip(own, part, strict=True)
        }
        return [by_column[column] for column in wanted]

    def _request(
        self, command: str, arguments: Iterable[tuple[Any, ...]], *, whole: bool = False
    ) -> list[Any]:
        self._ask(command, arguments)
        return self._answers(whole=whole)

    def _ask(self, command: str, arguments: Iterable[tuple[Any, ...]]) -> None:
        if self._broken is not None:
            raise WorkerError(self._broken)
        with self._ending_on(WorkerError):
            for worker, own in zip(self._workers, arguments, strict=True):
                worker.ask(command, *own)

    def _answers(self, *, whole: bool = False) -> list[Any]:
        """Return the answers of all workers.

        Args:
            whole: any failure ends the workers, because only some of the columns went on.
        """
        with self._ending_on(Exception if whole else WorkerError):
            return answers(self._workers, self.timeout)

    @contextmanager
    def _ending_on(self, kind: type[Exception]) -> Iterator[None]:
        try:
            yield
        except kind as error:
            self._broken = f"The workers were ended after this failure: {error}"
            self._end(kill=True)
            raise

    def _end(self, *, kill: bool) -> None:
        for worker in self._workers:
            worker.close(kill=kill)
        if self._broken is None:
            self._broken = f"The vector environment of {self.name} was closed."


def make_process_vec_env(
    name: str,
    n_envs: int,
    *,
    seed: int | None = None,
    processes: int | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    timeout: float = 300.0,
) -> ProcessVecEnv:
    """Make ``n_envs`` copies of an environment in worker processes.

    Copy ``i`` gets ``seed + i`` at its first reset, and its action space is seeded with the same
    number.

    Args:
        name: see `envs.make`.
        n_envs: columns, B; at least 1.
        seed: of the first copy; None draws a seed from numpy's global generator, as SB3 does.
        processes: worker processes; by default one per processor.
        env_kwargs: arguments of the environment.
        timeout: see `ProcessVecEnv`.

    Returns:
        The vector environment, seeded and not yet reset.
    """
    venv = ProcessVecEnv(name, n_envs, processes=processes, env_kwargs=env_kwargs, timeout=timeout)
    if seed is not None:
        venv.seed_actions(seed)
    venv.seed(seed)
    return venv
