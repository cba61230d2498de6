"""What the auxiliary tasks read of a policy: the embeddings of its actor, at some observations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ctrl.sb3.entity_policy import EntityPolicy
from ctrl.sb3.entity_policy_networks import EntityAttention
from reward_models.errors import UserError


def actor_attention(policy: torch.nn.Module, task: str) -> EntityAttention:
    """Return the actor's attention.

    Args:
        policy: that a loss term is bound to.
        task: name of the term, for errors.

    Raises:
        UserError: a policy without entities.
    """
    if isinstance(policy, EntityPolicy):
        return policy.actor_attention
    raise UserError(
        f"The loss term {task} trains the embeddings of a policy with entities, and "
        f"{type(policy).__name__} has none. Set algo.policy: entity (in Rocket League with "
        "env.observation: entities), or leave the term out."
    )


def observations_at(observation: Mapping[str, Tensor], row: Tensor, device: Any) -> dict[str, Any]:
    """Return the observations of some steps, ``[N, ...]``.

    Args:
        observation: of a whole rollout, ``[T, B, ...]``.
        row: ``time * B + column`` of each, ``[N]``.
        device: of the result.
    """
    return {
        key: values.flatten(0, 1)[row.to(values.device)].to(device)
        for key, values in observation.items()
    }
