"""What EnvPool calls the options and quantities of Gymnasium's MuJoCo tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Step:
    """What is known of a step of B columns, to compute what EnvPool does not report.

    Attributes:
        observation: float64 ``[B, D]``, the true successor with all positions, whatever the
            environment shows of them.
        action: float64 ``[B, A]``.
        reward: float64 ``[B]``.
        terminated: bool ``[B]``.
        info: EnvPool's own quantities, by its names.
        options: the options with which EnvPool was made, by its names.
    """

    observation: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    info: Mapping[str, np.ndarray]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class PoolTask:
    """One task.

    Attributes:
        max_episode_steps: Gymnasium's time limit.
        options: option of Gymnasium -> option of EnvPool; a range is written ``"healthy_z"`` for
            ``healthy_z_min`` and ``healthy_z_max``.
        info: name in Gymnasium's ``info`` -> EnvPool's name, or a function of the step.
        missing: names in Gymnasium's ``info`` that cannot be had from EnvPool.
        hidden: how many positions, counted from the first, Gymnasium leaves out of the observation
            unless told otherwise.
    """

    max_episode_steps: int
    options: Mapping[str, str]
    info: Mapping[str, str | Callable[[Step], np.ndarray]]
    missing: tuple[str, ...] = ()
    hidden: int = 0


def translated(
    task: PoolTask, options: Mapping[str, Any], known: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the options by EnvPool's names.

    Args:
        task: the task.
        options: by Gymnasium's names.
        known: EnvPool's options with their defaults.

    Raises:
        ValueError: an option that EnvPool does not have, with those that it has.
    """
    result: dict[str, Any] = {}
    for name, value in options.items():
        if name not in task.options:
            raise ValueError(
                f"The envpool backend does not know the option {name!r}; it knows: "
                f"{', '.join(sorted(task.options))}. The in-process backends know all of "
                "Gymnasium's."
            )
        own = task.options[name]
        if not name.endswith("_range"):
            result[own] = type(known[own])(value)
            continue
        for end, bound in zip(("min", "max"), value, strict=True):
            if f"{own}_{end}" in known:
                result[f"{own}_{end}"] = float(bound)
            elif math.isfinite(bound):
                raise ValueError(
                    f"The envpool backend has no bound {name}[{end}], got {bound}. "
                    "The in-process backends have it."
                )
    return result


def _forward(step: Step) -> np.ndarray:
    return step.options["forward_reward_weight"] * step.info["x_velocity"]


def _control(step: Step) -> np.ndarray:
    return -step.options["ctrl_cost_weight"] * np.square(step.action).sum(axis=1)


def _survive(step: Step) -> np.ndarray:
    # What the other two terms leave is 0 or the healthy reward, up to the rounding to float32.
    healthy = step.options["healthy_reward"]
    rest = step.reward - _forward(step) - _control(step)
    return np.where(np.abs(rest) < np.abs(rest - healthy), 0.0, healthy)


def _height(start: float, index: int) -> Callable[[Step], np.ndarray]:
    """Return the height above the start; ``index`` is that of z among the positions."""
    return lambda step: step.observation[:, index] - start


def _x(step: Step) -> np.ndarray:
    return step.observation[:, 0].copy()


def _y(step: Step) -> np.ndarray:
    return step.observation[:, 1].copy()


def _distance(step: Step) -> np.ndarray:
    return np.hypot(step.observation[:, 0], step.observation[:, 1])


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_COMMON = _same("frame_skip", "reset_noise_scale")
_RUNNER = _COMMON | _same("forward_reward_weight", "ctrl_cost_weight")
_HEALTH = _same("healthy_reward", "terminate_when_unhealthy") | {"healthy_z_range": "healthy_z"}
# EnvPool reports the position of a body one physics step earlier, or of the centre of mass.
_PLANE: dict[str, str | Callable[[Step], np.ndarray]] = {
    "x_position": _x,
    "y_position": _y,
    "distance_from_origin": _distance,
    "x_velocity": "x_velocity",
    "y_velocity": "y_velocity",
}
_GAIT: dict[str, str | Callable[[Step], np.ndarray]] = {
    "x_position": "x_position",
    "z_distance_from_origin": _height(1.25, 1),
    "x_velocity": "x_velocity",
    "reward_forward": _forward,
    "reward_ctrl": _control,
    "reward_survive": _survive,
}
_TENDONS = ("tendon_length", "tendon_velocity")

