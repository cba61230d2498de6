"""An episode as what was seen at its end, or at several moments of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Shaped
from torch import Tensor

from reward_models.curiosity.column_memory import ColumnMemory
from reward_models.errors import UserError
from reward_models.novelty.episode_ends import EpisodeEnds, Finished, ended, left_open, positions
from reward_models.rollout import Episode, Rollout


@final
class EpisodeSamples(EpisodeEnds):
    """The values at ``S`` evenly spaced moments of the longest possible episode.

    Moment ``i`` of ``S`` is after step ``ceil(i * horizon / S)``; the last is the end. An episode
    that ends before a moment has its last value there.

    Args:
        shape: of one value.
        dtype: of the values.
        samples: ``S``, at least 1.
        horizon: steps of the longest episode, at least ``S``; only needed for several samples.

    Raises:
        UserError: a number out of its range.
    """

    def __init__(
        self, *, shape: Sequence[int], dtype: torch.dtype, samples: int, horizon: int | None
    ) -> None:
        super().__init__()
        if samples < 1:
            raise UserError(f"samples must be at least 1, got {samples}.")
        if samples > 1 and (horizon is None or horizon < samples):
            raise UserError(
                f"{samples} samples of an episode need horizon, the steps of the longest episode, "
                f"of at least {samples}; got {horizon}."
            )
        self.samples, self.dtype = samples, dtype
        # The last moment is the end, whenever that is.
        self.moments = [-(-i * (horizon or 1) // samples) for i in range(1, samples)]
        self.memory = ColumnMemory(
            values=torch.zeros((samples - 1, *shape), dtype=dtype),
            steps=torch.zeros((), dtype=torch.int64),
        )

    def finished(
        self,
        rollout: Rollout,
        after: Shaped[Tensor, "T B ..."],
        before: Shaped[Tensor, "T B ..."] | None = None,
    ) -> Finished:
        """Return the samples of finished episodes, ``[N, S, ...]``."""
        pieces, stored = ended(rollout), self.memory.read(rollout)
        steps, columns = positions(pieces)
        described = torch.empty(
            (len(pieces), self.samples, *after.shape[2:]), dtype=self.dtype, device=after.device
        )
        for row, piece in enumerate(pieces):
            self._fill(described[row], piece, after, stored)
            described[row, -1] = after[piece.stop - 1, piece.column].to(self.dtype)
        return Finished(steps, columns, described)

    @torch.no_grad()
    def remember(
        self,
        rollout: Rollout,
        after: Shaped[Tensor, "T B ..."],
        before: Shaped[Tensor, "T B ..."] | None = None,
    ) -> None:
        """Keep the samples of open episodes so far, and how long they are."""
        kept = self.memory.read(rollout)
        stored = {name: value.clone() for name, value in kept.items()}
        for piece in left_open(rollout):
            self._fill(kept["values"][piece.column], piece, after, stored)
            kept["steps"][piece.column] = _before(piece, stored) + piece.stop - piece.start
        self.memory.write(**kept)

    def _fill(
        self, target: Tensor, piece: Episode, after: Tensor, stored: dict[str, Tensor]
    ) -> None:
        """Write the samples but the last; those to come get the piece's last value."""
        earlier = _before(piece, stored)
        for index, moment in enumerate(self.moments):
            if moment <= earlier:
                target[index] = stored["values"][piece.column, index]
            else:
                step = min(piece.start + moment - earlier, piece.stop) - 1
                target[index] = after[step, piece.column].to(self.dtype)


def _before(piece: Episode, stored: dict[str, Tensor]) -> int:
    """Return the steps of the episode before this rollout."""
    return int(stored["steps"][piece.column]) if piece.open_start else 0
