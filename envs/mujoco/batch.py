"""Choosing the batched form of an environment."""

from __future__ import annotations

from collections.abc import Sequence

import gymnasium

from envs.errors import BatchingError
from envs.mujoco.batched import BatchedTask
from envs.mujoco.batched_goal import (
    BatchedHalfCheetahGoal,
    BatchedHalfCheetahLure,
    BatchedHalfCheetahSparse,
    BatchedHopperGoal,
    BatchedHopperSparse,
)
from envs.mujoco.planar import (
    BatchedHalfCheetah,
    BatchedHopper,
    BatchedInvertedPendulum,
    BatchedSwimmer,
    BatchedWalker2d,
)
from envs.mujoco.spatial import BatchedAnt, BatchedHumanoid

_TASKS: tuple[type[BatchedTask], ...] = (
    BatchedAnt,
    BatchedHalfCheetah,
    BatchedHalfCheetahGoal,
    BatchedHalfCheetahLure,
    BatchedHalfCheetahSparse,
    BatchedHopper,
    BatchedHopperGoal,
    BatchedHopperSparse,
    BatchedHumanoid,
    BatchedInvertedPendulum,
    BatchedSwimmer,
    BatchedWalker2d,
)


def batch(envs: Sequence[gymnasium.Env], threads: int = 1) -> BatchedTask:
    """Return the batched form of copies of one MuJoCo task.

    Args:
        envs: B environments as `envs.make` returns them, made with equal arguments; they need not
            have been reset.
        threads: how many threads step, including the caller; at least 1.

    Returns:
        The batch. It steps the very environments given, which keep their other abilities.

    Raises:
        BatchingError: when there is no batched form of this task, when a wrapper has to see every
            step, or when the environments differ in their arguments. Step them one by one then.
        ValueError: when ``envs`` is empty or ``threads`` is less than 1.
    """
    if not envs:
        raise ValueError("A batch needs at least one environment.")
    found = type(envs[0].unwrapped)
    for task in _TASKS:
        if task.environment is found:
            return task(envs, threads)
    known = ", ".join(sorted(task.environment.__name__ for task in _TASKS))
    raise BatchingError(f"There is no batched form of {found.__name__}, only of: {known}.")