POOL_TASKS: dict[str, PoolTask] = {
    "Ant-v5": PoolTask(
        1000,
        _RUNNER
        | _HEALTH
        | {"contact_cost_weight": "contact_cost_weight"}
        | {"contact_force_range": "contact_force"},
        _PLANE | _same("reward_forward", "reward_ctrl", "reward_contact", "reward_survive"),
        hidden=2,
    ),
    "HalfCheetah-v5": PoolTask(
        1000,
        _RUNNER,
        _same("x_position", "x_velocity", "reward_ctrl") | {"reward_forward": "reward_run"},
        hidden=1,
    ),
    "Hopper-v5": PoolTask(
        1000,
        _RUNNER
        | _HEALTH
        | {"healthy_state_range": "healthy_state", "healthy_angle_range": "healthy_angle"},
        _GAIT,
        hidden=1,
    ),
    "Humanoid-v5": PoolTask(
        1000,
        _RUNNER
        | _HEALTH
        | {"contact_cost_weight": "contact_cost_weight"}
        | {"contact_cost_range": "contact_cost"},
        _PLANE
        | {
            "reward_survive": "reward_alive",
            "reward_forward": "reward_linvel",
            "reward_ctrl": "reward_quadctrl",
            "reward_contact": "reward_impact",
        },
        _TENDONS,
        hidden=2,
    ),
    "HumanoidStandup-v5": PoolTask(
        1000,
        _COMMON
        | {
            "uph_cost_weight": "forward_reward_weight",
            "ctrl_cost_weight": "ctrl_cost_weight",
            "impact_cost_weight": "contact_cost_weight",
            "impact_cost_range": "contact_cost",
        },
        {
            "x_position": _x,
            "y_position": _y,
            "z_distance_from_origin": _height(0.105, 2),
            "reward_linup": "reward_linup",
            "reward_quadctrl": "reward_quadctrl",
            "reward_impact": "reward_impact",
        },
        _TENDONS,
        hidden=2,
    ),
    "InvertedDoublePendulum-v5": PoolTask(
        1000,
        _COMMON | _same("healthy_reward"),
        {"reward_survive": lambda step: step.options["healthy_reward"] * ~step.terminated},
        ("distance_penalty", "velocity_penalty"),
    ),
    "InvertedPendulum-v5": PoolTask(
        1000, _COMMON, {"reward_survive": lambda step: (~step.terminated).astype(np.int64)}
    ),
    "Pusher-v5": PoolTask(
        100,
        {
            "frame_skip": "frame_skip",
            "reward_near_weight": "near_cost_weight",
            "reward_dist_weight": "dist_cost_weight",
            "reward_control_weight": "ctrl_cost_weight",
        },
        _same("reward_dist", "reward_ctrl", "reward_near"),
    ),
    "Reacher-v5": PoolTask(
        50,
        {
            "frame_skip": "frame_skip",
            "reward_dist_weight": "dist_cost_weight",
            "reward_control_weight": "ctrl_cost_weight",
        },
        _same("reward_dist", "reward_ctrl"),
    ),
    "Swimmer-v5": PoolTask(
        1000,
        _RUNNER,
        _PLANE | {"reward_forward": "reward_fwd", "reward_ctrl": "reward_ctrl"},
        hidden=2,
    ),
    "Walker2d-v5": PoolTask(
        1000,
        _RUNNER | _HEALTH | {"healthy_angle_range": "healthy_angle"},
        _GAIT,
        hidden=1,
    ),
}
"""Gymnasium's MuJoCo tasks that EnvPool has."""
