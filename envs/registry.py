"""Environments by name.

Any id registered with gymnasium works. This module adds the project's own tasks to gymnasium's
registry under their names, by entry point: a simulator is imported only when one of its
environments is made.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import gymnasium

from envs.errors import EnvironmentNameError, MissingSimulatorError


@dataclass(frozen=True)
class _Task:
    """One of our own tasks: where its class is, and its time limit in steps."""

    entry_point: str
    max_episode_steps: int


@dataclass(frozen=True)
class _OptionalPackage:
    """A package that registers its own environments when it is imported."""

    module: str
    extra: str
    prefixes: tuple[str, ...]

    def owns(self, name: str) -> bool:
        return name.lower().startswith(self.prefixes)


_OWN = {
    "HalfCheetahGoal-v0": _Task("envs.mujoco.sparse_goal:HalfCheetahGoalEnv", 200),
    "HalfCheetahSparse-v0": _Task("envs.mujoco.sparse_goal:HalfCheetahSparseEnv", 1000),
    "HopperGoal-v0": _Task("envs.mujoco.sparse_goal:HopperGoalEnv", 300),
}
_MUJOCO = (
    "Ant-v5",
    "HalfCheetah-v5",
    "Hopper-v5",
    "Humanoid-v5",
    "HumanoidStandup-v5",
    "InvertedDoublePendulum-v5",
    "InvertedPendulum-v5",
    "Pusher-v5",
    "Reacher-v5",
    "Swimmer-v5",
    "Walker2d-v5",
)
_CLASSIC_CONTROL = (
    "Acrobot-v1",
    "CartPole-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Pendulum-v1",
)
# The environments of these packages are valid names, but `names` does not list them: knowing
# them means importing the package and its simulator.
_OPTIONAL = (
    _OptionalPackage(
        module="gymnasium_robotics",
        extra="mujoco",
        prefixes=("adroithand", "antmaze", "fetch", "frankakitchen", "hand", "pointmaze"),
    ),
)


def register() -> None:
    """Add our own tasks to gymnasium's registry; a second call changes nothing."""
    for name, task in _OWN.items():
        if name not in gymnasium.registry:
            gymnasium.register(
                name, entry_point=task.entry_point, max_episode_steps=task.max_episode_steps
            )


def names() -> list[str]:
    """Return the sorted names of the MuJoCo v5 tasks, of classic control, and of our own tasks.

    `make` accepts every other id registered with gymnasium as well, and those of
    gymnasium-robotics (for example ``FetchReach-v4``) where that package is installed.
    """
    return sorted([*_MUJOCO, *_CLASSIC_CONTROL, *_OWN])


def make(name: str, **kwargs: Any) -> gymnasium.Env:
    """Make the environment called ``name``, with gymnasium's usual wrappers around it.

    Args:
        name: an exact id such as ``"HalfCheetah-v5"``, or ``"package.module:Id-v0"`` for an
            environment that ``package.module`` registers when it is imported.
        **kwargs: passed to `gymnasium.make`, and from there to the environment.

    Returns:
        The environment inside ``TimeLimit`` (where the task has a limit), ``OrderEnforcing`` and
        ``PassiveEnvChecker``; not yet reset.

    Raises:
        EnvironmentNameError: when no environment has this name.
        MissingSimulatorError: when the package behind the environment is not installed.
    """
    register()
    if ":" not in name and name not in gymnasium.registry:
        _import_owner(name)
    try:
        return gymnasium.make(name, **kwargs)
    except gymnasium.error.DependencyNotInstalled as error:
        raise MissingSimulatorError(name, "MuJoCo", "mujoco") from error


def _import_owner(name: str) -> None:
    """Import the optional package that registers ``name``, or raise."""
    for package in _OPTIONAL:
        if not package.owns(name):
            continue
        try:
            gymnasium.register_envs(importlib.import_module(package.module))
        except ImportError as error:
            raise MissingSimulatorError(name, package.module, package.extra) from error
    if name not in gymnasium.registry:
        raise EnvironmentNameError(name, names(), gymnasium.registry)
