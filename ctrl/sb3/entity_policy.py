"""A policy that attends to the things around it, for on-policy learners."""

from __future__ import annotations

from typing import Any, final

from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy

from ctrl.sb3.entity_policy_networks import EntityAttention, entity_sizes
from reward_models.errors import UserError


@final
class EntityPolicy(ActorCriticPolicy):
    """SB3's actor-critic policy over an `EntityAttention` for the actor and one for the critic.

    Between them and the action and the value there is one linear layer each, unless ``net_arch``
    says otherwise. In a configuration::

        algo:
          policy: entity
          policy_kwargs:
            features_extractor_kwargs: {features_dim: 128, heads: 4, blocks: 2}

    Args:
        observation_space: of entities, see `entity_sizes`.
        action_space: any that SB3 knows.
        *args: of SB3's policy.
        **kwargs: of SB3's policy; the features extractor is fixed and actor and critic share none.

    Raises:
        UserError: observations without entities, or another features extractor.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        entity_sizes(observation_space)
        if kwargs.setdefault("features_extractor_class", EntityAttention) is not EntityAttention:
            raise UserError("policy: entity brings its own features extractor; leave it out.")
        if kwargs.setdefault("share_features_extractor", False):
            raise UserError("policy: entity keeps actor and critic apart: leave out sharing.")
        kwargs.setdefault("net_arch", [])
        super().__init__(observation_space, action_space, *args, **kwargs)

    @property
    def actor_attention(self) -> EntityAttention:
        """The actor's embeddings and attention; auxiliary tasks train its embeddings, too."""
        found: Any = self.pi_features_extractor
        return found
