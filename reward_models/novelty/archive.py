"""The episodes that new ones are compared with: a fair sample of all that were seen."""

from __future__ import annotations

from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reward_models.errors import UserError


@final
class EpisodeArchive(nn.Module):
    """Descriptors of episodes, at most ``capacity`` of them.

    Until it is full, every episode is kept. From then on, number ``n`` replaces a random one with
    probability ``capacity / n`` (reservoir sampling, Vitter 1985), so that at every time each
    episode seen so far is in the archive with the same probability, the first ones too.

    Args:
        size: numbers in a descriptor.
        capacity: most descriptors, at least 1.
        seed: of the draws.

    Attributes:
        rows: the descriptors, float64 ``[n, size]``.
        seen: how many were added, kept or not.

    Raises:
        UserError: no capacity.
    """

    rows: Tensor
    seen: Tensor
    generator_state: Tensor

    def __init__(self, *, size: int, capacity: int, seed: int = 0) -> None:
        super().__init__()
        if capacity < 1:
            raise UserError(f"capacity must be at least 1, got {capacity}.")
        self.capacity = capacity
        self.register_buffer("rows", torch.zeros(0, size, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        state = torch.Generator().manual_seed(seed).get_state()
        self.register_buffer("generator_state", state)

    def __len__(self) -> int:
        return len(self.rows)

    @torch.no_grad()
    def add(self, rows: Float[Tensor, "N size"]) -> None:
        """Add descriptors, the first one first."""
        free = self.capacity - len(self.rows)
        kept = torch.cat([self.rows, rows[:free].to(self.rows)])
        seen = int(self.seen) + len(rows[:free])
        generator = torch.Generator()
        generator.set_state(self.generator_state.cpu())
        for row in rows[free:]:
            seen += 1
            place = int(torch.randint(seen, (), generator=generator))
            if place < self.capacity:
                kept[place] = row
        self.rows = kept
        self.seen = torch.full_like(self.seen, seen)
        self.generator_state.copy_(generator.get_state())

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        stored = state.get(prefix + "rows")
        if stored is not None and stored.shape[1:] == self.rows.shape[1:]:
            self.rows = self.rows.new_zeros(stored.shape)
        super()._load_from_state_dict(state, prefix, *rest)
