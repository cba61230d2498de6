"""Rewards of the NetHack experiments, as plain functions."""

from __future__ import annotations

import torch
from tensordict import TensorDict
from torch import Tensor

STAIRS_DOWN = 2383


def closeness(observation: TensorDict) -> Tensor:
    """Potential of the rooms: how near the stairs down are that can be seen.

    Args:
        observation: ``glyphs [..., 21, 79]`` and ``blstats [..., 27]``, which begins with the
            hero's column and row.

    Returns:
        ``[...]``: minus the number of moves to the nearest stairs in view on an empty floor;
        0 where none are in view, which includes standing on them.
    """
    stairs = observation["glyphs"].to(torch.int64) == STAIRS_DOWN
    rows = torch.arange(stairs.shape[-2]).unsqueeze(-1)
    columns = torch.arange(stairs.shape[-1])
    x = observation["blstats"][..., 0, None, None].to(torch.int64)
    y = observation["blstats"][..., 1, None, None].to(torch.int64)
    moves = torch.maximum((columns - x).abs(), (rows - y).abs())
    nearest = torch.where(stairs, moves, 1000).flatten(-2).amin(-1)
    return torch.where(nearest < 1000, -nearest, 0).to(torch.float32)


def exploration(new_tile: Tensor, new_level: Tensor) -> Tensor:
    """Pay for going where the hero has not been in this episode.

    Args:
        new_tile: 1 at the first visit of a square, ``[T, B]``, from ``info``.
        new_level: 1 at the first visit of a level, ``[T, B]``, from ``info``.

    Returns:
        1 for a square, and 20 more for a level, ``[T, B]``.
    """
    return new_tile + 20.0 * new_level


def survival(hit_points_lost: Tensor, hit_points_gained: Tensor) -> Tensor:
    """Charge for hit points lost and pay for those regained, ``[T, B]``."""
    return hit_points_gained - hit_points_lost


def growth(experience_gained: Tensor, gold_gained: Tensor) -> Tensor:
    """Pay for experience points and, at a tenth, for gold, ``[T, B]``."""
    return experience_gained + 0.1 * gold_gained
