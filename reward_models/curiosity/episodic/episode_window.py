"""What each column saw lately in its running episode, for comparing every step with all of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, final

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor, nn

from reward_models.curiosity.column_memory import ColumnMemory
from reward_models.errors import UserError
from reward_models.rollout import Rollout

# Bounds of one block: pairs of a step and a candidate, and steps.
_PAIRS_AT_ONCE, _STEPS_AT_ONCE = 2**17, 128
# More than the places of any episode's rows.
_PIECE = 2**40


class Block(NamedTuple):
    """Some steps of some columns, each with what it may be compared with.

    Attributes:
        columns: slice of ``B``.
        steps: slice of ``T``.
        candidates: rows that are remembered or came earlier in the rollout, ``[b, N, ...]``.
        visible: ``[b, t, N]``, which of them belong to the step's own episode, came before it and
            are among the newest that are kept.
    """

    columns: slice
    steps: slice
    candidates: Shaped[Tensor, "b N ..."]
    visible: Bool[Tensor, "b t N"]


@final
class EpisodeWindow(nn.Module):
    """The newest rows of each column's running episode.

    Args:
        capacity: rows that are kept for each column; at least 1.
        row: any row, for its shape and dtype.

    Raises:
        UserError: no capacity.
    """

    def __init__(self, *, capacity: int, row: Tensor) -> None:
        super().__init__()
        if capacity < 1:
            raise UserError(f"capacity must be at least 1, got {capacity}.")
        self.capacity = capacity
        self.memory = ColumnMemory(
            rows=row.new_zeros((capacity, *row.shape)), count=torch.zeros((), dtype=torch.int64)
        )

    def blocks(
        self, rollout: Rollout, rows: Shaped[Tensor, "T B ..."], defined: Bool[Tensor, "T B"]
    ) -> Iterator[Block]:
        """Cut the rollout into blocks of bounded size, which cover every step of every column once.

        Args:
            rollout: whose steps these are.
            rows: what each step adds to the memory.
            defined: false where a step adds nothing.
        """
        stored = self.memory.read(rollout)
        order, piece = self._places(rollout, stored["count"], defined)
        most = int(stored["count"].max()) if rollout.B else 0
        slot = torch.arange(most, device=rows.device)
        # One number tells piece and place: what a step may see is one interval of these.
        now = order + piece * _PIECE
        oldest = torch.maximum(piece * _PIECE, now - self.capacity)
        then = torch.cat(
            [
                torch.where(slot < stored["count"][:, None], slot, -1),
                torch.where(defined.T, now, -1),
            ],
            1,
        )
        candidates = torch.cat([stored["rows"][:, :most], rows.transpose(0, 1)], 1)
        for start in range(0, rollout.T, _STEPS_AT_ONCE):
            stop = min(start + _STEPS_AT_ONCE, rollout.T)
            steps, some = slice(start, stop), slice(0, most + stop)
            width = max(_PAIRS_AT_ONCE // ((stop - start) * (most + stop)), 1)
            for first in range(0, rollout.B, width):
                columns = slice(first, min(first + width, rollout.B))
                seen = then[columns, some].unsqueeze(1)
                visible = seen < now[columns, steps].unsqueeze(2)
                visible &= seen >= oldest[columns, steps].unsqueeze(2)
                yield Block(columns, steps, candidates[columns, some], visible)

    def write(
        self, rollout: Rollout, rows: Shaped[Tensor, "T B ..."], defined: Bool[Tensor, "T B"]
    ) -> None:
        """Remember what the rollout leaves of each column's last episode."""
        stored = self.memory.read(rollout)
        order, piece = self._places(rollout, stored["count"], defined)
        goes_on = piece[:, -1] == 0
        counts = torch.where(goes_on, stored["count"], 0)
        kept = defined.T & (piece == piece[:, -1:])
        total = counts + kept.sum(1)
        surplus = (total - self.capacity).clamp_min(0)
        memory = torch.zeros_like(stored["rows"])
        slot = torch.arange(self.capacity, device=rows.device)
        column, old = ((slot >= surplus[:, None]) & (slot < counts[:, None])).nonzero().T
        memory[column, old - surplus[column]] = stored["rows"][column, old]
        column, step = (kept & (order >= surplus[:, None])).nonzero().T
        memory[column, order[column, step] - surplus[column]] = rows[step, column]
        self.memory.write(rows=memory, count=total.clamp_max(self.capacity))

    @staticmethod
    def _places(rollout: Rollout, counts: Tensor, defined: Tensor) -> tuple[Tensor, Tensor]:
        """Return each step's place in its episode's rows and its piece, ``[B, T]`` each."""
        # The latest piece of each column, which goes on through padding.
        piece = rollout.episode_numbers().clamp_min(0).cummax(0).values.T
        earlier = defined.T.cumsum(1) - defined.T.to(torch.int64)
        begins = torch.zeros_like(piece, dtype=torch.bool)
        begins[:, 1:] = piece[:, 1:] != piece[:, :-1]
        at_begin = torch.where(begins, earlier, 0).cummax(1).values
        return earlier - at_begin + torch.where(piece == 0, counts[:, None], 0), piece
