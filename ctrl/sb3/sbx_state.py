"""The state of an SBX learner as plain arrays: networks, optimisers and random keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from reward_models.errors import UserError

_KEYS = ("key", "noise_key")
_WEIGHTS = ("params", "target_params", "batch_stats")


def network_state(model: Any) -> dict[str, np.ndarray]:
    """Return the weights of all networks of the policy, targets and batch statistics included.

    Args:
        model: a learner of SBX.

    Returns:
        Arrays by name, such as ``actor_state/params/params/Dense_0/kernel``.
    """
    found: dict[str, np.ndarray] = {}
    for name, state in _train_states(model.policy):
        found.update(_flat({name: _fields(state, weights=True)}))
    return found


def restore_networks(model: Any, tree: Mapping[str, np.ndarray]) -> None:
    """Restore ``network_state``.

    Raises:
        UserError: the networks have another architecture than those of the state.
    """
    states = dict(_train_states(model.policy))
    fields = {name: _fields(state, weights=True) for name, state in states.items()}
    for name, values in _filled(fields, tree).items():
        setattr(model.policy, name, states[name].replace(**values))


def optimizer_state(model: Any) -> dict[str, Any]:
    """Return what training needs beyond ``network_state``.

    That is the optimisers with their step counts, the entropy coefficient, the random keys, and
    the learning rate that PPO adapts to a given divergence.
    """
    keys = {
        f"{place}/{name}": np.array(getattr(holder, name)).tolist()
        for place, holder in (("policy", model.policy), ("model", model))
        for name in _KEYS
        if hasattr(holder, name)
    }
    return {"states": _flat(_training_fields(model)), "keys": keys, "rate": _adapted_rate(model)}


def restore_optimizers(model: Any, tree: Mapping[str, Any]) -> None:
    """Restore ``optimizer_state``.

    Raises:
        UserError: the optimisers are of another kind than those of the state.
    """
    import jax.numpy as jnp

    holders = {"policy": model.policy, "model": model}
    for place, fields in _filled(_training_fields(model), tree["states"]).items():
        for name, values in fields.items():
            holder = holders[place]
            setattr(holder, name, getattr(holder, name).replace(**values))
    for path, key in tree["keys"].items():
        place, _, name = path.partition("/")
        setattr(holders[place], name, jnp.array(key, dtype=jnp.uint32))
    if tree["rate"] is not None:
        model.adaptive_lr.current_adaptive_lr = tree["rate"]


def _adapted_rate(model: Any) -> float | None:
    adapted = getattr(model, "adaptive_lr", None)
    return None if adapted is None else float(adapted.current_adaptive_lr)


def _train_states(holder: Any) -> Iterator[tuple[str, Any]]:
    from flax.training.train_state import TrainState

    for name, value in sorted(vars(holder).items()):
        if isinstance(value, TrainState):
            yield name, value


def _fields(state: Any, *, weights: bool) -> dict[str, Any]:
    """Return the fields of a train state that are networks, or those that are not."""
    names = _WEIGHTS if weights else ("step", "opt_state")
    return {name: getattr(state, name) for name in names if hasattr(state, name)}


def _training_fields(model: Any) -> dict[str, Any]:
    """Return optimisers of the policy's networks, and all of what the learner holds itself."""
    own = dict(_train_states(model))
    return {
        "policy": {n: _fields(s, weights=False) for n, s in _train_states(model.policy)},
        "model": {
            name: {**_fields(state, weights=True), **_fields(state, weights=False)}
            for name, state in own.items()
        },
    }


def _flat(tree: Any) -> dict[str, np.ndarray]:
    """Return the leaves of a tree by their path, in the precision that JAX computes in."""
    import jax

    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {_name(path): np.array(jax.numpy.asarray(leaf)) for path, leaf in leaves}


def _filled(tree: Any, arrays: Mapping[str, Any]) -> Any:
    """Return a tree of the same structure with the leaves that ``_flat`` found in another."""
    import jax

    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    wanted = {_name(path): np.shape(leaf) for path, leaf in leaves}
    found = {name: np.shape(array) for name, array in arrays.items()}
    if wanted != found:
        name = sorted(set(wanted.items()) ^ set(found.items()))[0][0]
        raise UserError(
            "The checkpoint was written by a learner with other networks or optimisers: it has "
            f"{found.get(name, 'nothing')} for {name}, this learner needs "
            f"{wanted.get(name, 'nothing')}. Build the learner with the settings of that run."
        )
    # Copies: JAX may otherwise compute on memory that the file's other entries share.
    return jax.tree_util.tree_unflatten(
        structure, [jax.numpy.array(arrays[name]) for name in wanted]
    )


def _name(path: Any) -> str:
    import jax

    return jax.tree_util.keystr(path, simple=True, separator="/")
