"""What a search has found: where episodes ended, and how well each reward area was served."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ctrl.search.episodes import NO_AREA, Episodes
from reward_models.errors import UserError

_COUNTED = ("visits", "best_reward", "solutions", "best")


def coverage(histogram: NDArray[np.integer] | NDArray[np.floating]) -> float:
    """Return the share of cells that hold something, in [0, 1].

    Args:
        histogram: counts of any shape, not negative, at least one cell.

    Raises:
        UserError: no cell, or a count that is negative, NaN or infinite.
    """
    return float((_counts(histogram) > 0).mean())


def uniformity(histogram: NDArray[np.integer] | NDArray[np.floating]) -> float:
    """Return how evenly counts are spread over all cells, in [0, 1].

    ``1 - sqrt(JS(p || u))`` with the Jensen-Shannon divergence, natural logarithm, between the
    shares ``p`` of the cells and the uniform distribution ``u``: 1 when all cells hold the same,
    lowest when one holds everything. 0 when nothing was counted.

    Args:
        histogram: counts of any shape, not negative, at least one cell.

    Raises:
        UserError: no cell, or a count that is negative, NaN or infinite.
    """
    counts = _counts(histogram)
    if not counts.any():
        return 0.0
    found, even = counts / counts.sum(), np.full(counts.size, 1.0 / counts.size)
    middle = 0.5 * (found + even)
    divergence = 0.5 * _divergence(found, middle) + 0.5 * _divergence(even, middle)
    return 1.0 - float(np.sqrt(max(divergence, 0.0)))


def _counts(histogram: NDArray[np.integer] | NDArray[np.floating]) -> NDArray[np.float64]:
    counts = np.asarray(histogram, dtype=np.float64).ravel()
    if not counts.size:
        raise UserError("A histogram needs at least one cell.")
    if not np.isfinite(counts).all() or (counts < 0.0).any():
        raise UserError("The counts of a histogram must be finite and not negative.")
    return counts


def _divergence(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    some = p > 0.0
    return float((p[some] * np.log(p[some] / q[some])).sum())


@final
class SearchMetrics:
    """Counts over all evaluated episodes, whatever the method kept of them; stores none.

    Rewards are the environment's own (``task_reward``), whatever the method was paid for.

    Args:
        bounds: ``[[x0, x1], [y0, y1]]`` of the places. Cells include their lower bounds; what ends
            outside counts to the nearest cell at the edge.
        cells: cells along each axis.
        areas: reward areas ``K`` of the world; one that is never found has a best reward of 0.

    Attributes:
        visits: int64 ``[cells, cells]``, episodes that ended in each cell, x first.
        best_reward: float64 ``[cells, cells]``, best reward among them; 0 where none ended.
        solutions: int64 ``[K]``, episodes that ended in each area.
        best: float64 ``[K]``, best reward among them.

    Raises:
        UserError: a number out of its range, or bounds that hold nothing.
    """

    def __init__(
        self, *, bounds: Sequence[Sequence[float]], cells: int = 50, areas: int = 1
    ) -> None:
        if cells < 1 or areas < 0:
            raise UserError(f"Expected cells >= 1 and areas >= 0, got {cells} and {areas}.")
        ranges = np.asarray(bounds, dtype=np.float64)
        if ranges.shape != (2, 2):
            raise UserError(f"bounds must be [[x0, x1], [y0, y1]], got shape {list(ranges.shape)}.")
        if not (np.isfinite(ranges).all() and (ranges[:, 0] < ranges[:, 1]).all()):
            raise UserError(f"bounds must be finite, the lower one first; got {ranges.tolist()}.")
        self.cells = cells
        self._low, self._span = ranges[:, 0], ranges[:, 1] - ranges[:, 0]
        self.visits = np.zeros((cells, cells), dtype=np.int64)
        self.best_reward = np.zeros((cells, cells))
        self.solutions = np.zeros(areas, dtype=np.int64)
        self.best = np.zeros(areas)

    def add(self, episodes: Episodes) -> None:
        """Count episodes.

        Raises:
            UserError: a place is not finite, or an area is none of the world's; nothing is counted
                then.
        """
        hit = episodes.area != NO_AREA
        area = episodes.area[hit]
        if len(area) and area.max() >= len(self.best):
            raise UserError(
                f"An episode ended in area {area.max()} of a world with {len(self.best)} areas; "
                f"set areas: {area.max() + 1}."
            )
        cell = self._cells_of(episodes)
        reward = episodes.task_reward
        fresh = self.visits[cell] == 0
        # Rewards may be negative: a cell's first episode replaces the 0 of no episode.
        self.best_reward[tuple(axis[fresh] for axis in cell)] = -np.inf
        np.maximum.at(self.best_reward, cell, reward)
        np.add.at(self.visits, cell, 1)
        np.add.at(self.solutions, area, 1)
        np.maximum.at(self.best, area, reward[hit])

    @property
    def coverage(self) -> float:
        """Share of the cells in which an episode ended."""
        return coverage(self.visits)

    @property
    def uniformity(self) -> float:
        """How evenly the episodes ended over the cells, see `uniformity`."""
        return uniformity(self.visits)

    @property
    def mean_best(self) -> float:
        """Mean over the areas of the best reward; 0 without areas."""
        return float(self.best.mean()) if len(self.best) else 0.0

    def coverage_of(self, groups: Iterable[Episodes]) -> float:
        """Return the share of the cells in which one of some kept episodes ended."""
        found = np.zeros((self.cells, self.cells), dtype=np.int64)
        for episodes in groups:
            if len(episodes):
                found[self._cells_of(episodes)] = 1
        return coverage(found)

    def state_dict(self) -> dict[str, Any]:
        """Return all counts."""
        return {name: getattr(self, name).copy() for name in _COUNTED}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned.

        Raises:
            UserError: it is of other cells or areas.
        """
        for name in _COUNTED:
            own = getattr(self, name)
            if np.shape(state[name]) != own.shape:
                raise UserError(
                    f"Stored {name} have shape {list(np.shape(state[name]))}, expected "
                    f"{list(own.shape)}: the search was stored with other cells or areas."
                )
        for name in _COUNTED:
            getattr(self, name)[...] = state[name]

    def _cells_of(self, episodes: Episodes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if not np.isfinite(episodes.place).all():
            raise UserError("An episode ended at a place that is NaN or infinite.")
        share = (episodes.place - self._low) / self._span
        # Clipped before they become whole numbers, which huge ones cannot.
        index = np.clip(share * self.cells, 0, self.cells - 1).astype(np.int64)
        return index[:, 0], index[:, 1]
