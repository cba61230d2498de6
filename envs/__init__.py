"""Environments: simulators by name, sparse tasks, and exact saving of a simulator's state.

    import envs

    env = envs.make("HalfCheetahGoal-v0", goal=3.0)
    observation, info = env.reset(seed=0)
    saved = envs.snapshot(env)       # plain numbers and arrays
    envs.restore(env, saved)         # continues bit for bit as if nothing had happened

Importing this package imports gymnasium and no simulator, and adds our own tasks to gymnasium's
registry, so that ``gymnasium.make("HalfCheetahGoal-v0")`` works after ``import envs``.
"""

from envs.errors import (
    BatchingError,
    EnvironmentNameError,
    MissingSimulatorError,
    SnapshotError,
)
from envs.registry import make, names, register
from envs.snapshot import can_snapshot, restore, snapshot

__all__ = [
    "BatchingError",
    "EnvironmentNameError",
    "MissingSimulatorError",
    "SnapshotError",
    "can_snapshot",
    "make",
    "names",
    "restore",
    "snapshot",
]

register()
