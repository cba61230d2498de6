"""A potential for rooms of NetHack, read from the record that networks and transformers leave."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_STAIRS_DOWN = 2383
_SIZE = 5.0


def potential(observation: Any) -> Tensor:
    """Return minus the distance to the stairs down in moves, over the room's size of 5.

    0 where no stairs are seen, as when the hero stands on them.
    """
    glyphs, status = observation["glyphs"], observation["blstats"]
    stairs = (glyphs == _STAIRS_DOWN).flatten(-2).float()
    place, seen = stairs.argmax(-1), stairs.any(-1)
    x, y = place % glyphs.shape[-1], place // glyphs.shape[-1]
    moves = torch.maximum((x - status[..., 0]).abs(), (y - status[..., 1]).abs())
    return -torch.where(seen, moves, 0).float() / _SIZE
