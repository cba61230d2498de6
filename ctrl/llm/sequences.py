"""Whole token sequences of episodes, time first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor

PADDING, PROMPT, POLICY, ENVIRONMENT = 0, 1, 2, 3
"""What a token of a sequence is: the first text, the policy's own, or a later text."""


@dataclass(frozen=True)
class Sequences:
    """Token sequences, one per column, padded at their ends.

    L is the longest sequence, T the most policy tokens of a column. A policy token is a step of the
    token record; all others belong to what the policy saw.

    Attributes:
        ids: tokens, int64 ``[L, B]``.
        kind: ``PADDING``, ``PROMPT``, ``POLICY`` or ``ENVIRONMENT``, int64 ``[L, B]``.
        turn: number of the turn that a policy token belongs to, int64 ``[L, B]``; elsewhere 0.
    """

    ids: Int[Tensor, "L B"]
    kind: Int[Tensor, "L B"]
    turn: Int[Tensor, "L B"]

    @classmethod
    def of(
        cls, columns: Sequence[tuple[list[int], list[int], list[int]]], *, padding: int
    ) -> Sequences:
        """Stack columns of tokens, kinds and turns.

        Args:
            columns: three lists of one length for every column.
            padding: token id to pad with.
        """
        longest = max((len(ids) for ids, _, _ in columns), default=0)

        def stacked(number: int, filler: int) -> Tensor:
            rows = [column[number] for column in columns]
            padded = [row + [filler] * (longest - len(row)) for row in rows]
            return torch.tensor(padded, dtype=torch.int64).reshape(len(rows), longest).T

        return cls(stacked(0, padding), stacked(1, PADDING), stacked(2, 0))

    @property
    def B(self) -> int:  # noqa: N802 - the glossary's letter
        """Number of columns."""
        return self.ids.shape[1]

    @cached_property
    def mask(self) -> Bool[Tensor, "T B"]:
        """Which steps of the token record are real."""
        counts = (self.kind == POLICY).sum(0)
        longest = int(counts.max()) if len(counts) else 0
        return torch.arange(longest, device=self.ids.device).unsqueeze(1) < counts

    @cached_property
    def place(self) -> Int[Tensor, "T B"]:
        """Where in ``ids`` the token of every step stands; 1 on padding."""
        chosen = self.kind == POLICY
        place = torch.ones_like(self.mask, dtype=torch.int64)
        rank = chosen.cumsum(0) - 1
        where, column = chosen.nonzero(as_tuple=True)
        place[rank[where, column], column] = where
        return place

    def at_steps(self, values: Tensor, *, before: bool = False) -> Tensor:
        """Return entries of ``[L, B]`` values at the steps, or right before them: ``[T, B]``."""
        return values.gather(0, self.place - 1 if before else self.place)

    def columns(self, chosen: Tensor) -> Sequences:
        """Return some of the columns, without the padding that all of them have."""
        kind = self.kind[:, chosen]
        longest = int((kind != PADDING).sum(0).max()) if kind.numel() else 0
        return Sequences(self.ids[:longest, chosen], kind[:longest], self.turn[:longest, chosen])

    def to(self, device: torch.device | str) -> Sequences:
        """Return these sequences on another device."""
        return Sequences(self.ids.to(device), self.kind.to(device), self.turn.to(device))
