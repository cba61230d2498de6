"""Stepping many copies of one Gymnasium MuJoCo task at once.

The physics of each copy runs in its own ``MjData``, on several threads. Everything around it (the
observation, the reward, the end of an episode, ``info``) is computed once for the whole batch in
numpy instead of once per copy in Python. The numbers are those of Gymnasium bit for bit.
"""

from __future__ import annotations

import functools
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import gymnasium
import numpy as np
from gymnasium.envs.mujoco.mujoco_env import MujocoEnv
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from envs.actions import CheckAction, check_actions
from envs.errors import BatchingError
from envs.mujoco.episodic import EpisodicReturn
from envs.threads import Job, ThreadTeam

# MuJoCo's Python package is compiled and has no type information.
mujoco: Any = importlib.import_module("mujoco")

# Functions that return a live view of an array of an environment's simulation.
Readers = Sequence[Callable[[Any], np.ndarray]]

_NO_LIMIT = np.iinfo(np.int64).max
# Wrappers that are not needed in a step: the batch does what they do.
_PASSIVE = (TimeLimit, OrderEnforcing, PassiveEnvChecker, CheckAction, EpisodicReturn)


class BatchedStep(NamedTuple):
    """What one step of B copies returned; every array is new and belongs to the caller.

    Attributes:
        observation: float64 ``[B, D]``, the true successor: also where an episode ended.
        reward: float64 ``[B]``.
        terminated: bool ``[B]``.
        truncated: bool ``[B]``: the time limit is reached. As with gymnasium's ``TimeLimit``, a
            step can both terminate and be truncated.
        info: per key of Gymnasium's ``info`` the values of all copies, ``[B]`` or ``[B, n]``.
    """

    observation: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    info: dict[str, np.ndarray]


class Outcome(NamedTuple):
    """What a task makes of the simulation after a step: `BatchedStep` without the time limit."""

    observation: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    info: dict[str, np.ndarray]


