"""The small controllers of a search as policies that on-policy learners train."""

from __future__ import annotations

from typing import Any, final

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import CombinedExtractor
from torch import Tensor, nn

from reward_models.errors import UserError


@final
class ControllerPolicy(ActorCriticPolicy):
    """SB3's actor-critic policy whose mean action is bounded by a tanh.

    The mean is ``low + (tanh(h W + b) + 1) / 2 * (high - low)`` for a Box, where SB3's own policy
    has ``h W + b`` and clips; Discrete actions are SB3's. With tanh layers this is a controller of
    ``ctrl search``. Everything else (critic, deviation, update) is SB3's.

    It is ``policy: controller`` among the settings of ``ppo``, ``a2c`` and ``trpo``.

    Raises:
        UserError: the action space is an unbounded Box.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if isinstance(action_space, spaces.Box) and not action_space.is_bounded():
            raise UserError("policy: controller scales actions to bounds, and there are none here.")
        if isinstance(observation_space, spaces.Dict):
            kwargs.setdefault("features_extractor_class", CombinedExtractor)
        super().__init__(observation_space, action_space, *args, **kwargs)

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        if isinstance(self.action_space, spaces.Box):
            # The linear layer stays the same object, which the optimiser already has.
            bounded = _Bounded(self.action_space)
            self.action_net = nn.Sequential(self.action_net, nn.Tanh(), bounded)


@final
class _Bounded(nn.Module):
    """From [-1, 1] to the bounds of an action space."""

    low: Tensor
    span: Tensor

    def __init__(self, space: spaces.Box) -> None:
        super().__init__()
        low, high = (torch.as_tensor(bound).flatten().float() for bound in (space.low, space.high))
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("span", high - low, persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        return self.low + (values + 1.0) / 2.0 * self.span
