"""Exact saving and restoring of an environment's state, as plain numbers and arrays.

A snapshot covers the simulation, the random number generators, the attributes of the environment
and the counters of its wrappers. After `restore` the environment continues bit for bit as the
saved one would have: observations, rewards and infos, across resets.

Supported are environments whose whole state is either a MuJoCo simulation or plain attributes
(numbers, strings, tuples of them, arrays), which includes classic control, inside the wrappers of
`gymnasium.make` and the `Monitor` of Stable-Baselines3. Anything else is refused rather than saved
in part.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np

from envs.errors import SnapshotError
from envs.mujoco.state import has_simulation, set_simulation_state, simulation_state

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
    tree: dict[str, Any] = {
        "environment": _class_name(base),
        "wrappers": [
            {"wrapper": type(wrapper).__name__, **_wrapper_state(wrapper)}
            for wrapper in _wrappers(env)
        ],
        "attributes": {name: _encode(value) for name, value in _state_attributes(base)},
        "rng": _rng_state(base),
        "action_rng": _rng_state(env.action_space),
    }
    if has_simulation(base):
        tree["simulation"] = simulation_state(base)
    return tree


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
    if expected != found or ("simulation" in tree) != has_simulation(base):
        raise SnapshotError(
            f"The snapshot is of {' in '.join(expected)}, the environment is {' in '.join(found)}."
        )
    if "simulation" in tree:
        set_simulation_state(base, tree["simulation"])
    for wrapper, state in zip(_wrappers(env), tree["wrappers"], strict=True):
        _set_wrapper_state(wrapper, state)
    for name, value in tree["attributes"].items():
        setattr(base, name, _decode(value))
    _set_rng_state(base, tree["rng"])
    _set_rng_state(env.action_space, tree["action_rng"])


def _wrappers(env: gymnasium.Env) -> Iterator[gymnasium.Wrapper]:
    """Yield the wrappers of ``env``, innermost first."""
    stack = []
    while isinstance(env, gymnasium.Wrapper):
        stack.append(env)
        env = env.env
    yield from reversed(stack)


def _wrapper_key(wrapper: gymnasium.Wrapper) -> tuple[str, str]:
    return type(wrapper).__module__.partition(".")[0], type(wrapper).__name__


def _class_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _obstacle(env: gymnasium.Env) -> str | None:
    """Return why the state of ``env`` is not fully known, or None when it is."""
    for wrapper in _wrappers(env):
        if _wrapper_key(wrapper) not in _WRAPPERS:
            return f"the state of the wrapper {_class_name(wrapper)} is not known"
    base = env.unwrapped
    for name, value in vars(base).items():
        constant = name in _CONSTANT or isinstance(value, gymnasium.Space)
        simulation = name in ("model", "data") and has_simulation(base)
        if not (constant or simulation or _is_plain(value)):
            return f"its attribute {name!r} is a {type(value).__name__}, whose state is not known"
    return None


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(_is_plain(item) for item in value)
    return isinstance(value, _PLAIN) and getattr(value, "dtype", None) != np.dtype(object)


def _state_attributes(base: gymnasium.Env) -> Iterator[tuple[str, Any]]:
    for name, value in vars(base).items():
        if name not in _CONSTANT and _is_plain(value):
            yield name, value


def _wrapper_state(wrapper: gymnasium.Wrapper) -> dict[str, Any]:
    state = {name: getattr(wrapper, name) for name in _WRAPPERS[_wrapper_key(wrapper)]}
    for name, value in state.items():
        # Lists of a number per step or episode are long: an array is what a file stores well.
        state[name] = np.asarray(value) if isinstance(value, list) else _copy_dict(value)
    if hasattr(wrapper, "t_start"):
        state["elapsed_seconds"] = time.time() - wrapper.t_start
    return state


def _set_wrapper_state(wrapper: gymnasium.Wrapper, state: dict[str, Any]) -> None:
    for name in _WRAPPERS[_wrapper_key(wrapper)]:
        value = state[name]
        listed = isinstance(value, np.ndarray)
        setattr(wrapper, name, value.tolist() if listed else _copy_dict(value))
    if "elapsed_seconds" in state:
        wrapper.t_start = time.time() - state["elapsed_seconds"]  # type: ignore[attr-defined]


def _copy_dict(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else value


def _encode(value: Any) -> Any:
    """Return ``value`` without tuples and numpy scalars, which files of numbers do not have."""
    if isinstance(value, tuple):
        return {"tuple": [_encode(item) for item in value]}
    if isinstance(value, list):
        return [_encode(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.copy()
    # np.float64 is a subclass of float; as an array it keeps its type.
    return np.asarray(value) if isinstance(value, np.generic) else value


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple(_decode(item) for item in value["tuple"])
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
