"""Sparse MuJoCo tasks: a reward of 1 for reaching a goal or for being fast enough, else 0.

They are the simplest tasks on which reward shaping matters: the simulator, the starting states
and the observations are those of Gymnasium's v5 tasks, and the reward is known exactly.
Importing this module imports MuJoCo; `envs.make` does so when one of the tasks is made.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, final

import numpy as np
from gymnasium import utils
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv
from gymnasium.envs.mujoco.hopper_v5 import HopperEnv

# Gymnasium declares numpy floats for the reward and for everything in info, and returns others too.
StepResult = tuple[np.ndarray, float, bool, bool, dict[str, Any]]

MOVEMENT = {
    "x_position": "x of the torso, m",
    "x_velocity": "mean forward velocity over the step, m/s",
}
SUCCESS = {"is_success": "the goal is reached"}
# What Hopper-v5 puts into the info of a reset.
_HEIGHT = {"z_distance_from_origin": "height of the torso above its starting height, m"}


@final
class HalfCheetahGoalEnv(HalfCheetahEnv):
    """HalfCheetah that has to carry its torso to ``x >= goal``.

    Observation: float64 ``[18]``: all 9 positions, the x position (metres) first, and all 9
    velocities. Action: ``[6]`` in [-1, 1], as in ``HalfCheetah-v5``; one step is 0.1 s, twice that
    of ``HalfCheetah-v5``, unless ``frame_skip`` says otherwise.

    Reward: exactly 1.0 on the step after which ``x >= goal``, which also terminates the episode;
    0.0 on every other step. There is no other termination; ``HalfCheetahGoal-v0`` truncates after
    200 steps (20 s). The undiscounted return of an episode is therefore its success, 0 or 1.

    ``info`` of a step: ``x_position`` (m) and ``x_velocity`` (m/s, mean over the step), floats,
    and ``is_success`` (bool). ``info`` of a reset: ``x_position``.

    Args:
        goal: position of the finish line in metres; finite and positive.
        frame_skip: physics steps of 0.01 s per step.
        **kwargs: passed on to Gymnasium's ``HalfCheetahEnv``. Its reward weights have no effect,
            and ``exclude_current_positions_from_observation`` is always False.

    Raises:
        ValueError: when ``goal`` is not a positive finite number.
    """

    info_keys: ClassVar[dict[str, str]] = {**MOVEMENT, **SUCCESS}

    def __init__(self, goal: float = 5.0, frame_skip: int = 10, **kwargs: Any) -> None:
        self.goal = positive("goal", goal)
        fixed = {"frame_skip": frame_skip, "exclude_current_positions_from_observation": False}
        super().__init__(**{**kwargs, **fixed})
        utils.EzPickle.__init__(self, goal=goal, frame_skip=frame_skip, **kwargs)

    def step(self, action: np.ndarray) -> StepResult:  # type: ignore[override]
        """Advance one step; see the class for the reward, the end of an episode and ``info``."""
        observation, _, _, _, dense = super().step(action)
        return observation, *_goal_outcome(dense, self.goal)


@final
class HopperGoalEnv(HopperEnv):
    """Hopper that has to carry its torso to ``x >= goal`` without falling.

    Observation: float64 ``[12]``: all 6 positions, the x position (metres) first, and all 6
    velocities, clipped to [-10, 10]. Action: ``[3]`` in [-1, 1]; one step is 0.008 s.

    Reward: exactly 1.0 on the step after which ``x >= goal``, which terminates the episode; 0.0 on
    every other step. Falling (the unhealthy states of ``Hopper-v5``) terminates too, with reward
    0.0 and ``is_success`` False; a hopper that crosses the line while falling has succeeded.
    ``HopperGoal-v0`` truncates after 300 steps (2.4 s).

    ``info`` of a step: ``x_position`` (m) and ``x_velocity`` (m/s, mean over the step), floats,
    and ``is_success`` (bool). ``info`` of a reset: that of ``Hopper-v5``.

    Args:
        goal: position of the finish line in metres; finite and positive.
        **kwargs: passed on to Gymnasium's ``HopperEnv``. Its reward weights have no effect, and
            ``exclude_current_positions_from_observation`` is always False.

    Raises:
        ValueError: when ``goal`` is not a positive finite number.
    """

    info_keys: ClassVar[dict[str, str]] = {**MOVEMENT, **SUCCESS, **_HEIGHT}

    def __init__(self, goal: float = 1.0, **kwargs: Any) -> None:
        self.goal = positive("goal", goal)
        super().__init__(**{**kwargs, "exclude_current_positions_from_observation": False})
        utils.EzPickle.__init__(self, goal=goal, **kwargs)

    def step(self, action: np.ndarray) -> StepResult:  # type: ignore[override]
        """Advance 0.008 s; see the class for the reward, the end of an episode and ``info``."""
        observation, _, fallen, _, dense = super().step(action)
        reward, reached, truncated, info = _goal_outcome(dense, self.goal)
        return observation, reward, reached or fallen, truncated, info


@final
class HalfCheetahSparseEnv(HalfCheetahEnv):
    """HalfCheetah that is rewarded only while it runs faster than a threshold.

    Observation: float64 ``[17]`` and action ``[6]``, both as in ``HalfCheetah-v5``.

    Reward: exactly 1.0 on a step whose mean forward velocity exceeds ``threshold`` (m/s, strictly),
    else 0.0. The episode never terminates; ``HalfCheetahSparse-v0`` truncates after 1000 steps, so
    its return is the number of fast steps, between 0 and 1000.

    ``info`` of a step: ``x_position`` (m) and ``x_velocity`` (m/s, mean over the step). ``info`` of
    a reset: ``x_position``.

    Args:
        threshold: velocity in m/s above which a step is rewarded; finite and positive.
        **kwargs: passed on to Gymnasium's ``HalfCheetahEnv``. Its reward weights have no effect.

    Raises:
        ValueError: when ``threshold`` is not a positive finite number.
    """

    info_keys: ClassVar[dict[str, str]] = MOVEMENT

    def __init__(self, threshold: float = 1.0, **kwargs: Any) -> None:
        self.threshold = positive("threshold", threshold)
        super().__init__(**kwargs)
        utils.EzPickle.__init__(self, threshold=threshold, **kwargs)

    def step(self, action: np.ndarray) -> StepResult:  # type: ignore[override]
        """Advance 0.05 s; see the class for the reward, the end of an episode and ``info``."""
        observation, _, _, _, dense = super().step(action)
        info = {name: dense[name] for name in MOVEMENT}
        return observation, float(dense["x_velocity"] > self.threshold), False, False, info


@final
class HopperSparseEnv(HopperEnv):
    """Hopper that is rewarded only while it moves faster than a threshold without falling.

    Observation: float64 ``[11]`` and action ``[3]``, both as in ``Hopper-v5``; one step is 0.008 s.

    Reward: exactly 1.0 on a step whose mean forward velocity exceeds ``threshold`` (m/s, strictly)
    and after which the hopper has not fallen (``is_healthy`` of ``Hopper-v5``), else 0.0. Falling
    terminates; ``HopperSparse-v0`` truncates after 1000 steps, so its return is the number of fast
    steps, between 0 and 1000. Standing still pays nothing, unlike in ``Hopper-v5``.

    ``info`` of a step: ``x_position`` (m) and ``x_velocity`` (m/s, mean over the step). ``info`` of
    a reset: that of ``Hopper-v5``.

    Args:
        threshold: velocity in m/s above which a step is rewarded; finite and positive.
        **kwargs: passed on to Gymnasium's ``HopperEnv``. Its reward weights have no effect.

    Raises:
        ValueError: when ``threshold`` is not a positive finite number.
    """

    info_keys: ClassVar[dict[str, str]] = {**MOVEMENT, **_HEIGHT}

    def __init__(self, threshold: float = 1.0, **kwargs: Any) -> None:
        self.threshold = positive("threshold", threshold)
        super().__init__(**kwargs)
        utils.EzPickle.__init__(self, threshold=threshold, **kwargs)

    def step(self, action: np.ndarray) -> StepResult:  # type: ignore[override]
        """Advance 0.008 s; see the class for the reward, the end of an episode and ``info``."""
        observation, _, fallen, _, dense = super().step(action)
        info = {name: dense[name] for name in MOVEMENT}
        reward = float(dense["x_velocity"] > self.threshold and self.is_healthy)
        return observation, reward, fallen, False, info


def _goal_outcome(dense: dict[str, Any], goal: float) -> tuple[float, bool, bool, dict[str, Any]]:
    """Turn the dense task's info into ``(reward, terminated, truncated, info)``."""
    reached = bool(dense["x_position"] >= goal)
    info = {**{name: dense[name] for name in MOVEMENT}, "is_success": reached}
    return float(reached), reached, False, info


def positive(name: str, value: float) -> float:
    """Return ``value`` as a float, or raise when it is not positive and finite."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a positive finite number of SI units, got {value!r}.")
    return float(value)
