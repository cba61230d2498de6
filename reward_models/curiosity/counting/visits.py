"""How often each state was visited: keys of 64 bits, and tables that count them."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from reward_models.curiosity.column_memory import ColumnMemory
from reward_models.rollout import Rollout

_ROWS_AT_ONCE = 1024
# Odd constants of splitmix64 (Steele, Lea and Flood 2014), as signed numbers.
_STEP = 0x9E3779B97F4A7C15 - 2**64
_FIRST = 0xBF58476D1CE4E5B9 - 2**64
_SECOND = 0x94D049BB133111EB - 2**64


def state_keys(values: Any, lead: int) -> Int[Tensor, ...]:
    """Return one key for the exact values of each row: equal rows have equal keys.

    The key is a hash of 64 bits. Among ``n`` different rows two share a key with probability
    ``n^2 / 2^65``: one in 37 million for a million rows. Floats are compared as float64 and the
    two zeros are equal.

    Args:
        values: tensor or nested dict of tensors ``[*lead, ...]``.
        lead: number of leading axes.

    Returns:
        The keys ``[*lead]``.
    """
    if isinstance(values, Tensor):
        size = values.shape[:lead]
        rows = values.reshape(math.prod(size), -1).split(_ROWS_AT_ONCE)
        return torch.cat([_hashed(part) for part in rows]).reshape(size)
    parts = [state_keys(values[key], lead) for key in sorted(values.keys())]
    return state_keys(torch.stack(parts, -1), lead)


def _hashed(rows: Tensor) -> Int[Tensor, " N"]:
    words = _words(rows)
    position = torch.arange(1, words.shape[1] + 1, device=words.device) * _STEP
    return mixed(mixed(words + position).sum(-1) + words.shape[1])


def _words(rows: Tensor) -> Int[Tensor, "N W"]:
    """Return the values of each row as integers of 64 bits, small ones eight at a time."""
    if rows.is_floating_point():
        return (rows.to(torch.float64) + 0.0).view(torch.int64)
    if rows.element_size() > 1:
        return rows.to(torch.int64)
    filled = nn.functional.pad(rows.to(torch.uint8), (0, -rows.shape[1] % 8))
    return filled.contiguous().view(torch.int64)


def mixed(words: Int[Tensor, ...]) -> Int[Tensor, ...]:
    """Scramble integers of 64 bits one to one, so that every bit depends on all others."""
    words = (words ^ _shifted(words, 30)) * _FIRST
    words = (words ^ _shifted(words, 27)) * _SECOND
    return words ^ _shifted(words, 31)


def _shifted(words: Int[Tensor, ...], bits: int) -> Int[Tensor, ...]:
    return (words >> bits) & (2 ** (64 - bits) - 1)


def visits_until(
    keys: Int[Tensor, "T B"], real: Bool[Tensor, "T B"]
) -> tuple[Int[Tensor, "T B"], Int[Tensor, " K"], Int[Tensor, " K"]]:
    """Count visits inside a rollout.

    Returns:
        For every real step the visits of its key, in any column, until and at its own time (zero
        on padding); the different keys, ascending; and how often each is visited.
    """
    size = len(keys)
    distinct, index = keys[real].unique(return_inverse=True)
    when = torch.arange(size, device=keys.device).unsqueeze(1).expand_as(keys)[real]
    # Ascending by key and then by time: a key's place among its own is its count so far.
    moment = index * size + when
    ordered, order = moment.sort()
    total = torch.bincount(index, minlength=len(distinct))
    last = torch.searchsorted(ordered, ordered, right=True)
    counted = torch.empty_like(index)
    counted[order] = last - (total.cumsum(0) - total)[index[order]]
    return torch.zeros_like(keys).masked_scatter(real, counted), distinct, total


class VisitTable(nn.Module):
    """Number of visits by key; grows by 16 bytes for every new one.

    Its state is two tensors of one length, the keys in ascending order and their visits; a stored
    state of any length can be loaded.
    """

    keys: Tensor
    visits: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("visits", torch.zeros(0, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.keys)

    def count(self, keys: Int[Tensor, "*batch"]) -> Int[Tensor, "*batch"]:
        """Return the visits of each key, 0 for unknown ones."""
        if not len(self):
            return torch.zeros_like(keys)
        place = torch.searchsorted(self.keys, keys.contiguous()).clamp_max(len(self) - 1)
        return torch.where(self.keys[place] == keys, self.visits[place], 0)

    def add(self, keys: Int[Tensor, " K"], visits: Int[Tensor, " K"]) -> None:
        """Add visits to keys that differ from each other."""
        place = torch.searchsorted(self.keys, keys)
        known = self.count(keys) > 0
        self.visits[place[known]] += visits[known]
        new, order = keys[~known].sort()
        size = len(self) + len(new)
        # Merged in order: a new key moves back by as many places as new ones come before it.
        at = torch.searchsorted(self.keys, new) + torch.arange(len(new), device=keys.device)
        old = torch.ones(size, dtype=torch.bool, device=keys.device)
        old[at] = False
        for name, added in (("keys", new), ("visits", visits[~known][order])):
            merged = added.new_empty(size)
            merged[old], merged[at] = getattr(self, name), added
            setattr(self, name, merged)

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        for name in ("keys", "visits"):
            stored = state.get(prefix + name)
            if stored is not None and stored.ndim == 1:
                setattr(self, name, getattr(self, name).new_zeros(stored.shape))
        super()._load_from_state_dict(state, prefix, *rest)


class EpisodeVisits(nn.Module):
    """Number of visits by key in the running episode of each column.

    What a column counted is forgotten after a step with either flag, and when its next rollout
    begins an episode; see ``ColumnMemory``. Its state are the keys of all running episodes, each
    mixed with its column, their visits and their columns.
    """

    column: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.running = ColumnMemory(running=torch.zeros((), dtype=torch.bool))
        self.table = VisitTable()
        self.register_buffer("column", torch.zeros(0, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.table)

    def count(
        self, rollout: Rollout, keys: Int[Tensor, "T B"], real: Bool[Tensor, "T B"]
    ) -> Int[Tensor, "T B"]:
        """Return for each real step the visits of its key in its episode so far, this included.

        Raises:
            UserError: the rollout continues episodes of another number of columns.
        """
        carried = self.running.read(rollout)["running"]
        own = _in_column(keys)
        piece = rollout.episode_numbers()
        inside, _, _ = visits_until(mixed(own + piece * _STEP), real)
        before = torch.where((piece == 0) & carried, self.table.count(own), 0)
        return torch.where(real, before + inside, 0)

    @torch.no_grad()
    def add(self, rollout: Rollout, keys: Int[Tensor, "T B"], real: Bool[Tensor, "T B"]) -> None:
        """Count the real steps of the episodes that are still running at the rollout's end.

        Raises:
            UserError: the rollout continues episodes of another number of columns.
        """
        carried = self.running.read(rollout)["running"]
        piece, seen = rollout.episode_numbers(), rollout.mask.any(0)
        last = rollout.T - 1 - rollout.mask.flip(0).to(torch.int8).argmax(0)
        ended = seen & rollout.done.gather(0, last.unsqueeze(0))[0]
        latest = piece.amax(0)
        kept = (carried & ~ended & (latest <= 0))[self.column]
        running = real & (piece == latest) & ~ended
        column = torch.arange(rollout.B, device=keys.device).expand_as(keys)
        found = torch.cat([self.table.keys[kept], _in_column(keys)[running]])
        visits = torch.cat([self.table.visits[kept], torch.ones_like(keys)[running]])
        column = torch.cat([self.column[kept], column[running]])
        distinct, index = found.unique(return_inverse=True)
        self.table.keys = distinct
        self.table.visits = torch.zeros_like(distinct).index_add_(0, index, visits)
        self.column = torch.zeros_like(distinct).scatter_(0, index, column)
        self.running.write(running=~ended & (seen | carried))

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        stored = state.get(prefix + "column")
        if stored is not None and stored.ndim == 1:
            self.column = self.column.new_zeros(stored.shape)
        super()._load_from_state_dict(state, prefix, *rest)


def _in_column(keys: Int[Tensor, "T B"]) -> Int[Tensor, "T B"]:
    """Return keys that differ between columns."""
    column = torch.arange(1, keys.shape[1] + 1, device=keys.device)
    return mixed(keys + column * _STEP)
