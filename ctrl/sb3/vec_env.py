"""Fast vector environments for Stable-Baselines3.

`make_vec_env` picks one: `BatchedVecEnv` for the MuJoCo tasks that have a batched form,
`VectorVecEnv` for tasks that are vectorised natively, and `InProcessVecEnv` for everything else.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any, final

import gymnasium
import numpy as np
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

import envs
from ctrl.sb3.info_columns import info_columns
from ctrl.sb3.vector_vec_env import VectorVecEnv
from envs.actions import check_actions
from envs.threads import ThreadTeam, available_cpus

BACKENDS = ("auto", "batched", "vector", "threads", "processes", "envpool", "dummy")
# Below this many copies numpy's fixed cost per call outweighs what a batch saves (measured).
_MIN_BATCH = 4


class ColumnarVecEnv(DummyVecEnv, ABC):
    """A ``DummyVecEnv`` that also gives the last step as arrays, and that can be saved exactly.

    Everything returned belongs to the caller: no array or dict is written again by later steps.
    At an episode's end the arrays in ``info`` are those of its last step; ``DummyVecEnv`` resets
    first, so that arrays into which an environment goes on writing (``tendon_length`` of
    ``Humanoid-v5``) show the next episode there.

    Attributes:
        terminated: bool ``[B]``, of the last step.
        truncated: bool ``[B]``, of the last step: cut off and not terminated, so that at most one
            of the two is true. It equals ``info["TimeLimit.truncated"]``.
        next_observation: ``[B, ...]`` or a dict of such arrays: the true successors of the last
            step, also for the environments whose episode ended, in the dtype of the observation
            space. None before the first step.
    """

    def __init__(self, env_fns: list[Callable[[], gymnasium.Env]]) -> None:
        super().__init__(env_fns)
        self.terminated = np.zeros(self.num_envs, dtype=bool)
        self.truncated = np.zeros(self.num_envs, dtype=bool)
        self.next_observation: VecEnvObs | None = None

    @property
    @abstractmethod
    def threads(self) -> int:
        """How many threads step the environments, including the caller."""

    @abstractmethod
    def info_columns(self, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
        """Return the simulator's quantities of the last step by name, each ``[B, ...]``.

        These are the numbers and arrays that every environment put into its ``info``, without
        what the vector environment adds. Empty before the first step.

        Args:
            names: only these, as far as they are there; None for all. Others may be in the result.
        """

    def snapshot(self) -> dict[str, Any]:
        """Return the state of all environments and the seeds set for the next reset.

        Returns:
            A nested dict of arrays, numbers, strings, None and lists; see `envs.snapshot`.

        Raises:
            envs.SnapshotError: when the environments do not support it.
        """
        return {
            "columns": [envs.snapshot(env) for env in self.envs],
            "seeds": list(self._seeds),
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue where `snapshot` was taken, without a reset, bit for bit.

        Of the last step before the snapshot nothing is restored: `info_columns` is empty until the
        next step.

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
        for env, column in zip(self.envs, columns, strict=True):
            envs.restore(env, column)
        self._seeds = list(tree["seeds"])
        self.terminated = np.zeros(self.num_envs, dtype=bool)
        self.truncated = np.zeros(self.num_envs, dtype=bool)
        self.next_observation = None


@final
class InProcessVecEnv(ColumnarVecEnv):
    """Steps any Gymnasium environments one by one, on one or several threads of this process.

    More than one thread pays where the simulator releases Python's global lock while it steps, as
    MuJoCo does. Environments written in Python are slower with more threads.

    Args:
        env_fns: functions that each make one environment, as for ``DummyVecEnv``.
        threads: how many threads step, including the caller; by default one per processor for
            MuJoCo environments and 1 for others.

    Raises:
        ValueError: when ``threads`` is less than 1, or two functions return the same environment.
    """

    def __init__(
        self, env_fns: list[Callable[[], gymnasium.Env]], *, threads: int | None = None
    ) -> None:
        super().__init__(env_fns)
        if threads is None:
            # A window belongs to the thread that opened it.
            suitable = all(_is_mujoco(env) and env.render_mode != "human" for env in self.envs)
            threads = available_cpus() if suitable else 1
        self._team = ThreadTeam(min(threads, self.num_envs))
        self._jobs = [self._job(column) for column in range(self.num_envs)]
        self._terminated = np.zeros(self.num_envs, dtype=bool)
        self._truncated = np.zeros(self.num_envs, dtype=bool)
        # Where an episode ended: the final observation, until the arrays of the step are made.
        self._final: list[Any] = [None] * self.num_envs
        self._infos: list[dict[str, Any]] = []

    @property
    def threads(self) -> int:
        """How many threads step the environments, including the caller."""
        return self._team.threads

    def step_wait(self) -> VecEnvStepReturn:
        """Step every environment with the actions of `step_async`; see ``DummyVecEnv``."""
        check_actions(self.actions, self.action_space, self.num_envs)
        self._team.run(self._jobs)
        self.terminated = self._terminated.copy()
        self.truncated = self._truncated & ~self._terminated
        dones = self._terminated | self._truncated
        observation = self._obs_from_buf()
        self.next_observation = self._successors(dones)
        infos, self.buf_infos = self.buf_infos, [{} for _ in range(self.num_envs)]
        self._infos = infos
        return observation, self.buf_rews.copy(), dones, infos

    def info_columns(self, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
        """Return the simulator's quantities of the last step by name, each ``[B, ...]``."""
        return info_columns(self._infos, names) if self._infos else {}

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue where `snapshot` was taken; see `ColumnarVecEnv`."""
        super().restore(tree)
        self._infos = []

    def close(self) -> None:
        """Close the environments and end the threads."""
        self._team.close()
        super().close()

    def _job(self, column: int) -> Callable[[], None]:
        """Return the stepping of one environment; it touches data of its own column only."""
        env = self.envs[column]

        def run() -> None:
            observation, reward, terminated, truncated, info = env.step(self.actions[column])
            self.buf_rews[column] = reward
            self._terminated[column] = terminated
            self._truncated[column] = truncated
            # An environment may go on using its info and the arrays in it. Copying one level is
            # enough unless it nests them, and far cheaper than a deep copy.
            info = {key: _detached(value) for key, value in info.items()}
            info["TimeLimit.truncated"] = truncated and not terminated
            if terminated or truncated:
                info["terminal_observation"] = copy.deepcopy(observation)
                self._final[column] = info["terminal_observation"]
                observation, self.reset_infos[column] = env.reset()
            self.buf_infos[column] = info
            self._save_obs(column, observation)

        return run

    def _successors(self, dones: np.ndarray) -> VecEnvObs:
        observation = self._obs_from_buf()
        for column in np.flatnonzero(dones).tolist():
            last = self._final[column]
            if isinstance(observation, dict):
                for key, rows in observation.items():
                    rows[column] = last[key]
            elif isinstance(observation, tuple):
                for rows, part in zip(observation, last, strict=True):
                    rows[column] = part
            else:
                observation[column] = last
            self._final[column] = None
        return observation

    def _obs_from_buf(self) -> VecEnvObs:
        # SB3 deep-copies a dict of arrays; copying the array is the same and much cheaper.
        if self.keys == [None]:
            return self.buf_obs[None].copy()  # type: ignore[index]
        return super()._obs_from_buf()


def make_vec_env(
    name: str,
    *,
    n_envs: int,
    seed: int | None = None,
    threads: int | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    backend: str = "auto",
) -> VecEnv:
    """Make ``n_envs`` columns of an environment; each reports its episodes as SB3's ``Monitor``.

    As SB3's own function of this name, column ``i`` gets ``seed + i`` at its first reset.

    Args:
        name: see `envs.make`.
        n_envs: how many columns, B; at least 1. Every agent is one.
        seed: of the first column; None draws a seed from numpy's global generator.
        threads: how many threads (or processes, for that backend) step, including the caller; by
            default one per processor where the simulator gains from it, else 1.
        env_kwargs: arguments of the environment.
        backend: ``"batched"``: `BatchedVecEnv`; ``"vector"``: the natively vectorised form of the
            task; ``"threads"``: `InProcessVecEnv`; ``"processes"``: `ProcessVecEnv`;
            ``"envpool"``: EnvPool, where it is installed; ``"dummy"``: SB3's ``DummyVecEnv``;
            ``"auto"``: ``"vector"`` where there is one, ``"batched"`` where there is one and there
            are at least 4 columns, which is where it pays; else ``"threads"``.

    Returns:
        The vector environment, seeded and not yet reset.

    Raises:
        ValueError: for an unknown backend, or when ``n_envs`` or ``threads`` is less than 1.
        envs.EnvironmentNameError: when no environment has this name.
        envs.MissingSimulatorError: when its simulator is not installed.
        envs.BatchingError: when ``"batched"`` was asked for and the task has no batched form.
        envs.VectorizationError: when there is no vectorised form, or not of so many columns.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}.")
    if n_envs < 1:
        raise ValueError(f"n_envs must be at least 1, got {n_envs}.")
    options = dict(env_kwargs or {})
    if backend == "processes":
        from ctrl.sb3.process_vec_env import make_process_vec_env

        return make_process_vec_env(
            name, n_envs=n_envs, seed=seed, processes=threads, env_kwargs=options
        )
    if backend == "envpool":
        from envs.mujoco.envpool_backend import make_envpool

        return _seeded(
            VectorVecEnv(make_envpool(name, n_envs, threads=threads, seed=seed, **options)), seed
        )
    if backend == "vector" or (backend == "auto" and envs.has_vector(name)):
        return _seeded(VectorVecEnv(envs.make_vec(name, n_envs, **options)), seed)

    def make(column: int) -> gymnasium.Env:
        env = envs.make(name, **options)
        if seed is not None:
            env.action_space.seed(seed + column)
        return Monitor(env)

    made = [make(column) for column in range(n_envs)]
    return _seeded(_vec_env([_returning(env) for env in made], made[0], threads, backend), seed)


