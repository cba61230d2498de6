"""A reward and a potential for a room of NetHack."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_STAIRS_DOWN = 2383


def _distance(observation: Any) -> Tensor:
    glyphs = observation["glyphs"]
    flat = (glyphs == _STAIRS_DOWN).flatten(-2).float()
    place, there = flat.argmax(-1), flat.any(-1)
    x, y = place % glyphs.shape[-1], place // glyphs.shape[-1]
    status = observation["blstats"]
    steps = torch.maximum((x - status[..., 0]).abs(), (y - status[..., 1]).abs())
    return torch.where(there, steps, 0).float()


def near_the_stairs(rollout: Any) -> Tensor:
    """Return minus the distance to the stairs after the step."""
    return -_distance(rollout.next_observation)


def potential(observation: Any) -> Tensor:
    """Return minus the distance to the stairs."""
    return -_distance(observation)
