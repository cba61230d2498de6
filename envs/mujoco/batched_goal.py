"""Our sparse MuJoCo tasks, batched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import gymnasium
import numpy as np

from envs.mujoco.batched import BatchedTask, Outcome
from envs.mujoco.deceptive import HalfCheetahLureEnv
from envs.mujoco.planar import Gait
from envs.mujoco.sparse_goal import (
    HalfCheetahGoalEnv,
    HalfCheetahSparseEnv,
    HopperGoalEnv,
    HopperSparseEnv,
)


@final
class BatchedHalfCheetahGoal(BatchedTask):
    """``HalfCheetahGoal-v0``; terminates at the goal."""

    environment = HalfCheetahGoalEnv

    def __init__(self, envs: Sequence[gymnasium.Env], threads: int = 1) -> None:
        super().__init__(envs, threads)
        self._goal = self._parameter("goal")

    def _outcome(
        self, actions: np.ndarray, before: list[np.ndarray], after: list[np.ndarray]
    ) -> Outcome:
        info = _movement(before, after, self.dt)
        reached = info["x_position"] >= self._goal
        info["is_success"] = reached
        return Outcome(np.concatenate(after, axis=1), reached.astype(np.float64), reached, info)


@final
class BatchedHalfCheetahLure(BatchedTask):
    """``HalfCheetahLure-v0``; terminates at the goal and at the lure."""

    environment = HalfCheetahLureEnv

    def __init__(self, envs: Sequence[gymnasium.Env], threads: int = 1) -> None:
        super().__init__(envs, threads)
        self._goal = self._parameter("goal")
        self._lure = self._parameter("lure")
        self._lure_reward = self._parameter("lure_reward")

    def _outcome(
        self, actions: np.ndarray, before: list[np.ndarray], after: list[np.ndarray]
    ) -> Outcome:
        info = _movement(before, after, self.dt)
        reached = info["x_position"] >= self._goal
        lured = info["x_position"] <= -self._lure
        info |= {"is_success": reached, "is_lured": lured}
        reward = np.where(reached, 1.0, self._lure_reward * lured)
        return Outcome(np.concatenate(after, axis=1), reward, reached | lured, info)


@final
class BatchedHalfCheetahSparse(BatchedTask):
    """``HalfCheetahSparse-v0``; never terminates."""

    environment = HalfCheetahSparseEnv

    def __init__(self, envs: Sequence[gymnasium.Env], threads: int = 1) -> None:
        super().__init__(envs, threads)
        self._threshold = self._parameter("threshold")
        self._skip = int(self._parameter("_exclude_current_positions_from_observation"))

    def _outcome(
        self, actions: np.ndarray, before: list[np.ndarray], after: list[np.ndarray]
    ) -> Outcome:
        qpos, qvel = after
        info = _movement(before, after, self.dt)
        reward = (info["x_velocity"] > self._threshold).astype(np.float64)
        observation = np.concatenate([qpos[:, self._skip :], qvel], axis=1)
        return Outcome(observation, reward, np.zeros(len(reward), dtype=bool), info)


@final
class BatchedHopperGoal(BatchedTask):
    """``HopperGoal-v0``; terminates at the goal, and when unhealthy if it was made to."""

    environment = HopperGoalEnv

    def __init__(self, envs: Sequence[gymnasium.Env], threads: int = 1) -> None:
        super().__init__(envs, threads)
        self._goal = self._parameter("goal")
        self._gait = Gait(self, state_range=self._parameter("_healthy_state_range"))

    def _outcome(
        self, actions: np.ndarray, before: list[np.ndarray], after: list[np.ndarray]
    ) -> Outcome:
        info = _movement(before, after, self.dt)
        reached = info["x_position"] >= self._goal
        info["is_success"] = reached
        terminated = reached | self._gait.fallen(self._gait.healthy(*after))
        observation = self._gait.observation(*after)
        return Outcome(observation, reached.astype(np.float64), terminated, info)


@final
class BatchedHopperSparse(BatchedTask):
    """``HopperSparse-v0``; terminates when unhealthy if it was made to."""

    environment = HopperSparseEnv

    def __init__(self, envs: Sequence[gymnasium.Env], threads: int = 1) -> None:
        super().__init__(envs, threads)
        self._threshold = self._parameter("threshold")
        self._gait = Gait(self, state_range=self._parameter("_healthy_state_range"))

    def _outcome(
        self, actions: np.ndarray, before: list[np.ndarray], after: list[np.ndarray]
    ) -> Outcome:
        info = _movement(before, after, self.dt)
        healthy = self._gait.healthy(*after)
        reward = ((info["x_velocity"] > self._threshold) & healthy).astype(np.float64)
        return Outcome(self._gait.observation(*after), reward, self._gait.fallen(healthy), info)


def _movement(
    before: list[np.ndarray], after: list[np.ndarray], dt: float
) -> dict[str, np.ndarray]:
    """Return the info columns ``x_position`` and ``x_velocity``, each ``[B]``."""
    x = after[0][:, 0].copy()
    return {"x_position": x, "x_velocity": (x - before[0][:, 0]) / dt}
