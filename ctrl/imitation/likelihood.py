"""How well a policy's networks explain given actions, for every kind of policy that has any."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from sb3_contrib import TQC, RecurrentPPO
from stable_baselines3 import DDPG, DQN, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import Tensor

from reward_models.errors import UserError

# The inverse of tanh is 3.8 here; nearer to 1, bounded actions would drive the networks into
# saturation for a difference that no environment notices.
_INSIDE = 1e-3


def check_cloneable(model: BaseAlgorithm) -> None:
    """Refuse learners whose policy cannot be fitted to given actions.

    Raises:
        UserError: the learner, with the reason and the cure.
    """
    name = type(model).__name__
    if isinstance(model, DQN):
        raise UserError(
            f"{name} acts by comparing values, which demonstrations of actions do not give; "
            "behaviour cloning needs a policy network: ppo, a2c, trpo, sac, tqc, td3 or ddpg."
        )
    if isinstance(model, RecurrentPPO):
        raise UserError(
            f"{name} acts on whole histories, and behaviour cloning learns from single steps; use "
            "ppo, a2c, trpo, sac, tqc, td3 or ddpg."
        )
    known = isinstance(model, OnPolicyAlgorithm | SAC | TQC | TD3 | DDPG)
    if not known or not isinstance(model.policy, torch.nn.Module):
        raise UserError(
            f"{name} has no policy network of torch, which behaviour cloning trains; use ppo, a2c, "
            "trpo, sac, tqc, td3 or ddpg."
        )


def acting_parameters(model: BaseAlgorithm) -> list[torch.nn.Parameter]:
    """Return the parameters behind the actions; an on-policy learner's others get no gradient."""
    policy: Any = model.policy
    return list(getattr(policy, "actor", policy).parameters())


def action_targets(model: BaseAlgorithm, actions: Any) -> Tensor:
    """Return executed actions ``[N, ...]`` as the policy's networks emit them.

    Bounded actions of SAC, TQC, TD3 and DDPG are scaled to [-1, 1], and clipped slightly inside of
    it for policies that end in a tanh; others stay as they are.
    """
    policy: Any = model.policy
    if isinstance(policy.action_space, spaces.Box):
        if policy.squash_output:
            scaled = torch.as_tensor(policy.scale_action(actions), dtype=torch.float32)
            return scaled.clamp(-1 + _INSIDE, 1 - _INSIDE).to(policy.device)
        return torch.as_tensor(actions, dtype=torch.float32, device=policy.device)
    return torch.as_tensor(actions, dtype=torch.int64, device=policy.device)


def cloning_loss(model: BaseAlgorithm, observation: Any, targets: Tensor) -> Tensor:
    """Return what cloning minimises, per sample.

    ``-log pi(a | s)`` for stochastic policies, ``|mu(s) - a|^2`` summed over the action's entries
    for deterministic ones (TD3, DDPG).

    Args:
        model: the learner.
        observation: a batch of tensors as the policy takes it.
        targets: of `action_targets`, ``[N, ...]``.

    Returns:
        ``[N]``.
    """
    policy: Any = model.policy
    if isinstance(model, OnPolicyAlgorithm):
        return -policy.get_distribution(observation).log_prob(targets)
    actor = policy.actor
    if isinstance(model, TD3 | DDPG):
        return (actor(observation) - targets).square().sum(-1)
    mean, log_deviation, extra = actor.get_action_dist_params(observation)
    distribution = actor.action_dist.proba_distribution(mean, log_deviation, **extra)
    return -distribution.log_prob(targets)


@torch.no_grad()
def cloning_error(model: BaseAlgorithm, observation: Any, targets: Tensor) -> Tensor:
    """Return how far the deterministic action is from the demonstrated one, per sample.

    Returns:
        ``[N]``: mean absolute difference of the entries in the units of `action_targets`, or for
        choices the share of entries that differ.
    """
    policy: Any = model.policy
    actions = policy._predict(observation, deterministic=True).reshape(targets.shape)
    if targets.is_floating_point():
        return (actions - targets).abs().flatten(1).mean(1)
    return (actions != targets).float().reshape(len(targets), -1).mean(1)


def settle(model: BaseAlgorithm) -> None:
    """Let slowly following copies of the actor equal it, as at the start of a training."""
    policy: Any = model.policy
    if getattr(policy, "actor_target", None) is not None:
        policy.actor_target.load_state_dict(policy.actor.state_dict())