def _seeded(venv: VecEnv, seed: int | None) -> VecEnv:
    venv.seed(seed)
    return venv


def _vec_env(
    env_fns: list[Callable[[], gymnasium.Env]],
    first: gymnasium.Env,
    threads: int | None,
    backend: str,
) -> VecEnv:
    if backend == "dummy":
        return DummyVecEnv(env_fns)
    worth_batching = len(env_fns) >= _MIN_BATCH and _is_mujoco(first)
    if backend == "batched" or (backend == "auto" and worth_batching):
        from ctrl.sb3.batched_vec_env import BatchedVecEnv

        try:
            return BatchedVecEnv(env_fns, threads=threads)
        except envs.BatchingError:
            if backend == "batched":
                raise
    return InProcessVecEnv(env_fns, threads=threads)


def _returning(env: gymnasium.Env) -> Callable[[], gymnasium.Env]:
    return lambda: env


def _is_mujoco(env: gymnasium.Env) -> bool:
    from envs.mujoco.state import has_simulation

    return has_simulation(env.unwrapped)


def _detached(value: Any) -> Any:
    """Return a copy of what could be changed later; numbers and strings as they are."""
    if isinstance(value, np.ndarray):
        return value.copy()
    return copy.deepcopy(value) if isinstance(value, (dict, list, set)) else value
