"""The newest rows of a stream, to train on more than what has just come."""

from __future__ import annotations

from typing import Any, final

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from reward_models.errors import UserError


@final
class Newest(nn.Module):
    """Keeps the newest rows, the newest last.

    Args:
        row: any row, for its shape and dtype.
        capacity: most rows, at least 1.

    Attributes:
        rows: ``[n, ...]``.

    Raises:
        UserError: no capacity.
    """

    rows: Tensor

    def __init__(self, *, row: Tensor, capacity: int) -> None:
        super().__init__()
        if capacity < 1:
            raise UserError(f"memory must hold at least 1 sample, got {capacity}.")
        self.capacity = capacity
        self.register_buffer("rows", row.new_zeros((0, *row.shape)))

    @torch.no_grad()
    def add(self, rows: Shaped[Tensor, "N ..."]) -> None:
        """Add rows, the oldest first."""
        self.rows = torch.cat([self.rows, rows.to(self.rows)])[-self.capacity :].clone()

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        stored = state.get(prefix + "rows")
        if stored is not None and stored.shape[1:] == self.rows.shape[1:]:
            self.rows = self.rows.new_zeros(stored.shape)
        super()._load_from_state_dict(state, prefix, *rest)
