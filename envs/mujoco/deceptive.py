"""A cheetah between a large reward far ahead and a small one close behind."""

from __future__ import annotations

from typing import Any, ClassVar, final

import numpy as np
from gymnasium import utils
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv

from envs.mujoco.sparse_goal import MOVEMENT, SUCCESS, StepResult, positive


@final
class HalfCheetahLureEnv(HalfCheetahEnv):
    """HalfCheetah that is paid 1 for running far ahead, and little for a short way back.

    Observation, action and time step are those of ``HalfCheetahGoal-v0``: float64 ``[18]``, the x
    position (metres) first; ``[6]``; 0.1 s.

    Reward: exactly 1.0 on the step after which ``x >= goal``, ``lure_reward`` on the step after
    which ``x <= -lure``, 0.0 on every other step. Both terminate the episode, and nothing else
    does; ``HalfCheetahLure-v0`` truncates after 200 steps (20 s). The undiscounted return is 1.0,
    ``lure_reward`` or 0.0.

    The local optimum: a policy that ends every episode at the lure earns ``lure_reward``. Every
    small change of it that reaches the lure less often earns less, because the goal is five times
    as far and pays nothing on the way. With the defaults and a discount of 0.99 the lure reached
    after 10 steps is worth 0.09, and the goal is worth more whenever it is reached within 239
    steps: always, given the time limit.

    ``info`` of a step: ``x_position`` (m), ``x_velocity`` (m/s, mean over the step), ``is_success``
    (bool, the goal) and ``is_lured`` (bool, the lure). ``info`` of a reset: ``x_position``.

    Args:
        goal: position of the goal in metres; finite and positive.
        lure: distance of the lure behind the origin in metres; finite and positive, more than the
            0.1 m of noise of the starting position.
        lure_reward: what the lure pays, between 0 and 1.
        frame_skip: physics steps of 0.01 s per step.
        **kwargs: passed on to Gymnasium's ``HalfCheetahEnv``. Its reward weights have no effect,
            and ``exclude_current_positions_from_observation`` is always False.

    Raises:
        ValueError: when an argument is out of its range.
    """

    info_keys: ClassVar[dict[str, str]] = {**MOVEMENT, **SUCCESS, "is_lured": "the lure is reached"}

    def __init__(
        self,
        goal: float = 5.0,
        lure: float = 1.0,
        lure_reward: float = 0.1,
        frame_skip: int = 10,
        **kwargs: Any,
    ) -> None:
        self.goal = positive("goal", goal)
        self.lure = positive("lure", lure)
        if not 0 < lure_reward < 1:
            raise ValueError(f"lure_reward must be between 0 and 1, got {lure_reward!r}.")
        self.lure_reward = float(lure_reward)
        fixed = {"frame_skip": frame_skip, "exclude_current_positions_from_observation": False}
        super().__init__(**{**kwargs, **fixed})
        utils.EzPickle.__init__(self, goal, lure, lure_reward, frame_skip, **kwargs)

    def step(self, action: np.ndarray) -> StepResult:  # type: ignore[override]
        """Advance one step; see the class for the reward, the end of an episode and ``info``."""
        observation, _, _, _, dense = super().step(action)
        reached = bool(dense["x_position"] >= self.goal)
        lured = bool(dense["x_position"] <= -self.lure)
        info = {name: dense[name] for name in MOVEMENT}
        info |= {"is_success": reached, "is_lured": lured}
        reward = 1.0 if reached else self.lure_reward * lured
        return observation, reward, reached or lured, False, info
