"""Exact saving and restoring of an environment's state, as plain numbers and arrays.

A snapshot covers the simulation, the random number generators, the attributes of the environment
and the counters of its wrappers. After `restore` the environment continues bit for bit as the
saved one would have: observations, rewards and infos, across resets.

Supported are environments that save themselves (``snapshot()`` and ``restore(tree)`` of their
class), and those whose whole state is MuJoCo simulations and plain attributes (numbers, strings,
arrays, and tuples, lists, sets and dicts of them), which includes classic control and the tasks of
gymnasium-robotics, whose environments hold another environment. They may be inside the wrappers of
`envs.make` and the `Monitor` of Stable-Baselines3. Anything else is refused rather than saved in
part.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np

from envs.errors import SnapshotError
from envs.mujoco.state import (
    has_simulation,
    is_view,
    set_simulation_state,
    simulation_state,
)

# What each known wrapper keeps from step to step, by class name and the package of the class.
# The package matters only as a guard against another class of the same name.
_WRAPPERS: dict[tuple[str, str], tuple[str, ...]] = {
    ("gymnasium", "TimeLimit"): ("_elapsed_steps",),
    ("gymnasium", "OrderEnforcing"): ("_has_reset",),
    ("gymnasium", "PassiveEnvChecker"): (
        "checked_reset",
        "checked_step",
        "checked_render",
        "close_called",
    ),
    ("gymnasium", "ClipAction"): (),
    ("gymnasium", "RescaleAction"): (),
    ("gymnasium", "FlattenObservation"): (),
    ("envs", "CheckAction"): (),
    ("envs", "EpisodicReturn"): ("_earned",),
    ("envs", "NoisyTV"): ("tv_state",),
    ("stable_baselines3", "Monitor"): (
        "rewards",
        "needs_reset",
        "episode_returns",
        "episode_lengths",
        "episode_times",
        "total_steps",
        "current_reset_info",
    ),
}
# Attributes of an environment that do not change from step to step, or are saved on their own.
_CONSTANT = {
    "_ezpickle_args",
    "_ezpickle_kwargs",
    "_np_random",
    "clock",
    "metadata",
    "mujoco_renderer",
    "observation_structure",
    "screen",
    "spec",
    "surf",
}
# Objects that are tables made once by their environment, by class name and package.
_TABLES = {("gymnasium_robotics", "MujocoModelNames"), ("gymnasium_robotics", "Maze")}
_PLAIN = (bool, int, float, str, type(None), np.ndarray, np.generic)


def can_snapshot(env: gymnasium.Env) -> bool:
    """Return whether `snapshot` supports ``env``."""
    return _obstacle(env) is None


def snapshot(env: gymnasium.Env) -> dict[str, Any]:
    """Return the complete state of ``env``.

    Args:
        env: an environment, usually from `envs.make`; before or after its first reset.

    Returns:
        A nested dict of numpy arrays, ints, floats, bools, strings, None and lists, independent of
        the environment (nothing is shared with it). It can be written as JSON and arrays, without
        pickle. Note that the integers of a random number generator have 128 bits.

    Raises:
        SnapshotError: when the state of the environment is not fully known; the message names the
            wrapper or attribute.
    """
    obstacle = _obstacle(env)
    if obstacle is not None:
        raise SnapshotError(f"Cannot take a snapshot of {env}: {obstacle}.")
    base = env.unwrapped
    return {
        "environment": _class_name(base),
        "wrappers": [
            {"wrapper": type(wrapper).__name__, **_wrapper_state(wrapper)}
            for wrapper in _wrappers(env)
        ],
        "state": _state(base),
        "action_rng": _rng_state(env.action_space),
    }


def restore(env: gymnasium.Env, tree: dict[str, Any]) -> None:
    """Put ``env`` into the state that `snapshot` returned.

    Args:
        env: an environment made like the one that was saved: same class, arguments and wrappers.
            It need not have been reset.
        tree: what `snapshot` returned; it is not changed, and nothing in it is kept.

    Raises:
        SnapshotError: when the environment is not supported, or differs from the saved one.
    """
    obstacle = _obstacle(env)
    if obstacle is not None:
        raise SnapshotError(f"Cannot restore {env}: {obstacle}.")
    base = env.unwrapped
    expected = [tree["environment"], *(state["wrapper"] for state in tree["wrappers"])]
    found = [_class_name(base), *(type(wrapper).__name__ for wrapper in _wrappers(env))]
    if expected != found:
        raise SnapshotError(
            f"The snapshot is of {' in '.join(expected)}, the environment is {' in '.join(found)}."
        )
    _set_state(base, tree["state"])
    for wrapper, state in zip(_wrappers(env), tree["wrappers"], strict=True):
        _set_wrapper_state(wrapper, state)
    _set_rng_state(env.action_space, tree["action_rng"])


def _state(base: gymnasium.Env) -> dict[str, Any]:
    """Return the state of an environment without wrappers, and of the environments it holds."""
    state: dict[str, Any] = {"rng": _rng_state(base)}
    if _saves_itself(base):
        return {**state, "own": base.snapshot()}  # type: ignore[attr-defined]
    state["attributes"] = {name: _encode(value) for name, value in _state_attributes(base)}
    state["parts"] = {name: _state(part) for name, part in _parts(base)}
    if _owns_simulation(base):
        state["simulation"] = simulation_state(base)
    return state


def _set_state(base: gymnasium.Env, state: Mapping[str, Any]) -> None:
    if _saves_itself(base) != ("own" in state) or _owns_simulation(base) != ("simulation" in state):
        raise SnapshotError(f"The snapshot is not of this form of {_class_name(base)}.")
    if "own" in state:
        base.restore(state["own"])  # type: ignore[attr-defined]
    else:
        parts = dict(_parts(base))
        if parts.keys() != state["parts"].keys():
            raise SnapshotError(f"The snapshot is not of this form of {_class_name(base)}.")
        for name, part in parts.items():
            _set_state(part, state["parts"][name])
        if "simulation" in state:
            set_simulation_state(base, state["simulation"])
        for name, value in state["attributes"].items():
            setattr(base, name, _decode(value))
    _set_rng_state(base, state["rng"])


def _saves_itself(base: gymnasium.Env) -> bool:
    return all(callable(getattr(type(base), name, None)) for name in ("snapshot", "restore"))


def _parts(base: gymnasium.Env) -> Iterator[tuple[str, gymnasium.Env]]:
    """Yield the environments that an environment holds, such as the ant of an ant maze."""
    for name, value in vars(base).items():
        if isinstance(value, gymnasium.Env):
            yield name, value


def _owns_simulation(base: Any) -> bool:
    """Return whether ``base`` has a simulation that is not that of an environment it holds."""
    return has_simulation(base) and not any(
        has_simulation(part) and getattr(part, "data", None) is base.data
        for _, part in _parts(base)
    )


def _wrappers(env: gymnasium.Env) -> Iterator[gymnasium.Wrapper]:
    """Yield the wrappers of ``env``, innermost first."""
    stack = []
    while isinstance(env, gymnasium.Wrapper):
        stack.append(env)
        env = env.env
    yield from reversed(stack)


def _class_key(value: object) -> tuple[str, str]:
    return type(value).__module__.partition(".")[0], type(value).__name__


def _class_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _obstacle(env: gymnasium.Env) -> str | None:
    """Return why the state of ``env`` is not fully known, or None when it is."""
    for wrapper in _wrappers(env):
        if _class_key(wrapper) not in _WRAPPERS:
            return f"the state of the wrapper {_class_name(wrapper)} is not known"
    return _attribute_obstacle(env.unwrapped)


def _attribute_obstacle(base: gymnasium.Env) -> str | None:
    if _saves_itself(base):
        return None
    for name, value in vars(base).items():
        if isinstance(value, gymnasium.Env):
            if isinstance(value, gymnasium.Wrapper):
                return f"it holds the wrapped environment {name!r}"
            obstacle = _attribute_obstacle(value)
            if obstacle is not None:
                return f"in its {name!r}, {obstacle}"
            continue
        simulation = name in ("model", "data") and has_simulation(base)
        if not (name in _CONSTANT or simulation or _is_table(value) or _is_plain(value)):
            return f"its attribute {name!r} is a {type(value).__name__}, whose state is not known"
    return None


def _is_table(value: Any) -> bool:
    """Return whether a value never changes: a space, a module, a table made once."""
    if isinstance(value, tuple) and value:
        return all(map(_is_table, value))
    return isinstance(value, (gymnasium.Space, ModuleType)) or _class_key(value) in _TABLES


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, set):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, _PLAIN) and getattr(value, "dtype", None) != np.dtype(object)


def _state_attributes(base: gymnasium.Env) -> Iterator[tuple[str, Any]]:
    for name, value in vars(base).items():
        # A view into the simulation is saved with it, and must go on being one.
        if name not in _CONSTANT and _is_plain(value) and not is_view(value, base):
            yield name, value


def _wrapper_state(wrapper: gymnasium.Wrapper) -> dict[str, Any]:
    state = {name: getattr(wrapper, name) for name in _WRAPPERS[_class_key(wrapper)]}
    for name, value in state.items():
        # Lists of a number per step or episode are long: an array is what a file stores well.
        state[name] = np.asarray(value) if isinstance(value, list) else _copy_dict(value)
    if hasattr(wrapper, "t_start"):
        state["elapsed_seconds"] = time.time() - wrapper.t_start
    return state


def _set_wrapper_state(wrapper: gymnasium.Wrapper, state: dict[str, Any]) -> None:
    for name in _WRAPPERS[_class_key(wrapper)]:
        value = state[name]
        listed = isinstance(value, np.ndarray)
        setattr(wrapper, name, value.tolist() if listed else _copy_dict(value))
    if "elapsed_seconds" in state:
        wrapper.t_start = time.time() - state["elapsed_seconds"]  # type: ignore[attr-defined]


def _copy_dict(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else value


def _encode(value: Any) -> Any:
    """Return ``value`` without tuples, sets and numpy scalars, which files do not have."""
    if isinstance(value, tuple):
        return {"tuple": [_encode(item) for item in value]}
    if isinstance(value, set):
        return {"set": sorted(value)}  # its order is no part of it, and differs between processes
    if isinstance(value, dict):
        return {"dict": {key: _encode(item) for key, item in value.items()}}
    if isinstance(value, list):
        return [_encode(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.copy()
    # np.float64 is a subclass of float; as an array it keeps its type.
    return np.asarray(value) if isinstance(value, np.generic) else value


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        ((kind, items),) = value.items()
        if kind == "dict":
            return {key: _decode(item) for key, item in items.items()}
        return set(items) if kind == "set" else tuple(_decode(item) for item in items)
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.copy() if value.ndim else value[()]
    return value


def _rng_state(owner: Any) -> dict[str, Any] | None:
    """Return the state of the generator of an environment or a space; None before seeding."""
    generator = owner._np_random
    if generator is None:
        return None
    seed = owner._np_random_seed if isinstance(owner, gymnasium.Env) else None
    return {"seed": seed, **generator.bit_generator.state}


def _set_rng_state(owner: Any, state: dict[str, Any] | None) -> None:
    if state is None:
        owner._np_random = None
        return
    state = dict(state)
    seed = state.pop("seed")
    bits = getattr(np.random, state["bit_generator"])(0)
    bits.state = state
    # The generator class is gymnasium's own; numpy's is the same class.
    owner._np_random = np.random.Generator(bits)
    if isinstance(owner, gymnasium.Env):
        owner._np_random_seed = seed
