"""EnvPool as a second engine of Gymnasium's MuJoCo tasks.

EnvPool steps all columns in C++. Its reward, ends and quantities are put into Gymnasium's terms
here. Two of its habits are not passed on: it resets an ended environment one step later, in a step
that ignores the action and pays nothing, and it gives no final observations.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs.actions import check_actions
from envs.errors import MissingSimulatorError, VectorizationError
from envs.mujoco.envpool_tasks import POOL_TASKS, Step, translated
from envs.threads import available_cpus

# EnvPool takes seeds of 31 bits.
_SEEDS = 2**31


def make_envpool(
    name: str,
    num_envs: int,
    *,
    threads: int | None = None,
    seed: int | None = None,
    max_episode_steps: int | None = None,
    **options: Any,
) -> EnvPoolVectorEnv:
    """Make ``num_envs`` columns of a MuJoCo task (v5), stepped by EnvPool.

    Args:
        name: an id such as ``"HalfCheetah-v5"``.
        num_envs: columns, B; at least 1.
        threads: of EnvPool, at least 1; None takes one per processor.
        seed: of column 0 at the first reset, column ``i`` gets ``seed + i``; None draws from the
            operating system.
        max_episode_steps: time limit; None takes Gymnasium's.
        **options: of the environment, by Gymnasium's names.

    Returns:
        The vector environment, not yet reset.

    Raises:
        MissingSimulatorError: EnvPool is not installed.
        VectorizationError: EnvPool does not have this task.
        ValueError: a number is too small, or EnvPool does not have one of the options.
    """
    try:
        importlib.import_module("envpool")
    except ImportError as error:
        raise MissingSimulatorError(name, "envpool", "envpool") from error
    return EnvPoolVectorEnv(
        name,
        num_envs,
        threads=threads,
        seed=seed,
        max_episode_steps=max_episode_steps,
        **options,
    )


@final
class EnvPoolVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """Columns of one MuJoCo task in an EnvPool; see `make_envpool` for the arguments.

    Observations (float64), actions, rewards, ends and the names in ``infos`` are those of the task
    of Gymnasium. An ended column is reset within the same step (``AutoresetMode.SAME_STEP``):
    ``infos["final_obs"]`` holds the true last observations, and the next step is a real one.

    What differs from Gymnasium, as measured by the tests: EnvPool brings its own MuJoCo, so
    trajectories agree to rounding at first and part in time, as chaotic systems do; it draws other
    starting states from the same seed (of the same distribution); rewards have float32 precision.
    The state cannot be read or set, so there are no snapshots; there is no rendering; ``infos`` of
    a reset is empty; and the quantities named in `missing_info` are not there.

    Attributes:
        missing_info: names in Gymnasium's ``info`` of this task that EnvPool cannot give.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        name: str,
        num_envs: int,
        *,
        threads: int | None = None,
        seed: int | None = None,
        max_episode_steps: int | None = None,
        **options: Any,
    ) -> None:
        self._pool: Any = None  # first: also an object that is refused below is closed
        if name not in POOL_TASKS:
            raise VectorizationError(
                f"EnvPool does not have {name!r}; it has {', '.join(sorted(POOL_TASKS))}. "
                "Choose another backend for this task."
            )
        task = POOL_TASKS[name]
        limit = task.max_episode_steps if max_episode_steps is None else max_episode_steps
        threads = available_cpus() if threads is None else threads
        for what, value in (
            ("num_envs", num_envs),
            ("threads", threads),
            ("max_episode_steps", limit),
        ):
            if value < 1:
                raise ValueError(f"{what} must be at least 1, got {value}.")
        self._envpool = importlib.import_module("envpool")
        hide = options.pop("exclude_current_positions_from_observation", True) and task.hidden
        defaults = self._envpool.make_spec(name).config._asdict()
        own = translated(task, options, defaults)
        if task.hidden:
            own["exclude_current_positions_from_observation"] = False
        made = self._envpool.make_spec(name, **own)
        self._options: Mapping[str, Any] = {**defaults, **own}
        self._task = task
        self._limit = limit
        self._hidden = int(hide)
        self._seed = seed
        self._make = {
            "task_id": name,
            "env_type": "gymnasium",
            "num_envs": num_envs,
            "num_threads": min(threads, num_envs),
            "max_episode_steps": limit,
            **own,
        }
        self.num_envs = num_envs
        self.missing_info: tuple[str, ...] = task.missing
        self.render_mode = None
        self.spec = gymnasium.registry.get(name)
        low, high = (
            bound.reshape(-1).astype(np.float32)
            for bound in (made.action_space.low, made.action_space.high)
        )
        self.single_action_space = spaces.Box(low, high, dtype=np.float32)
        size = made.observation_space.shape[0] - self._hidden
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float64)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode in every column.

        Args:
            seed: of column 0, column ``i`` gets ``seed + i``; or one per column; None goes on with
                the random numbers. EnvPool is seeded only when it is made, so a seed makes a new
                one (some 50 ms). Only the lowest 31 bits of a seed count.
            options: none are known.

        Returns:
            Observations ``[B, D]`` and no infos.
        """
        seeds = self._seeds(self._seed if seed is None and self._pool is None else seed)
        if self._pool is None or seeds is not None:
            if seeds is None:
                seeds = np.random.default_rng().integers(_SEEDS, size=self.num_envs).tolist()
            self.close_extras()
            self._pool = self._envpool.make(**self._make, env_seed=seeds)
        return self._begin(np.arange(self.num_envs)), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step every column once.

        Args:
            actions: ``[B, A]``; as in Gymnasium, numbers outside of the action space are clipped
                by the model's actuators and cost what they say.

        Returns:
            Observations ``[B, D]``, float64 rewards, terminated, truncated (each ``[B]``; both can
            be true), and ``infos``.

        Raises:
            envs.errors.ActionError: actions of a wrong shape, or not finite.
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if self._pool is None:
            raise gymnasium.error.ResetNeeded("Cannot call step() before calling reset().")
        # A wrong number of rows would end the whole process inside EnvPool.
        actions = check_actions(actions, self.single_action_space, self.num_envs)
        action = actions.astype(np.float64)
        full, reward, terminated, _, raw = self._pool.step(action)
        truncated = raw["elapsed_step"] >= self._limit
        reward = reward.astype(np.float64)
        step = Step(full, action, reward, terminated, raw, self._options)
        infos: dict[str, Any] = {
            name: raw[source] if isinstance(source, str) else source(step)
            for name, source in self._task.info.items()
        }
        observation = self._shown(full)
        ended = terminated | truncated
        if ended.any():
            infos["final_obs"], infos["_final_obs"] = observation, ended
            observation = observation.copy()
            columns = np.flatnonzero(ended)
            observation[columns] = self._begin(columns)
        return observation, reward, terminated, truncated, infos

    def close_extras(self, **kwargs: Any) -> None:
        """End EnvPool's threads."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _begin(self, columns: np.ndarray) -> np.ndarray:
        """Reset some columns now, and return their first observations in that order."""
        return self._shown(self._pool.reset(columns.astype(np.int32))[0])

    def _shown(self, full: np.ndarray) -> np.ndarray:
        """Return what the task shows of all positions and velocities."""
        return np.ascontiguousarray(full[:, self._hidden :])

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int] | None:
        if seed is None:
            return None
        if isinstance(seed, (int, np.integer)):
            return [(int(seed) + column) % _SEEDS for column in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"Expected {self.num_envs} seeds, one per column, got {len(seed)}.")
        fresh = np.random.default_rng().integers(_SEEDS, size=self.num_envs).tolist()
        return [new if own is None else own % _SEEDS for own, new in zip(seed, fresh, strict=True)]