class BatchedTask(ABC):
    """B copies of one Gymnasium task, stepped together.

    The environments given stay in charge of everything but stepping: resetting, seeding, rendering
    and their attributes. A step reads the simulation afresh, so the state of a copy may be changed
    between steps, for example by resetting it or with ``set_state``. The arguments with which the
    environments were made are read once, here. The time limit is counted here as well; `load` and
    `store` exchange the count with the ``TimeLimit`` wrappers.

    Args:
        envs: the B environments, all of one task with equal arguments, each a ``MujocoEnv`` inside
            ``TimeLimit`` (or without), ``OrderEnforcing`` and ``PassiveEnvChecker``.
        threads: how many threads step, including the caller; at least 1.

    Raises:
        BatchingError: when an environment is not exactly of that form.
    """

    environment: ClassVar[type[MujocoEnv]]
    """The class whose instances this task steps; subclasses of it are refused."""

    def __init__(self, envs: Sequence[gymnasium.Env], threads: int = 1) -> None:
        for env in envs:
            if obstacle := _obstacle(env, type(self)):
                raise BatchingError(f"Cannot step {env} in a batch: {obstacle}.")
        self._bases: list[Any] = [env.unwrapped for env in envs]
        self._time_limits = [_time_limit(env) for env in envs]
        self._order = [_order_enforcing(env) for env in envs]
        self._episodic = [_episodic(env) for env in envs]
        if len({type(wrapper) for wrapper in self._episodic}) > 1:
            raise BatchingError("Only some environments of the batch withhold their rewards.")
        self._earned = np.zeros(len(envs))
        self._limit = np.array(
            [limit._max_episode_steps if limit else _NO_LIMIT for limit in self._time_limits]
        )
        self._elapsed = np.zeros(len(envs), dtype=np.int64)
        self._ready = False

        self._parameter("fullpath")
        self._parameter("frame_skip")
        first = self._bases[0]
        self.dt: float = first.dt
        self._action_space: gymnasium.Space = first.action_space
        self._actions = np.empty((len(envs), first.model.nu))
        self._jobs = [_job(base, row) for base, row in zip(self._bases, self._actions, strict=True)]
        self._before = Gather(self._bases, *self._read_before())
        self._after = Gather(self._bases, *self._read_after())
        self._team = ThreadTeam(min(threads, len(envs)))

    @property
    def num_envs(self) -> int:
        """How many copies there are, B."""
        return len(self._bases)

    @property
    def threads(self) -> int:
        """How many threads step, including the caller."""
        return self._team.threads

    def step(self, actions: np.ndarray) -> BatchedStep:
        """Step every copy once.

        A copy whose episode ended is not reset: the caller resets its environment and calls `load`.

        Args:
            actions: ``[B, A]``, within the action space. As in Gymnasium, an action outside of it
                is clipped by the model's actuators and costs what it says.

        Returns:
            The results, as Gymnasium's own step would give them.

        Raises:
            gymnasium.error.ResetNeeded: when a copy was never reset.
            envs.errors.ActionError: when ``actions`` has the wrong shape or a number that is not
                finite.
        """
        actions = np.ascontiguousarray(check_actions(actions, self._action_space, self.num_envs))
        if not self._ready:
            self._check_reset()
        before = self._before.read()
        self._actions[...] = actions
        self._team.run(self._jobs)
        self._elapsed += 1
        outcome = self._outcome(actions, before, self._after.read())
        truncated = self._elapsed >= self._limit
        reward, info = outcome.reward, outcome.info
        if self._episodic[0] is not None:
            reward = self._withhold(reward, outcome.terminated | truncated)
            info = {**info, "dense_reward": outcome.reward}
        return BatchedStep(outcome.observation, reward, outcome.terminated, truncated, info)

    def load(self, columns: Iterable[int] | None = None) -> None:
        """Read the step counts of the ``TimeLimit`` wrappers, and the rewards withheld so far.

        To be called after environments were reset or restored, with their columns (default: all).
        """
        for column in range(self.num_envs) if columns is None else columns:
            limit = self._time_limits[column]
            self._elapsed[column] = (limit._elapsed_steps or 0) if limit else 0
            episodic = self._episodic[column]
            self._earned[column] = episodic._earned if episodic else 0.0

    def store(self) -> None:
        """Write what `load` reads back into the wrappers, for whoever reads it there."""
        for limit, elapsed in zip(self._time_limits, self._elapsed.tolist(), strict=True):
            if limit is not None and limit._elapsed_steps is not None:
                limit._elapsed_steps = elapsed
        for episodic, earned in zip(self._episodic, self._earned.tolist(), strict=True):
            if episodic is not None:
                episodic._earned = earned

    def close(self) -> None:
        """End the threads. The environments are left open."""
        self._team.close()

    def _read_before(self) -> Readers:
        """Return readers of what is needed from before the step; by default the x position."""
        return [read_x]

    def _read_after(self) -> Readers:
        """Return readers of what is needed from after the step; by default qpos and qvel."""
        return [read_qpos, read_qvel]

    @abstractmethod
    def _outcome(
        self, actions: np.ndarray, before: list[np.ndarray], after: list[np.ndarray]
    ) -> Outcome:
        """Compute the results of a step.

        Args:
            actions: ``[B, A]``, in the dtype that the caller gave.
            before: per reader of `_read_before`, its values ``[B, n]`` from before the step.
            after: per reader of `_read_after`, its values ``[B, n]`` from after the step.
        """

    def _parameter(self, name: str) -> Any:
        """Return a private parameter of the environments, which must be the same in all."""
        values = [getattr(base, name) for base in self._bases]
        if any(value != values[0] for value in values):
            raise BatchingError(
                f"All environments of a batch must have the same {name.strip('_')}, got {values}."
            )
        return values[0]

    def _withhold(self, dense: np.ndarray, ended: np.ndarray) -> np.ndarray:
        """Return the rewards of `EpisodicReturn`, ``[B]``: the sum at the end, else 0."""
        self._earned += dense
        reward = np.where(ended, self._earned, 0.0)
        self._earned[ended] = 0.0
        return reward

    def _check_reset(self) -> None:
        if any(wrapper is not None and not wrapper.has_reset for wrapper in self._order):
            raise gymnasium.error.ResetNeeded("Cannot call step() before calling reset().")
        self._ready = True


