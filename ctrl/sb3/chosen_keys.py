"""A policy that sees some parts of a Dict observation; the others are there for the reward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor

from reward_models.errors import UnknownNameError, UserError


@final
class ChosenKeys(BaseFeaturesExtractor):
    """Passes the named vectors of a Dict observation on, side by side, and nothing else.

    For rewards that look at what a policy shall not need, such as pictures beside joint angles.
    In a configuration::

        policy_kwargs:
          features_extractor: chosen_keys
          features_extractor_kwargs: {keys: [state]}

    Args:
        observation_space: a Dict; the named entries are Boxes, which are flattened.
        keys: names of the entries, in the order of the features.

    Raises:
        UserError: no Dict, no key, or an entry that is not a Box.
        UnknownNameError: no such entry.
    """

    def __init__(self, observation_space: spaces.Space, keys: Sequence[str]) -> None:
        if not isinstance(observation_space, spaces.Dict):
            raise UserError(f"chosen_keys needs Dict observations, got {observation_space}.")
        self.keys = [keys] if isinstance(keys, str) else list(keys)
        if not self.keys:
            raise UserError(f"chosen_keys needs one of {', '.join(observation_space.spaces)}.")
        for key in self.keys:
            if key not in observation_space.spaces:
                raise UnknownNameError("observation key", str(key), observation_space.spaces)
            if not isinstance(observation_space[key], spaces.Box):
                raise UserError(f"chosen_keys reads Boxes, {key!r} is {observation_space[key]}.")
        size = sum(spaces.flatdim(observation_space[key]) for key in self.keys)
        super().__init__(observation_space, size)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Return the numbers ``[B, size]``."""
        return torch.cat([observations[key].float().flatten(1) for key in self.keys], -1)
