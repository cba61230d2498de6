"""An episode as the signature of its whole path, added up step by step."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from reward_models.curiosity.column_memory import ColumnMemory
from reward_models.errors import UserError
from reward_models.novelty.episode_ends import EpisodeEnds, Finished, ended, left_open, positions
from reward_models.novelty.signature import levy_areas
from reward_models.rollout import Episode, Rollout


class _Path(NamedTuple):
    """What a path needs to be known by to go on: ends, second level of the signature, steps."""

    first: Tensor
    last: Tensor
    second: Tensor
    steps: int


@final
class EpisodeSignature(EpisodeEnds):
    """Signature or log-signature of order 2 of the path of vectors ``[d]``, through every step.

    See `reward_models.novelty.signature`. The path begins with what is known before the first
    step, else with the first value. The second level adds up over pieces of an episode, so an
    open episode is remembered by a few numbers, however long it is.

    Args:
        size: numbers ``d`` of a point.
        logarithm: the log-signature instead.
        horizon: steps of the longest episode; given, ``t / horizon`` is the last coordinate, which
            tells speeds apart.

    Attributes:
        output_size: numbers in a description.

    Raises:
        UserError: a number out of its range.
    """

    def __init__(self, *, size: int, logarithm: bool, horizon: int | None) -> None:
        super().__init__()
        if horizon is not None and horizon < 1:
            raise UserError(f"horizon must be at least 1, got {horizon}.")
        self.logarithm, self.horizon = logarithm, horizon
        d = size + (horizon is not None)
        self.output_size = d + (d * (d - 1) // 2 if logarithm else d * d)
        zeros = torch.zeros(d, dtype=torch.float64)
        self.memory = ColumnMemory(
            first=zeros,
            last=zeros,
            second=torch.zeros(d, d, dtype=torch.float64),
            steps=torch.zeros((), dtype=torch.int64),
        )

    def finished(
        self,
        rollout: Rollout,
        after: Shaped[Tensor, "T B d"],
        before: Shaped[Tensor, "T B d"] | None,
    ) -> Finished:
        """Return the signatures of finished episodes, ``[N, output_size]``."""
        pieces, stored = ended(rollout), self.memory.read(rollout)
        described = after.new_zeros((len(pieces), self.output_size), dtype=torch.float64)
        for row, piece in enumerate(pieces):
            path = self._continued(piece, after, before, stored)
            second = levy_areas(path.second) if self.logarithm else path.second.flatten()
            described[row] = torch.cat([path.last - path.first, second])
        return Finished(*positions(pieces), described)

    @torch.no_grad()
    def remember(
        self,
        rollout: Rollout,
        after: Shaped[Tensor, "T B d"],
        before: Shaped[Tensor, "T B d"] | None,
    ) -> None:
        """Keep the ends and the second level of open episodes."""
        kept = self.memory.read(rollout)
        for piece in left_open(rollout):
            path = self._continued(piece, after, before, kept)
            for name, value in path._asdict().items():
                kept[name][piece.column] = value
        self.memory.write(**kept)

    def _continued(
        self, piece: Episode, after: Tensor, before: Tensor | None, stored: dict[str, Tensor]
    ) -> _Path:
        """Return the path up to the end of a piece of an episode."""
        values = after[piece.start : piece.stop, piece.column].to(torch.float64)
        steps = int(stored["steps"][piece.column]) if piece.open_start else 0
        if steps:
            start, first = stored["last"][piece.column], stored["first"][piece.column]
            second = stored["second"][piece.column]
        else:
            known = values[0] if before is None else before[piece.start, piece.column]
            start = first = self._timed(known.to(torch.float64).unsqueeze(0), 0)[0]
            second = torch.zeros_like(stored["second"][0])
        points = torch.cat([start.unsqueeze(0), self._timed(values, steps + 1)])
        increments = points.diff(dim=0)
        middle = points[:-1] - first + increments / 2.0
        return _Path(first, points[-1], second + middle.mT @ increments, steps + len(values))

    def _timed(self, values: Float[Tensor, "n d"], step: int) -> Float[Tensor, "n e"]:
        """Append the time of values that were seen at ``step`` and the steps after it."""
        if self.horizon is None:
            return values
        time = torch.arange(step, step + len(values), device=values.device) / self.horizon
        return torch.cat([values, time.to(values).unsqueeze(1)], 1)
