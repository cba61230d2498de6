"""Descriptions of whole episodes, also of those that run through several rollouts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Int, Shaped
from torch import Tensor, nn

from reward_models.rollout import Episode, Rollout


class Finished(NamedTuple):
    """Episodes that ended in a rollout, in the order of their ends.

    Attributes:
        step: time step of the end, ``[N]``.
        column: its column, ``[N]``.
        described: what each is described by, ``[N, ...]``.
    """

    step: Int[Tensor, " N"]
    column: Int[Tensor, " N"]
    described: Shaped[Tensor, "N ..."]


class EpisodeEnds(nn.Module, ABC):
    """Describes episodes at their end; remembers of open ones what it needs for that.

    An episode that is still open at the end of a rollout is described when it ends in a later one.
    Of an episode whose beginning no ``remember`` has seen, the part that was seen is described.
    """

    @abstractmethod
    def finished(
        self,
        rollout: Rollout,
        after: Shaped[Tensor, "T B ..."],
        before: Shaped[Tensor, "T B ..."] | None,
    ) -> Finished:
        """Describe the episodes that end in the rollout; changes nothing.

        Args:
            rollout: the steps, in arrival order.
            after: what is looked at, after every step.
            before: the same before every step, where it is known.
        """

    @abstractmethod
    def remember(
        self,
        rollout: Rollout,
        after: Shaped[Tensor, "T B ..."],
        before: Shaped[Tensor, "T B ..."] | None,
    ) -> None:
        """Keep of each column's open episode what its description will need."""


def ended(rollout: Rollout) -> list[Episode]:
    """Return the pieces of episodes that end in the rollout, by end and then by column."""
    pieces = [piece for piece in rollout.episodes() if not piece.open_end]
    return sorted(pieces, key=lambda piece: (piece.stop, piece.column))


def left_open(rollout: Rollout) -> list[Episode]:
    """Return each column's last piece, if it is open: what the next rollout goes on with."""
    last = {piece.column: piece for piece in rollout.episodes()}
    return [piece for piece in last.values() if piece.open_end]


def positions(pieces: list[Episode]) -> tuple[Int[Tensor, " N"], Int[Tensor, " N"]]:
    """Return the last step and the column of pieces."""
    steps = torch.tensor([piece.stop - 1 for piece in pieces], dtype=torch.int64)
    columns = torch.tensor([piece.column for piece in pieces], dtype=torch.int64)
    return steps, columns
