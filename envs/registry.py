"""Environments by name.

Every simulator lists its tasks in its own ``tasks.py``; any other id registered with gymnasium
works as well. Ours are added to gymnasium's registry by entry point: a simulator is imported only
when one of its environments is made.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import gymnasium
from gymnasium.envs.registration import WrapperSpec, load_env_creator
from gymnasium.vector import VectorEnv

from envs.actions import CheckAction
from envs.atari import tasks as atari
from envs.classic import tasks as classic
from envs.errors import EnvironmentNameError, MissingSimulatorError, VectorizationError
from envs.mujoco import tasks as mujoco
from envs.nethack import tasks as nethack
from envs.rocket_league import tasks as rocket_league
from envs.tasks import Family, Task
from envs.text.tasks import FAMILIES as TEXT_FAMILIES
from envs.worlds import tasks as worlds

FAMILIES: tuple[Family, ...] = (
    mujoco.FAMILY,
    nethack.FAMILY,
    rocket_league.FAMILY,
    atari.FAMILY,
    worlds.FAMILY,
    classic.FAMILY,
)
_LISTED: dict[str, tuple[Family, Task]] = {
    task.name: (family, task) for family in FAMILIES for task in family.tasks
}


def register() -> None:
    """Add our own tasks to gymnasium's registry; a second call changes nothing.

    An entry of another package under the same id (minihack's, once it was imported) gives way.
    """
    for _, task in _LISTED.values():
        spec = gymnasium.registry.get(task.name)
        if task.entry_point is not None and (spec is None or spec.entry_point != task.entry_point):
            gymnasium.registry.pop(task.name, None)  # gymnasium warns about an entry it replaces
            gymnasium.register(
                task.name,
                entry_point=task.entry_point,
                vector_entry_point=task.vector_entry_point,
                max_episode_steps=task.max_episode_steps,
                kwargs=dict(task.options),
                additional_wrappers=tuple(
                    WrapperSpec(path.rpartition(":")[2], path, {}) for path in task.wrappers
                ),
            )


def names() -> list[str]:
    """Return the sorted names of all listed tasks, whether their simulator is installed or not.

    `make` accepts every other id registered with gymnasium as well.
    """
    return sorted(_LISTED)


def make(name: str, **kwargs: Any) -> gymnasium.Env:
    """Make the environment called ``name``, with gymnasium's usual wrappers around it.

    Args:
        name: an exact id such as ``"HalfCheetah-v5"``, or ``"package.module:Id-v0"`` for an
            environment that ``package.module`` registers when it is imported.
        **kwargs: passed to `gymnasium.make`, and from there to the environment.

    Returns:
        The environment inside ``PassiveEnvChecker``, ``OrderEnforcing``, ``TimeLimit`` (where the
        task has a limit) and, outermost, `envs.actions.CheckAction`; not yet reset.

    Raises:
        EnvironmentNameError: when no environment has this name.
        MissingSimulatorError: when the package behind the environment is not installed.
    """
    _prepare(name)
    try:
        return CheckAction(gymnasium.make(name, **kwargs))
    except gymnasium.error.DependencyNotInstalled as error:
        raise MissingSimulatorError(name, "MuJoCo", "mujoco") from error


def make_vec(name: str, num_envs: int, **kwargs: Any) -> VectorEnv:
    """Make the natively vectorised form of a task.

    Args:
        name: see `make`.
        num_envs: columns, B; each is one agent.
        **kwargs: options of the environment, ``max_episode_steps`` among them.

    Returns:
        A vector environment that resets ended columns within the same step and gives their true
        final observations as ``infos["final_obs"]``; not yet reset.

    Raises:
        EnvironmentNameError: when no environment has this name.
        MissingSimulatorError: when the package behind the environment is not installed.
        VectorizationError: when the task has no such form, or not with that many columns.
    """
    _prepare(name)
    if gymnasium.spec(name).vector_entry_point is None:
        raise VectorizationError(
            f"{name} has no natively vectorised form. It can still be stepped many at once, with "
            "gymnasium.make_vec or ctrl's in-process vector environment."
        )
    return gymnasium.make_vec(name, num_envs, vectorization_mode="vector_entry_point", **kwargs)


def has_vector(name: str) -> bool:
    """Return whether a listed task has a natively vectorised form (see `make_vec`)."""
    # An id of gymnasium may have one that resets a step late and so loses the final observation.
    return name in _LISTED and _LISTED[name][1].vector_entry_point is not None


def is_self_play(name: str) -> bool:
    """Return whether the columns of the task's vectorised form play against each other."""
    return name in _LISTED and _LISTED[name][1].self_play


def whole_columns(name: str, wanted: int) -> int:
    """Return how many columns to take when ``wanted`` were meant: whole worlds, at least as many.

    One, two or three cars a side play in a match, for example, and each is a column.
    """
    columns = _LISTED[name][1].columns if name in _LISTED else 1
    return -(-wanted // columns) * columns


def options(name: str) -> list[str]:
    """Return the keyword arguments that an environment takes, sorted.

    Args:
        name: an id that is registered: one that `make` accepted, or refused for an option.
    """
    spec = gymnasium.spec(name)
    entry = spec.entry_point
    calls = [load_env_creator(entry) if isinstance(entry, str) else entry]
    if isinstance(simulation := spec.kwargs.get("simulation"), str):
        calls.append(load_env_creator(simulation))
    found = {"max_episode_steps"}
    for call in calls:
        found |= _parameters(call)
    return sorted(found - {"self", "args", "kwargs", "options", "num_envs", *spec.kwargs})


def _parameters(call: Callable[..., Any] | type | None) -> set[str]:
    """Return the named parameters of a function, or of a class and its parents."""
    found: set[str] = set()
    for base in inspect.getmro(call) if isinstance(call, type) else (call,):
        function: Any = vars(base).get("__init__", None) if isinstance(base, type) else base
        if inspect.isfunction(function):
            found.update(inspect.signature(function).parameters)
    return found


def _prepare(name: str) -> None:
    """See to it that ``name`` is registered and its simulator is there, or raise."""
    register()
    family, task = _LISTED.get(name, (None, None))
    if family is None and name not in gymnasium.registry and ":" not in name:
        family, task = _owner(name)
    if family is not None:
        missing = family.missing(task)
        if missing is not None:
            raise MissingSimulatorError(name, missing, family.extra or "all")
        if task is not None and task.registered_by:
            _import(task.registered_by, name, family)
    if ":" not in name and name not in gymnasium.registry:
        error = EnvironmentNameError(name, names(), gymnasium.registry)
        if any(task.name == name for family in TEXT_FAMILIES for task in family.tasks):
            error.args = (
                f"{name} is a text environment, for policies that read and write: make it with "
                "envs.text.make_text.",
            )
        raise error


def _owner(name: str) -> tuple[Family | None, Task | None]:
    """Return the family to which an unlisted id belongs by its prefix."""
    for family in FAMILIES:
        for prefix, module in family.prefixes:
            if name.lower().startswith(prefix):
                return family, Task(name, "", registered_by=module)
    return None, None


def _import(module: str, name: str, family: Family) -> None:
    try:
        # gymnasium-robotics would print its news at every start (they are in docs/mujoco.md).
        importlib.import_module("farama_notifications").notifications.pop(module, None)
        gymnasium.register_envs(importlib.import_module(module))
    except ImportError as error:
        raise MissingSimulatorError(name, module, family.extra or "all") from error
