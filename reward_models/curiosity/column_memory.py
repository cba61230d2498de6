"""Memories of running episodes: one value per column, kept from rollout to rollout."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from reward_models.errors import UserError
from reward_models.rollout import Rollout


class ColumnMemory(nn.Module):
    """Named tensors ``[B, ...]``, one row for each column of a rollout.

    The number of columns is that of the rollouts a model learns from, so the tensors are empty
    until the first ``write``, and a stored state of any number of columns can be loaded. A model
    reads the memory at the beginning of a rollout, carries it through the steps without changing
    it here (so that ``forward`` stays pure), and writes what is left at the end in ``update``.

    Args:
        **fresh: name -> value of one column that has seen nothing, ``[...]``.

    Example:
        >>> memory = ColumnMemory(visits=torch.zeros(3))
        >>> memory.columns
        0
    """

    def __init__(self, **fresh: Tensor) -> None:
        super().__init__()
        self.names = tuple(fresh)
        for name, value in fresh.items():
            self.register_buffer(f"fresh_{name}", value.clone(), persistent=False)
            self.register_buffer(name, value.new_zeros((0, *value.shape)))

    @property
    def columns(self) -> int:
        """Number of columns that are remembered, 0 before the first ``write``."""
        return int(getattr(self, self.names[0]).shape[0])

    def read(self, rollout: Rollout, *, lasting: bool = False) -> dict[str, Tensor]:
        """Return the memory at the beginning of a rollout, ``[B, ...]`` each; never a view.

        A column whose first step begins an episode starts fresh, and so does every column of a
        model that has not learned yet.

        Args:
            rollout: what is about to be rewarded or learned from.
            lasting: keep what is remembered of columns that begin an episode too, for memories
                that outlive episodes; rollouts of another number of columns, such as an
                evaluation's, then start fresh.

        Raises:
            UserError: the rollout continues episodes of another number of columns than are
                remembered.
        """
        carried = self._carried(rollout, lasting)
        found = {}
        for name in self.names:
            fresh = getattr(self, f"fresh_{name}")
            if carried is None:
                found[name] = fresh.expand(rollout.B, *fresh.shape).clone()
            else:
                goes_on = carried.view(-1, *[1] * fresh.ndim)
                found[name] = torch.where(goes_on, getattr(self, name), fresh)
        return found

    @torch.no_grad()
    def write(self, **values: Tensor) -> None:
        """Remember ``[B, ...]`` for the next rollout; every name must be given."""
        for name in self.names:
            setattr(self, name, values[name].detach().clone())

    def _carried(self, rollout: Rollout, lasting: bool) -> Bool[Tensor, " B"] | None:
        """Return which columns go on from what is remembered, or None when none can."""
        if not self.columns:
            return None
        if self.columns == rollout.B:
            return torch.ones_like(rollout.continued) if lasting else rollout.continued
        if bool(rollout.continued.any()) and not lasting:
            raise UserError(
                f"The memory of running episodes holds {self.columns} columns and the rollout, "
                f"which continues episodes, has {rollout.B}. Use one model per vector environment, "
                "or begin new episodes (continued = False)."
            )
        return None

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        for name in self.names:
            stored = state.get(prefix + name)
            own = getattr(self, name)
            if stored is not None and stored.shape[1:] == own.shape[1:]:
                setattr(self, name, own.new_zeros(stored.shape))
        super()._load_from_state_dict(state, prefix, *rest)
