"""Windows of the last steps of an episode, as indices into a rollout."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from reward_models.rollout import Rollout


class Windows(NamedTuple):
    """The last L steps up to each of N steps, the newest last.

    Attributes:
        row: ``time * B + column`` of every step of every window; any valid row where it is not
            ``inside``.
        inside: whether there is such a step: false before the episode, or the rollout, began.
    """

    row: Int[Tensor, "L N"]
    inside: Bool[Tensor, "L N"]


def steps_into_episode(rollout: Rollout) -> Int[Tensor, "T B"]:
    """Return how many steps of its episode lie before each step within the rollout.

    Steps before the rollout began are unknown and not counted, also where an episode goes on from
    an earlier rollout.
    """
    numbers = rollout.episode_numbers()
    time = torch.arange(rollout.T, device=rollout.device).unsqueeze(1)
    begins = torch.zeros_like(numbers)
    begins[1:] = torch.where(numbers[1:] != numbers[:-1], time[1:], 0)
    return time - begins.cummax(dim=0).values


def last_steps(
    rollout: Rollout, time: Int[Tensor, " N"], column: Int[Tensor, " N"], length: int
) -> Windows:
    """Return the windows that end at some steps; none reaches into another episode.

    Args:
        rollout: ``[T, B]``.
        time: index into ``T`` of each step.
        column: index into ``B`` of each step.
        length: L, steps in a window, at least 1.
    """
    back = torch.arange(length - 1, -1, -1, device=time.device).unsqueeze(1)
    inside = back <= steps_into_episode(rollout)[time, column]
    earlier = torch.where(inside, time - back, time)
    return Windows(earlier * rollout.B + column, inside)
