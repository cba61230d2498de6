"""What a task is: its name, where its classes are, and the package that it needs.

Every simulator has a ``tasks.py`` with one `Family` of rows like these. They are read without
importing a simulator, so that all names can be listed on a machine that has none.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Task:
    """One environment that can be made by name.

    Attributes:
        name: the id, such as ``"HopperGoal-v0"``.
        summary: one line for lists.
        entry_point: ``"module:callable"`` that makes the single environment; None where another
            package registers the id.
        vector_entry_point: ``"module:callable"`` that makes the natively vectorised twin, called
            with ``num_envs`` (columns) and, where there is a limit, ``max_episode_steps``.
        max_episode_steps: time limit in steps; None for none, or where the other package sets it.
        options: keyword arguments that the callables always get.
        registered_by: the module that registers the id when imported, for ids of other packages.
        wrappers: ``"module:Class"`` of wrappers put around the time limit, the innermost first.
        self_play: the columns of the vectorised twin play against each other, whereas the single
            environment plays against its ``opponent``.
        columns: how many columns one world of the vectorised twin has; their number must be a
            multiple of it.
    """

    name: str
    summary: str
    entry_point: str | None = None
    vector_entry_point: str | None = None
    max_episode_steps: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    registered_by: str | None = None
    wrappers: tuple[str, ...] = ()
    self_play: bool = False
    columns: int = 1


def simulated(
    name: str, summary: str, simulation: str, limit: int | None = None, **options: Any
) -> Task:
    """Return the row of a world that is written as an `envs.simulation.BatchedSimulation`.

    Args:
        name: the id.
        summary: one line.
        simulation: ``"module:callable"`` below ``envs.worlds``.
        limit: time limit in steps.
        **options: of the world.
    """
    return Task(
        name,
        summary,
        entry_point="envs.single:SingleEnv",
        vector_entry_point="envs.vector:BatchedVectorEnv",
        max_episode_steps=limit,
        options={"simulation": f"envs.worlds.{simulation}", **options},
    )


@dataclass(frozen=True)
class Family:
    """The tasks of one simulator.

    Attributes:
        name: the sub-package, such as ``"mujoco"``.
        title: for lists and errors, such as ``"MuJoCo"``.
        tasks: the listed tasks.
        extra: the optional dependency group of ``ctrl`` that installs the simulator; None where
            nothing beyond the core is needed.
        modules: import names that must be found for an environment to be made.
        prefixes: pairs of a lower-case prefix and the module that registers ids beginning with it;
            such ids work although they are not listed.
    """

    name: str
    title: str
    tasks: tuple[Task, ...]
    extra: str | None = None
    modules: tuple[str, ...] = ()
    prefixes: tuple[tuple[str, str], ...] = ()

    def missing(self, task: Task | None = None) -> str | None:
        """Return the first package that is needed and not installed, or None.

        Args:
            task: a task of this family; its own package is looked for as well.
        """
        needed = list(self.modules)
        if task is not None and task.registered_by:
            needed.append(task.registered_by)
        return next((module for module in needed if not is_installed(module)), None)


def is_installed(module: str) -> bool:
    """Return whether a top-level module can be found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # blocked: the entry in sys.modules is None or has no spec
        return False
