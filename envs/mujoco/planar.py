"""Batched HalfCheetah, Hopper, Walker2d, Swimmer and InvertedPendulum of Gymnasium (v5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import gymnasium
import numpy as np
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv
from gymnasium.envs.mujoco.hopper_v5 import HopperEnv
from gymnasium.envs.mujoco.inverted_pendulum_v5 import InvertedPendulumEnv
from gymnasium.envs.mujoco.swimmer_v5 import SwimmerEnv
from gymnasium.envs.mujoco.walker2d_v5 import Walker2dEnv

from envs.mujoco.batched import BatchedTask, Outcome, Readers, norm, squared_sum, times


@final
class BatchedHalfCheetah(BatchedTask):
    """``HalfCheetah-v5``; never terminates."""

    environment = HalfCheetahEnv

    def __init__(self, envs: Sequence[gymnasium.Env], threads: int = 1) -> None:
        super().__init__(envs, threads)
        self._forward_weight = self._parameter("_forward_reward_weight")
        self._ctrl_weight = self._parameter("_ctrl_cost_weight")
        self._skip = int(self._parameter("_exclude_current_positions_from_observation"))

    def _outcome(
        self, actions: np.ndarray, before: list[np.ndarray], after: list[np.ndarray]
    ) -> Outcome:
        qpos, qvel = after
        x = qpos[:, 0].copy()
        velocity = (x - before[0][:, 0]) / self.dt
        forward = self._forward_weight * velocity
        cost = times(self._ctrl_weight, squared_sum(actions))
        info = {
            "x_position": x,
            "x_velocity": velocity,
            "reward_forward": forward,
            "reward_ctrl": -cost,
        }
        observation = np.concatenate([qpos[:, self._skip :], qvel], axis=1)
        return Outcome(observation, forward - cost, np.zeros(len(x), dtype=bool), info)


@final
class BatchedHopper(BatchedTask):
    """``Hopper-v5``; terminates when unhealthy, if it was made to."""

    environment = HopperEnv

    def __init__(self, envs: Sequence[gymnasium.Env], threads: int = 1) -> None:
        super().__init__(envs, threads)
        self._gait = Gait(self, state_range=self._parameter("_healthy_state_range"))

    def _outcome(
        self, actions: np.ndarray, before: list[np.ndarray], after: list[np.ndarray]
    ) -> Outcome:
        return self._gait.outcome(actions, before[0], *after)


@final
class BatchedWalker2d(BatchedTask):
    """``Walker2d-v5``; terminates when unhealthy, if it was made to."""

    environment = Walker2dEnv

    def __init__(self, envs: Sequence[gymnasium.Env], threads: int = 1) -> None:
        super().__init__(envs, threads)
        self._gait = Gait(self, state_range=None)

    def _outcome(
        self, actions: np.ndarray, before: list[np.ndarray], after: list[np.ndarray]
    ) -> Outcome:
        return self._gait.outcome(actions, before[0], *after)


@final
class Gait:
    """What Hopper and Walker2d share: forward reward, survival, control cost, clipped velocities.

    Args:
        task: the task, for its parameters.
        state_range: bounds of every state number but the first two; None where there are none.
    """

    def __init__(self, task: BatchedTask, state_range: tuple[float, float] | None) -> None:
        self._dt = task.dt
        self._forward_weight = task._parameter("_forward_reward_weight")
        self._ctrl_weight = task._parameter("_ctrl_cost_weight")
        self._healthy_reward = task._parameter("_healthy_reward")
        self._terminate = bool(task._parameter("_terminate_when_unhealthy"))
        self._skip = int(task._parameter("_exclude_current_positions_from_observation"))
        self._z_range = task._parameter("_healthy_z_range")
        self._angle_range = task._parameter("_healthy_angle_range")
        self._state_range = state_range
        self._z_start = task._bases[0].init_qpos[1]

    def healthy(self, qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
        """Return whether each copy is upright, ``[B]``."""
        z, angle = qpos[:, 1], qpos[:, 2]
        result = (self._z_range[0] < z) & (z < self._z_range[1])
        result &= (self._angle_range[0] < angle) & (angle < self._angle_range[1])
        if self._state_range is not None:
            low, high = self._state_range
            state = np.concatenate([qpos[:, 2:], qvel], axis=1)
            result &= ((low < state) & (state < high)).all(axis=1)
        return result

    def fallen(self, healthy: np.ndarray) -> np.ndarray:
        """Return which copies terminate, ``[B]``, given those that are upright."""
        return ~healthy & self._terminate

    def observation(self, qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
        """Return positions and clipped velocities, ``[B, D]``."""
        return np.concatenate([qpos[:, self._skip :], np.clip(qvel, -10, 10)], axis=1)

    def outcome(
        self, actions: np.ndarray, x_before: np.ndarray, qpos: np.ndarray, qvel: np.ndarray
    ) -> Outcome:
        """Compute the results of a step of the dense task."""
        x = qpos[:, 0].copy()
        velocity = (x - x_before[:, 0]) / self._dt
        forward = self._forward_weight * velocity
        is_healthy = self.healthy(qpos, qvel)
        survive = is_healthy * self._healthy_reward
        cost = times(self._ctrl_weight, squared_sum(actions))
        info = {
            "x_position": x,
            "z_distance_from_origin": qpos[:, 1] - self._z_start,
            "x_velocity": velocity,
            "reward_forward": forward,
            "reward_ctrl": -cost,
            "reward_survive": survive,
        }
        reward = (forward + survive) - cost
        return Outcome(self.observation(qpos, qvel), reward, self.fallen(is_healthy), info)


@final
class BatchedSwimmer(BatchedTask):
    """``Swimmer-v5``; never terminates."""

    environment = SwimmerEnv

    def __init__(self, envs: Sequence[gymnasium.Env], threads: int = 1) -> None:
        super().__init__(envs, threads)
        self._forward_weight = self._parameter("_forward_reward_weight")
        self._ctrl_weight = self._parameter("_ctrl_cost_weight")
        self._skip = 2 * int(self._parameter("_exclude_current_positions_from_observation"))

    def _read_before(self) -> Readers:
        return [lambda env: env.data.qpos[:2]]

    def _outcome(
        self, actions: np.ndarray, before: list[np.ndarray], after: list[np.ndarray]
    ) -> Outcome:
        qpos, qvel = after
        xy = qpos[:, :2].copy()
        velocity = (xy - before[0]) / self.dt
        forward = self._forward_weight * velocity[:, 0]
        cost = times(self._ctrl_weight, squared_sum(actions))
        info = {
            "x_position": xy[:, 0],
            "y_position": xy[:, 1],
            "distance_from_origin": norm(xy),
            "x_velocity": velocity[:, 0],
            "y_velocity": velocity[:, 1],
            "reward_forward": forward,
            "reward_ctrl": -cost,
        }
        observation = np.concatenate([qpos[:, self._skip :], qvel], axis=1)
        return Outcome(observation, forward - cost, np.zeros(len(xy), dtype=bool), info)


@final
class BatchedInvertedPendulum(BatchedTask):
    """``InvertedPendulum-v5``; terminates when the pole leans by more than 0.2 rad."""

    environment = InvertedPendulumEnv

    def _read_before(self) -> Readers:
        return []

    def _outcome(
        self, actions: np.ndarray, before: list[np.ndarray], after: list[np.ndarray]
    ) -> Outcome:
        observation = np.concatenate(after, axis=1)
        terminated = ~np.isfinite(observation).all(axis=1) | (np.abs(observation[:, 1]) > 0.2)
        survive = (~terminated).astype(np.int64)
        return Outcome(
            observation, survive.astype(np.float64), terminated, {"reward_survive": survive}
        )
