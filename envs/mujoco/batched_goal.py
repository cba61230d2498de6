"""Our sparse MuJoCo tasks, batched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

import gymnasium
import numpy as np

from envs.mujoco.batched import BatchedTask, Outcome
from envs.mujoco.planar import Gait, read_qpos, read_qvel, read_x
from envs.mujoco.sparse_goal import HalfCheetahGoalEnv, HalfCheetahSparseEnv, HopperGoalEnv

Readers = Sequence[Callable[[Any], np.ndarray]]


@final
class BatchedHalfCheetahGoal(BatchedTask):
    """``HalfCheetahGoal-v0``; terminates at the goal."""

    environment = HalfCheetahGoalEnv

    def __init__(self, envs: Sequence[gymnasium.Env], threads: int = 1) -> None:
        super().__init__(envs, threads)
        self._goal = self._parameter("goal")

    def _read_before(self) -> Readers:
        return [read_x]

    def _read_after(self) -> Readers:
        return [read_qpos, read_qvel]

    def _outcome(
        self, actions: np.ndarray, before: list[np.ndarray], after: list[np.ndarray]
    ) -> Outcome:
        info = _movement(before[0], after[0], self.dt)
        reached = info["x_position"] >= self._goal
        info["is_success"] = reached
        return Outcome(np.concatenate(after, axis=1), reached.astype(np.float64), reached, info)


@final
class BatchedHopperGoal(BatchedTask):
    """``HopperGoal-v0``; terminates at the goal, and when unhealthy if it was made to."""

    environment = HopperGoalEnv

    def __init__(self, envs: Sequence[gymnasium.Env], threads: int = 1) -> None:
        super().__init__(envs, threads)
        self._goal = self._parameter("goal")
        self._terminate = bool(self._parameter("_terminate_when_unhealthy"))
        self._gait = Gait(self, state_range=self._parameter("_healthy_state_range"))

    def _read_before(self) -> Readers:
        return [read_x]

    def _read_after(self) -> Readers:
        return [read_qpos, read_qvel]

    def _outcome(
        self, actions: np.ndarray, before: list[np.ndarray], after: list[np.ndarray]
    ) -> Outcome:
        info = _movement(before[0], after[0], self.dt)
        reached = info["x_position"] >= self._goal
        info["is_success"] = reached
        fallen = ~self._gait.healthy(*after) & self._terminate
        observation = self._gait.observation(*after)
        return Outcome(observation, reached.astype(np.float64), reached | fallen, info)


@final
class BatchedHalfCheetahSparse(BatchedTask):
    """``HalfCheetahSparse-v0``; never terminates."""

    environment = HalfCheetahSparseEnv

    def __init__(self, envs: Sequence[gymnasium.Env], threads: int = 1) -> None:
        super().__init__(envs, threads)
        self._threshold = self._parameter("threshold")
        self._skip = int(self._parameter("_exclude_current_positions_from_observation"))

    def _read_before(self) -> Readers:
        return [read_x]

    def _read_after(self) -> Readers:
        return [read_qpos, read_qvel]

    def _outcome(
        self, actions: np.ndarray, before: list[np.ndarray], after: list[np.ndarray]
    ) -> Outcome:
        qpos, qvel = after
        info = _movement(before[0], qpos, self.dt)
        reward = (info["x_velocity"] > self._threshold).astype(np.float64)
        observation = np.concatenate([qpos[:, self._skip :], qvel], axis=1)
        return Outcome(observation, reward, np.zeros(len(reward), dtype=bool), info)


def _movement(x_before: np.ndarray, qpos: np.ndarray, dt: float) -> dict[str, np.ndarray]:
    """Return the info columns ``x_position`` and ``x_velocity``, each ``[B]``."""
    x = qpos[:, 0].copy()
    return {"x_position": x, "x_velocity": (x - x_before[:, 0]) / dt}
