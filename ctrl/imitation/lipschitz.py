"""How steep a learner's networks are: norms of the gradients of its critic and its policy.

A reward whose gradient is bounded bounds that of its Q function, and a steep Q function is what
off-policy imitation breaks on (Blonde, Strasser and Kalousis 2022). These numbers make that visible
while a policy trains; those of the reward itself are among its model's own metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import TQC, RecurrentPPO
from stable_baselines3 import DDPG, DQN, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import Tensor

from reward_models.errors import UserError

Inputs = dict[str, Tensor]
"""What is differentiated by: the arrays of an observation and, for critics, ``action``."""


def check_measurable(model: BaseAlgorithm) -> None:
    """Refuse learners whose networks cannot be differentiated by what they see.

    Raises:
        UserError: the learner or its observations, with the reason and the cure.
    """
    name, cure = type(model).__name__, "Leave diagnostics.lipschitz out."
    space: Any = model.observation_space
    parts = list(space.spaces.values()) if isinstance(space, spaces.Dict) else [space]
    if not all(isinstance(part, spaces.Box) for part in parts):
        raise UserError(f"The observations {space} are choices without a gradient. {cure}")
    if isinstance(model, RecurrentPPO):
        raise UserError(f"{name} values whole histories, not single observations. {cure}")
    if not isinstance(model, OnPolicyAlgorithm | SAC | TQC | TD3 | DDPG | DQN) and not _in_jax(
        model
    ):
        raise UserError(f"It is not known by which networks {name} values and acts. {cure}")
    critic = getattr(model.policy, "critic", None)
    if getattr(critic, "share_features_extractor", False):
        raise UserError(
            "With share_features_extractor the critic gives no gradient to what it sees. "
            f"Leave it out, or: {cure[0].lower()}{cure[1:]}"
        )


def learner_steepness(
    model: BaseAlgorithm, *, samples: int, generator: np.random.Generator
) -> dict[str, float]:
    """Measure how steep the critic and the policy are on data of the learner.

    The data are stored transitions, drawn evenly from the replay buffer, or the latest rollout of
    an on-policy learner. Observations are as the networks receive them (normalised under
    ``VecNormalize``, pictures before they are divided by 255), actions as well (scaled to [-1, 1]).
    Norms are Euclidean, of a Jacobian Frobenius's. Over all inputs the largest norm is the
    Lipschitz constant of a critic, and at least that of an actor; of a sample it is at most that.

    Args:
        model: for which `check_measurable` passes, with data.
        samples: transitions, drawn with replacement.
        generator: of the draws.

    Returns:
        ``critic`` and ``critic_max``, the mean and largest norm of the critic's gradient: of ``Q``
        with respect to observation and action, mean over its networks (SAC, TQC, TD3, DDPG), of
        ``Q(., a)`` with respect to the observation (DQN), or of the value (on-policy). ``actor``,
        the mean norm of the Jacobian of the deterministic action with respect to the observation,
        where actions are continuous. Empty without data. The learners of SBX are measured alike.
    """
    drawn = _drawn(model, samples, generator)
    if drawn is None:
        return {}
    critic, actor = (_sbx_norms if _in_jax(model) else _torch_norms)(model, *drawn)
    found = {"critic": float(critic.mean()), "critic_max": float(critic.max())}
    return found if actor is None else {**found, "actor": float(actor.mean())}


def gradient_norms(function: Callable[[Inputs], Tensor], inputs: Inputs) -> Tensor:
    """Return the norm of the gradient of a scalar function, sample by sample.

    Args:
        function: from the inputs to ``[N]``; sample ``n`` of the output depends on sample ``n``.
        inputs: arrays ``[N, ...]`` of floating point; all are differentiated by together.

    Returns:
        ``[N]``, at least 0.
    """
    with torch.enable_grad():
        leaves = {key: value.detach().requires_grad_() for key, value in inputs.items()}
        return _norms(function(leaves).sum(), leaves)


def jacobian_norms(function: Callable[[Inputs], Tensor], inputs: Inputs) -> Tensor:
    """Return the Frobenius norm of the Jacobian of a function, sample by sample.

    Args:
        function: from the inputs to ``[N, A]``; sample ``n`` depends on sample ``n`` alone.
        inputs: as for `gradient_norms`.

    Returns:
        ``[N]``, at least 0.
    """
    with torch.enable_grad():
        leaves = {key: value.detach().requires_grad_() for key, value in inputs.items()}
        outputs = function(leaves)
        rows = [_norms(outputs[:, k].sum(), leaves, keep=True) for k in range(outputs.shape[1])]
    return torch.stack(rows).square().sum(0).sqrt()


def _norms(total: Tensor, leaves: Inputs, *, keep: bool = False) -> Tensor:
    # Gradients of the inputs alone: those of the parameters, which the learner uses, stay as they
    # are. An input that the function does not use has none.
    found = torch.autograd.grad(
        total, list(leaves.values()), retain_graph=keep, allow_unused=True
    )  # fmt: skip
    squares = [part.flatten(1).square().sum(1) for part in found if part is not None]
    return torch.stack(squares).sum(0).sqrt()


def _drawn(
    model: BaseAlgorithm, samples: int, generator: np.random.Generator
) -> tuple[Any, np.ndarray] | None:
    """Return observations and actions ``[N, ...]`` as the buffer holds them."""
    learner: Any = model
    buffer = getattr(learner, "rollout_buffer", None) or learner.replay_buffer
    rows = buffer.buffer_size if buffer.full else buffer.pos
    if not rows:
        return None
    row = generator.integers(0, rows, samples)
    column = generator.integers(0, buffer.n_envs, samples)
    # A rollout that was trained on lies flat, column after column.
    flat = getattr(buffer, "generator_ready", False)
    places: Any = row + column * rows if flat else (row, column)
    if isinstance(buffer.observations, dict):
        seen: Any = {key: value[places] for key, value in buffer.observations.items()}
    else:
        seen = buffer.observations[places]
    if not isinstance(model, OnPolicyAlgorithm):
        normaliser = model.get_vec_normalize_env()
        seen = seen if normaliser is None else normaliser.normalize_obs(seen)
    return seen, buffer.actions[places]


def _in_jax(model: BaseAlgorithm) -> bool:
    # The learners' package imports this module.
    from ctrl.sb3.sbx import is_sbx

    return is_sbx(type(model))


def _sbx_norms(
    model: BaseAlgorithm, observation: Any, action: np.ndarray
) -> tuple[Any, Any | None]:
    from ctrl.imitation.lipschitz_sbx import sbx_norms

    return sbx_norms(model, observation, action)


def _torch_norms(
    model: BaseAlgorithm, observation: Any, action: np.ndarray
) -> tuple[Any, Any | None]:
    """Return the norms of the critics' gradients ``[K, N]`` and of the actor's Jacobian ``[N]``."""
    norms = [
        gradient_norms(function, inputs)
        for function, inputs in _critics(model, _tensors(model, observation), action)
    ]
    actor = _actor(model)
    seen = _tensors(model, observation)
    return torch.stack(norms), None if actor is None else jacobian_norms(actor, seen)


def _tensors(model: BaseAlgorithm, observation: Any) -> Inputs:
    parts = observation if isinstance(observation, dict) else {"": observation}
    return {
        key: torch.as_tensor(value, device=model.device).float() for key, value in parts.items()
    }


def _observation(leaves: Inputs) -> Any:
    return leaves[""] if "" in leaves else {k: v for k, v in leaves.items() if k != "action"}


def _critics(
    model: BaseAlgorithm, seen: Inputs, action: np.ndarray
) -> list[tuple[Callable[[Inputs], Tensor], Inputs]]:
    """Return every network that values, with what it is differentiated by."""
    policy: Any = model.policy
    if isinstance(model, OnPolicyAlgorithm):
        return [(lambda given: policy.predict_values(_observation(given)).flatten(), seen)]
    if isinstance(model, DQN):
        chosen = torch.as_tensor(action, device=model.device).long().reshape(-1, 1)
        return [(lambda given: policy.q_net(_observation(given)).gather(1, chosen)[:, 0], seen)]
    inputs = {**seen, "action": torch.as_tensor(action, device=model.device).float()}

    def network(k: int) -> Callable[[Inputs], Tensor]:
        def value(given: Inputs) -> Tensor:
            found = policy.critic(_observation(given), given["action"])
            return found[:, k].mean(1) if isinstance(found, Tensor) else found[k].flatten()

        return value

    return [(network(k), inputs) for k in range(len(policy.critic.q_networks))]


def _actor(model: BaseAlgorithm) -> Callable[[Inputs], Tensor] | None:
    """Return the deterministic action as a function, or None where actions are choices."""
    policy: Any = model.policy
    if not isinstance(model.action_space, spaces.Box):
        return None
    if isinstance(model, OnPolicyAlgorithm):
        return lambda given: policy.get_distribution(_observation(given)).mode().flatten(1)
    if isinstance(model, SAC | TQC):
        return lambda given: policy.actor(_observation(given), deterministic=True)
    return lambda given: policy.actor(_observation(given))
