"""The full state of a MuJoCo simulation as plain arrays.

MuJoCo's integration state (time, positions, velocities, controls, warm start ...) determines the
next physics step. It does not determine what an environment reads *before* that step: after
``mj_step`` the derived quantities (body positions, contact forces ...) belong to the instant
before the last integration, and ``Ant-v5`` takes its velocity from them. Recomputing them would
give other numbers, so they are saved too.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np

from envs.errors import SnapshotError


def has_simulation(env: Any) -> bool:
    """Return whether ``env`` (unwrapped) holds a MuJoCo ``model`` and ``data``."""
    mujoco = sys.modules.get("mujoco")
    return (
        mujoco is not None
        and isinstance(getattr(env, "model", None), mujoco.MjModel)
        and isinstance(getattr(env, "data", None), mujoco.MjData)
    )


def simulation_state(env: Any) -> dict[str, Any]:
    """Return copies of the integration state and of every quantity of fixed size.

    The numbers of the model are saved too, because some tasks change them at every reset (the
    place where a maze shows its target, the height of Adroit's nail board). Contacts and constraint
    rows, whose number changes from step to step, are left out: MuJoCo recomputes them in the next
    step, and no task reads them before it. So are integer arrays: they are indices of the solver,
    partly never written.

    Args:
        env: an environment for which `has_simulation` is true.

    Returns:
        ``{"integration": float64 [n], "derived": {name: array}, "model": {name: array}}``.
    """
    mujoco = _bindings()
    spec = mujoco.mjtState.mjSTATE_INTEGRATION
    integration = np.empty(mujoco.mj_stateSize(env.model, spec))
    mujoco.mj_getState(env.model, env.data, integration, spec)
    derived = {name: np.copy(getattr(env.data, name)) for name in _quantities(env.model)}
    model = {name: np.copy(getattr(env.model, name)) for name in _parameters(env.model)}
    return {"integration": integration, "derived": derived, "model": model}


def set_simulation_state(env: Any, state: dict[str, Any]) -> None:
    """Put back what `simulation_state` returned.

    Args:
        env: an environment for which `has_simulation` is true, of the model that was saved.
        state: what `simulation_state` returned.

    Raises:
        SnapshotError: when the arrays do not have the sizes of this model.
    """
    mujoco = _bindings()
    spec = mujoco.mjtState.mjSTATE_INTEGRATION
    size = mujoco.mj_stateSize(env.model, spec)
    integration = np.asarray(state["integration"], dtype=np.float64)
    saved = {**state["model"], **state["derived"]}
    targets = {name: getattr(env.model, name) for name in _parameters(env.model)}
    targets |= {name: getattr(env.data, name) for name in _quantities(env.model)}
    if integration.shape != (size,) or set(targets) != set(saved):
        raise SnapshotError(
            f"The saved simulation has {integration.shape[0]} state numbers and "
            f"{len(saved)} arrays, this model has {size} and {len(targets)}: it was "
            "saved from another model or with another version of MuJoCo."
        )
    for name, target in targets.items():
        if target.shape != np.shape(saved[name]):
            raise SnapshotError(
                f"Saved array {name!r} has shape {np.shape(saved[name])}, "
                f"expected {target.shape}: it was saved from another model."
            )
    mujoco.mj_setState(env.model, env.data, integration, spec)
    for name, target in targets.items():
        target[...] = saved[name]


def is_view(value: Any, env: Any) -> bool:
    """Return whether ``value`` is an array inside the simulation of ``env``, not a copy."""
    if not (isinstance(value, np.ndarray) and has_simulation(env)):
        return False
    state = (env.data.qpos, env.data.qvel, env.data.ctrl)
    return any(np.may_share_memory(value, array) for array in state)


def _quantities(model: Any) -> list[str]:
    """Return the names of the float arrays of ``MjData`` whose size never changes.

    The arrays of varying size live in an arena that is empty in data on which nothing was
    computed yet, so there they have no elements.
    """
    return _float_arrays(_bindings().MjData(model))


def _parameters(model: Any) -> list[str]:
    """Return the names of the float64 arrays of ``MjModel``, but for the megabytes of its meshes.

    Meshes and their bounding volumes cannot be changed without compiling the model anew.
    """
    return [name for name in _float_arrays(model) if not name.startswith(("bvh_", "mesh_", "oct_"))]


def _float_arrays(owner: Any) -> list[str]:
    return [
        name
        for name in dir(owner)
        if not name.startswith("_")
        and isinstance(value := getattr(owner, name), np.ndarray)
        and value.dtype == np.float64
        and value.size
    ]


def _bindings() -> Any:
    """Return MuJoCo's Python package, which is compiled and has no type information."""
    return importlib.import_module("mujoco")
