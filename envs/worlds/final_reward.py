"""Reward that only the last position of an episode earns, inside small separate discs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import final

import numpy as np

from envs.worlds.options import positive, table

_RIM = 1e-12  # a distance equal to the radius up to rounding still hits the area

_INFO_KEYS = {
    "position": "the behaviour descriptor after the step: x and y in world units, shape [2]",
    "area": "index of the reward area that holds the position, -1 for none",
    "is_success": "whether the episode ended inside of a reward area",
}
_FINAL_IMAGE = "picture of the episode's last state, black on other steps, uint8 [64, 64, 3]"

IMAGE_SIZE = 64
"""Pixels of a side of the pictures from which behaviour descriptors are learned."""

Paint = Callable[[np.ndarray, int], np.ndarray]
"""``(columns int64 [n], size) -> uint8 [n, size, size, 3]``: pictures of some columns."""


@final
class RewardAreas:
    """Discs in the plane; the reward falls from 1 in the centre to 0 on the rim.

    Args:
        areas: ``[K, 3]``: x and y of the centre, and the radius R, in world units; K may be 0.

    Attributes:
        centers: float64 ``[K, 2]``.
        radii: float64 ``[K]``.

    Raises:
        ValueError: not rows of three finite numbers, or a radius that is not positive.
    """

    def __init__(self, areas: Sequence[Sequence[float]]) -> None:
        rows = table("areas", areas, 3)
        if (rows[:, 2] <= 0).any():
            raise ValueError(f"Expected a positive radius in every row of areas, got {areas}.")
        self.centers, self.radii = rows[:, :2].copy(), rows[:, 2].copy()

    def score(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the reward and the area of every position.

        Args:
            positions: ``[B, 2]``.

        Returns:
            ``(R - d) / R`` of the area that gives most, float64 ``[B]`` in [0, 1], and its index,
            int64 ``[B]``. An area is hit where the distance d to its centre is at most R: on the
            rim there is an index, and the reward is 0. Outside of all areas: 0 and -1.
        """
        if not len(self.radii):
            return np.zeros(len(positions)), np.full(len(positions), -1, dtype=np.int64)
        dx = positions[:, :1] - self.centers[:, 0]
        dy = positions[:, 1:] - self.centers[:, 1]
        depth = 1.0 - np.sqrt(dx * dx + dy * dy) / self.radii
        area = depth.argmax(axis=1)
        best = np.take_along_axis(depth, area[:, None], axis=1)[:, 0]
        return np.maximum(best, 0.0), np.where(best >= -_RIM, area, -1)


@final
class FinalReward:
    """Counts the steps of every column and pays its last position.

    The number of steps belongs to the task: the reward is due at the end. That end is therefore a
    termination (there is nothing to bootstrap from), not a time limit.

    Args:
        num_envs: columns, B.
        areas: see `RewardAreas`.
        horizon: steps of an episode, at least 1.
        paint: draws the pictures of ``final_image``; None to leave them out of info.

    Attributes:
        areas: where reward is.
        horizon: steps of an episode.
        info_keys: what `step` puts in ``info``.
        time: steps taken by each column, int64 ``[B]``.
    """

    def __init__(
        self,
        num_envs: int,
        areas: Sequence[Sequence[float]],
        horizon: int,
        paint: Paint | None = None,
    ) -> None:
        self.areas = RewardAreas(areas)
        self.horizon = int(positive("horizon", horizon))
        self.time = np.zeros(num_envs, dtype=np.int64)
        self.info_keys = dict(_INFO_KEYS)
        if paint is not None:
            self.info_keys["final_image"] = _FINAL_IMAGE
        self._paint = paint

    def reset(self, columns: np.ndarray) -> None:
        """Begin an episode in some columns."""
        self.time[columns] = 0

    def step(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Count a step.

        Args:
            positions: after the step, ``[B, 2]``.

        Returns:
            Reward ``[B]`` (0 before the last step), whether the episode ended ``[B]``, and info.
        """
        self.time += 1
        ended = self.time >= self.horizon
        score, area = self.areas.score(positions)
        return np.where(ended, score, 0.0), ended, self._info(positions, area, ended)

    def reset_info(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """Return info for positions after a reset, ``[B, 2]``."""
        _, area = self.areas.score(positions)
        return self._info(positions, area, np.zeros(len(area), dtype=bool))

    def _info(
        self, positions: np.ndarray, area: np.ndarray, ended: np.ndarray
    ) -> dict[str, np.ndarray]:
        info = {"position": positions.copy(), "area": area, "is_success": ended & (area >= 0)}
        if self._paint is not None:
            images = np.zeros((len(area), IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
            if ended.any():
                images[ended] = self._paint(np.flatnonzero(ended), IMAGE_SIZE)
            info["final_image"] = images
        return info

    def state(self) -> dict[str, np.ndarray]:
        """Return the step counts."""
        return {"time": self.time.copy()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        self.time[...] = state["time"]
