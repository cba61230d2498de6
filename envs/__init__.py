"""Environments: simulators by name, small worlds, exact saving, and a checker for all of them.

    import envs

    env = envs.make("HalfCheetahGoal-v0", goal=3.0)
    observation, info = env.reset(seed=0)
    saved = envs.snapshot(env)       # plain numbers and arrays
    envs.restore(env, saved)         # continues bit for bit as if nothing had happened

Importing this package imports gymnasium and no simulator, and adds our own tasks to gymnasium's
registry, so that ``gymnasium.make("HalfCheetahGoal-v0")`` works after ``import envs``.
"""

from envs.check import check_env
from envs.errors import (
    ActionError,
    BatchingError,
    EnvironmentNameError,
    MissingSimulatorError,
    SnapshotError,
    VectorizationError,
)
from envs.registry import (
    has_vector,
    is_self_play,
    make,
    make_vec,
    names,
    options,
    register,
    whole_columns,
)
from envs.snapshot import can_snapshot, restore, snapshot

__all__ = [
    "ActionError",
    "BatchingError",
    "EnvironmentNameError",
    "MissingSimulatorError",
    "SnapshotError",
    "VectorizationError",
    "can_snapshot",
    "check_env",
    "has_vector",
    "is_self_play",
    "make",
    "make_vec",
    "names",
    "options",
    "restore",
    "snapshot",
    "whole_columns",
]

register()
