"""Batched Ant and Humanoid of Gymnasium (v5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium.envs.mujoco.ant_v5 import AntEnv
from gymnasium.envs.mujoco.humanoid_v5 import HumanoidEnv

from envs.mujoco.batched import (
    BatchedTask,
    Outcome,
    Readers,
    norm,
    read_qpos,
    read_qvel,
    squared_sum,
    times,
)


@final
class BatchedAnt(BatchedTask):
    """``Ant-v5``; terminates when unhealthy, if it was made to.

    The velocity is that of the main body between two steps as MuJoCo last computed it, which is one
    physics step old. That is how Gymnasium defines it.
    """

    environment = AntEnv

    def __init__(self, envs: Sequence[gymnasium.Env], threads: int = 1) -> None:
        super().__init__(envs, threads)
        self._forward_weight = self._parameter("_forward_reward_weight")
        self._ctrl_weight = self._parameter("_ctrl_cost_weight")
        self._contact_weight = self._parameter("_contact_cost_weight")
        self._contact_range = self._parameter("_contact_force_range")
        self._healthy_reward = self._parameter("_healthy_reward")
        self._terminate = bool(self._parameter("_terminate_when_unhealthy"))
        self._z_range = self._parameter("_healthy_z_range")
        self._skip = 2 * int(self._parameter("_exclude_current_positions_from_observation"))
        self._see_contacts = bool(self._parameter("_include_cfrc_ext_in_observation"))

    def _read_before(self) -> Readers:
        return [_read_main_body]

    def _read_after(self) -> Readers:
        return [read_qpos, read_qvel, _read_main_body, lambda env: env.data.cfrc_ext]

    def _outcome(
        self, actions: np.ndarray, before: list[np.ndarray], after: list[np.ndarray]
    ) -> Outcome:
        qpos, qvel, xy, forces = after
        velocity = (xy - before[0]) / self.dt
        contacts = np.clip(forces, *self._contact_range)
        z = qpos[:, 2]
        is_healthy = np.isfinite(qpos).all(axis=1) & np.isfinite(qvel).all(axis=1)
        is_healthy &= (self._z_range[0] <= z) & (z <= self._z_range[1])

        forward = velocity[:, 0] * self._forward_weight
        survive = is_healthy * self._healthy_reward
        ctrl_cost = times(self._ctrl_weight, squared_sum(actions))
        contact_cost = self._contact_weight * squared_sum(contacts)
        info = {
            "x_position": qpos[:, 0].copy(),
            "y_position": qpos[:, 1].copy(),
            "distance_from_origin": norm(qpos[:, :2]),
            "x_velocity": velocity[:, 0],
            "y_velocity": velocity[:, 1],
            "reward_forward": forward,
            "reward_ctrl": -ctrl_cost,
            "reward_contact": -contact_cost,
            "reward_survive": survive,
        }
        parts = [qpos[:, self._skip :], qvel]
        if self._see_contacts:
            # The first body is the world, which feels no contact.
            parts.append(contacts[:, 6:])
        return Outcome(
            np.concatenate(parts, axis=1),
            (forward + survive) - (ctrl_cost + contact_cost),
            ~is_healthy & self._terminate,
            info,
        )


@final
class BatchedHumanoid(BatchedTask):
    """``Humanoid-v5``; terminates when its height leaves the healthy range, if it was made to."""

    environment = HumanoidEnv

    def __init__(self, envs: Sequence[gymnasium.Env], threads: int = 1) -> None:
        super().__init__(envs, threads)
        self._forward_weight = self._parameter("_forward_reward_weight")
        self._ctrl_weight = self._parameter("_ctrl_cost_weight")
        self._contact_weight = self._parameter("_contact_cost_weight")
        self._contact_range = self._parameter("_contact_cost_range")
        self._healthy_reward = self._parameter("_healthy_reward")
        self._terminate = bool(self._parameter("_terminate_when_unhealthy"))
        self._z_range = self._parameter("_healthy_z_range")
        self._skip = 2 * int(self._parameter("_exclude_current_positions_from_observation"))
        # Gymnasium includes a part only where its flag is exactly True.
        parts = ["cinert", "cvel", "qfrc_actuator", "cfrc_ext"]
        self._parts = [self._parameter(f"_include_{part}_in_observation") is True for part in parts]
        self._mass = self._bases[0].model.body_mass.copy()

    def _read_before(self) -> Readers:
        return [lambda env: env.data.xipos]

    def _read_after(self) -> Readers:
        return [
            read_qpos,
            read_qvel,
            lambda env: env.data.cinert[1:],
            lambda env: env.data.cvel[1:],
            lambda env: env.data.qfrc_actuator[6:],
            lambda env: env.data.cfrc_ext,
            lambda env: env.data.xipos,
            lambda env: env.data.ctrl,
            lambda env: env.data.ten_length,
            lambda env: env.data.ten_velocity,
        ]

    def _outcome(
        self, actions: np.ndarray, before: list[np.ndarray], after: list[np.ndarray]
    ) -> Outcome:
        qpos, qvel, inertia, velocities, torques, forces, centres, ctrl, tendon, tendon_v = after
        velocity = (self._mass_centre(centres) - self._mass_centre(before[0])) / self.dt
        is_healthy = (self._z_range[0] < qpos[:, 2]) & (qpos[:, 2] < self._z_range[1])

        forward = self._forward_weight * velocity[:, 0]
        survive = is_healthy * self._healthy_reward
        ctrl_cost = self._ctrl_weight * squared_sum(ctrl)
        contact_cost = np.clip(self._contact_weight * squared_sum(forces), *self._contact_range)
        info = {
            "x_position": qpos[:, 0].copy(),
            "y_position": qpos[:, 1].copy(),
            "tendon_length": tendon.copy(),
            "tendon_velocity": tendon_v.copy(),
            "distance_from_origin": norm(qpos[:, :2]),
            "x_velocity": velocity[:, 0],
            "y_velocity": velocity[:, 1],
            "reward_survive": survive,
            "reward_forward": forward,
            "reward_ctrl": -ctrl_cost,
            "reward_contact": -contact_cost,
        }
        optional = [inertia, velocities, torques, forces[:, 6:]]
        seen = [part for part, included in zip(optional, self._parts, strict=True) if included]
        return Outcome(
            np.concatenate([qpos[:, self._skip :], qvel, *seen], axis=1),
            (forward + survive) - (ctrl_cost + contact_cost),
            ~is_healthy & self._terminate,
            info,
        )

    def _mass_centre(self, centres: np.ndarray) -> np.ndarray:
        """Return the x and y of the centre of mass, ``[B, 2]``, from the bodies' centres."""
        weighted = self._mass[:, None] * centres.reshape(len(centres), -1, 3)
        return (np.sum(weighted, axis=1) / np.sum(self._mass))[:, :2]


def _read_main_body(env: Any) -> np.ndarray:
    """Read the x and y of the main body, ``[2]``."""
    return env.data.body(env._main_body).xpos[:2]
