"""How steep the networks of an SBX learner are: the same norms, differentiated by JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm

# JAX compiles for seconds and measures for milliseconds. A learner keeps its policy for good, and
# the program goes with it.
_PROGRAMS: WeakKeyDictionary[Any, Callable[..., Any]] = WeakKeyDictionary()


def sbx_norms(
    model: BaseAlgorithm, observation: Any, action: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the norms that `ctrl.imitation.lipschitz.learner_steepness` averages.

    Networks are taken as they act: CrossQ's batch normalisation by its running statistics, and
    critics without dropout. JAX is imported by the first call, and compiles for each policy once.

    Args:
        model: a learner of SBX.
        observation: ``[N, ...]`` as its networks receive them, or a dict of such.
        action: ``[N, A]`` as its buffer holds them.

    Returns:
        The norms of the gradients of all K critics ``[N, K]``, and of the Jacobian of the
        deterministic action ``[N]``, or None where actions are choices.
    """
    policy: Any = model.policy
    continuous = isinstance(model.action_space, spaces.Box)
    if policy not in _PROGRAMS:
        _PROGRAMS[policy] = _compiled(policy, continuous=continuous)
    states = [getattr(policy, name) for name in _critic_names(policy)]
    inputs = {"observation": _side_by_side(model.observation_space, observation)}
    if continuous and not hasattr(policy, "vf"):
        inputs["action"] = action.astype(np.float32)
    choice = None if continuous else action.reshape(len(action), -1)[:, 0].astype(np.int32)
    critic, actor = _PROGRAMS[policy](
        [_variables(state) for state in states],
        _variables(policy.actor_state) if continuous else None,
        inputs,
        choice,
    )
    return np.asarray(critic), np.asarray(actor) if continuous else None


def _critic_names(policy: Any) -> list[str]:
    """Return where a policy keeps the networks that value: one state for all but TQC."""
    return [
        name for name in ("vf_state", "qf_state", "qf1_state", "qf2_state") if name in vars(policy)
    ]


def _variables(state: Any) -> Any:
    """Return a network's weights as flax's ``apply`` takes them."""
    if hasattr(state, "batch_stats"):
        return {"params": state.params, "batch_stats": state.batch_stats}
    return state.params


def _side_by_side(space: Any, observation: Any) -> np.ndarray:
    """Return observations as floats, the entries of a dict one after the other as SBX does."""
    if not isinstance(observation, dict):
        return np.asarray(observation, dtype=np.float32)
    return np.concatenate([observation[key] for key in space.spaces], axis=1, dtype=np.float32)


def _compiled(policy: Any, *, continuous: bool) -> Callable[..., Any]:
    """Return the program that measures a batch on given weights."""
    import jax
    import jax.numpy as jnp

    values_states = hasattr(policy, "vf")
    network = policy.vf if values_states else policy.qf
    # Copies: the originals hold on to their policy.
    critic = network.clone(**({"dropout_rate": 0.0} if hasattr(network, "dropout_rate") else {}))
    actor: Any = policy.actor.clone() if continuous else None

    def values(inputs: dict[str, Any], states: list[Any], choice: Any) -> Any:
        # By name: JAX sorts the keys of a dict.
        arguments = [inputs[name][None] for name in ("observation", "action") if name in inputs]
        found = [critic.apply(variables, *arguments) for variables in states]
        if not (continuous or values_states):
            return found[0][:, choice]
        # One number for each network: [K, 1, 1] of several in one, [1, Q] of Q quantiles.
        return jnp.concatenate([each.mean(-1).reshape(-1) for each in found])

    def action(inputs: dict[str, Any], variables: Any) -> Any:
        found = actor.apply(variables, inputs["observation"][None])
        return (found.mode() if hasattr(found, "mode") else found).reshape(-1)

    def squares(function: Callable[..., Any], inputs: dict[str, Any], *given: Any) -> Any:
        """Return the squared norm of the gradient of every output of one sample."""
        rows = jax.jacrev(function)(inputs, *given)
        return sum(jnp.square(part).reshape(len(part), -1).sum(1) for part in rows.values())

    def norms(inputs: dict[str, Any], choice: Any, states: list[Any], acting: Any) -> Any:
        critic_norms = jnp.sqrt(squares(values, inputs, states, choice))
        if not continuous:
            return critic_norms, None
        seen = {"observation": inputs["observation"]}
        return critic_norms, jnp.sqrt(squares(action, seen, acting).sum())

    def measure(states: list[Any], acting: Any, inputs: dict[str, Any], choice: Any) -> Any:
        axes = (0, None if choice is None else 0, None, None)
        return jax.vmap(norms, in_axes=axes)(inputs, choice, states, acting)

    return jax.jit(measure)
