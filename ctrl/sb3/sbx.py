"""The learners of SBX (SB3 in JAX): loading them, and what they cannot do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm

from reward_models.errors import UserError

_THREADS = "NPROC"
"""XLA sizes the thread pool of its CPU client by this environment variable."""
_DISPATCH = "JAX_CPU_ENABLE_ASYNC_DISPATCH"
_ACTIVATIONS: dict[type, str] = {
    torch.nn.Tanh: "tanh",
    torch.nn.ReLU: "relu",
    torch.nn.ELU: "elu",
    torch.nn.GELU: "gelu",
    torch.nn.SiLU: "silu",
}


def is_sbx(algorithm: type) -> bool:
    """Whether a learner's class is one of SBX, or derived from one; imports nothing."""
    return any(base.__module__.partition(".")[0] == "sbx" for base in algorithm.__mro__)


def load_sbx(name: str) -> type[BaseAlgorithm]:
    """Import a learner of SBX.

    The first call in a process also starts JAX on the CPU with as many threads as torch has at
    that moment (1 by default in ctrl), because JAX fixes the number when it starts. With one
    thread, programs run where they are called instead of being handed over, which changes no
    number and saves the wait. What the user set (``NPROC``, ``JAX_CPU_ENABLE_ASYNC_DISPATCH``), or
    a JAX that already runs, is left as it is.

    Args:
        name: the class, such as ``SAC``.

    Raises:
        UserError: SBX or JAX is not installed, with the command that installs them.
    """
    try:
        _start_jax()
        # By its sub-package: a file of the user's that happens to be called sbx.py has none.
        return getattr(import_module(f"sbx.{name.lower()}"), name)
    except ImportError as error:
        raise UserError(
            f"The learners sbx_* need SBX and JAX, and they cannot be imported ({error}). "
            "Install them with: pip install 'ctrl[sbx]'; or take the learner of the same name "
            "without sbx_."
        ) from error


def _start_jax() -> None:
    jax = import_module("jax")
    threads = torch.get_num_threads()
    if threads == 1 and _DISPATCH not in os.environ:
        jax.config.update(_DISPATCH.lower(), False)
    given = _THREADS in os.environ
    if not given:
        os.environ[_THREADS] = str(threads)
    try:
        jax.devices("cpu")
    finally:
        # Programs that are started from here choose for themselves.
        if not given:
            del os.environ[_THREADS]


def sbx_settings(
    algorithm: type[BaseAlgorithm],
    policy: str | type,
    options: Mapping[str, Any],
    observation_space: spaces.Space,
) -> dict[str, Any]:
    """Return a learner's settings in the form that SBX takes.

    Activation functions given as modules of torch become the functions of flax of the same name.

    Args:
        algorithm: a class of SBX.
        policy: name or class of the policy.
        options: the learner's settings.
        observation_space: of the environment.

    Raises:
        UserError: a policy, observations or a part of torch that SBX has no use for, with the cure.
    """
    name = algorithm.__name__
    known: Mapping[str, type] = algorithm.policy_aliases
    if isinstance(policy, type):
        if not is_sbx(policy):
            raise UserError(
                f"SBX's {name} cannot train {policy.__name__}, a policy of torch. Leave policy "
                "out, or take the learner without sbx_."
            )
    elif policy not in known:
        raise UserError(
            f"SBX's {name} has no {policy}, which these observations need "
            f"({type(observation_space).__name__}); it has {', '.join(known)}. Take the learner "
            "without sbx_."
        )
    # Its dict policies put the entries side by side, and its other ones read numbers as they are.
    nested = isinstance(observation_space, spaces.Dict)
    parts = observation_space.spaces if isinstance(observation_space, spaces.Dict) else {}
    readable = (
        all(isinstance(part, spaces.Box) and len(part.shape) == 1 for part in parts.values())
        if nested
        else isinstance(observation_space, spaces.Box)
    )
    if not readable:
        raise UserError(
            f"SBX's {name} reads boxes, and dicts of vectors; these observations are "
            f"{observation_space}. Take the learner without sbx_."
        )
    settings = dict(options)
    if settings.get("policy_kwargs"):
        settings["policy_kwargs"] = _policy_settings(name, settings["policy_kwargs"])
    return settings


def _policy_settings(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    settings = dict(given)
    activation = settings.get("activation_fn")
    if activation in _ACTIVATIONS:
        settings["activation_fn"] = getattr(import_module("flax.linen"), _ACTIVATIONS[activation])
    for key, value in settings.items():
        if isinstance(value, type) and issubclass(value, torch.nn.Module | torch.optim.Optimizer):
            raise UserError(
                f"policy_kwargs.{key}={value.__name__} is a part of torch; SBX's {name} builds its "
                "networks with flax. Leave it out, or take the learner without sbx_."
            )
    return settings