class Gather:
    """Copies arrays of B simulations into one matrix, in a single call of numpy.

    Args:
        bases: the B environments.
        readers: each returns the array to read as a live view into the simulation, of the same
            size for every environment.
    """

    def __init__(self, bases: Sequence[Any], *readers: Callable[[Any], np.ndarray]) -> None:
        views = [[reader(base).reshape(-1) for reader in readers] for base in bases]
        self._views = [view for row in views for view in row]
        ends = np.cumsum([view.size for view in views[0]]).tolist()
        self._slices = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        self._shape = (len(bases), ends[-1] if ends else 0)

    def read(self) -> list[np.ndarray]:
        """Return one new array ``[B, n]`` per reader; the arrays are views of one matrix."""
        if not self._views:
            return []
        matrix = np.concatenate(self._views).reshape(self._shape)
        return [matrix[:, columns] for columns in self._slices]


def read_x(env: Any) -> np.ndarray:
    """Read the x position, ``[1]``."""
    return env.data.qpos[:1]


def read_qpos(env: Any) -> np.ndarray:
    """Read all positions, ``[nq]``."""
    return env.data.qpos


def read_qvel(env: Any) -> np.ndarray:
    """Read all velocities, ``[nv]``."""
    return env.data.qvel


def times(weight: float, column: np.ndarray) -> np.ndarray:
    """Multiply as Gymnasium does: a Python float and one numpy number at a time.

    For float32 numbers numpy 1 computes this in float64 and numpy 2 in float32, whereas an array
    of float32 stays float32 in both.
    """
    dtype = np.asarray(weight * column.dtype.type(1)).dtype
    return column.astype(dtype) * dtype.type(weight)


def squared_sum(values: np.ndarray) -> np.ndarray:
    """Return the sum of squares of each row, ``[B, n] -> [B]``."""
    return np.square(np.ascontiguousarray(values)).sum(axis=1)


def norm(vectors: np.ndarray) -> np.ndarray:
    """Return the Euclidean norms of the rows ``[B, n]``, with the bits of ``np.linalg.norm``."""
    # Both are a dot product of the linear algebra library, which may fuse a product and a sum.
    rows = np.ascontiguousarray(vectors)
    return np.sqrt(np.matmul(rows[:, None, :], rows[:, :, None])[:, 0, 0])


def _job(base: Any, action: np.ndarray) -> Job:
    """Return the physics of one copy as a job: what ``MujocoEnv`` does, with everything bound."""
    ctrl = base.data.ctrl
    step = functools.partial(mujoco.mj_step, base.model, base.data, base.frame_skip)
    # Fills in the contact forces. It costs 2 % of a step, so it is not left out for the tasks that
    # do not read them: data looked at from outside is the same as in Gymnasium.
    post = functools.partial(mujoco.mj_rnePostConstraint, base.model, base.data)

    def run() -> None:
        ctrl[:] = action
        step()
        post()

    return run


def _obstacle(env: gymnasium.Env, task: type[BatchedTask]) -> str | None:
    """Return why ``env`` cannot be stepped by ``task``, or None."""
    for wrapper in _wrappers(env):
        if type(wrapper) not in _PASSIVE:
            return f"its wrapper {type(wrapper).__name__} has to see every step"
    if sum(isinstance(wrapper, TimeLimit) for wrapper in _wrappers(env)) > 1:
        return "it has more than one TimeLimit"
    kinds = [type(wrapper) for wrapper in _wrappers(env)]
    if EpisodicReturn in kinds and TimeLimit in kinds[: kinds.index(EpisodicReturn)]:
        return "its time limit is outside of EpisodicReturn"
    if kinds.count(EpisodicReturn) > 1:
        return "it has more than one EpisodicReturn"
    if type(env.unwrapped) is not task.environment:
        return f"it is a {type(env.unwrapped).__name__}, expected {task.environment.__name__}"
    if env.unwrapped.render_mode == "human":
        return 'it draws every step (render_mode="human")'
    return None


def _wrappers(env: gymnasium.Env) -> Iterator[gymnasium.Wrapper]:
    while isinstance(env, gymnasium.Wrapper):
        yield env
        env = env.env


def _time_limit(env: gymnasium.Env) -> Any:
    return next((wrapper for wrapper in _wrappers(env) if type(wrapper) is TimeLimit), None)


def _episodic(env: gymnasium.Env) -> EpisodicReturn | None:
    return next((one for one in _wrappers(env) if isinstance(one, EpisodicReturn)), None)


def _order_enforcing(env: gymnasium.Env) -> Any:
    return next((wrapper for wrapper in _wrappers(env) if type(wrapper) is OrderEnforcing), None)
