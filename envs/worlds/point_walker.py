"""A point that walks in a square and is paid for where it ends: the cheapest search task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
from gymnasium import spaces

from envs.simulation import BatchedSimulation, ColumnRandom, Outcome
from envs.worlds.drawing import BLACK, BLUE, GREEN, LIGHT, WHITE, Canvas
from envs.worlds.final_reward import IMAGE_SIZE, FinalReward
from envs.worlds.options import choice

AREAS = ((0.8, 0.8, 0.03), (-0.85, 0.6, 0.03), (0.7, -0.85, 0.03))
"""Centre x, centre y and radius of the three reward areas: 0.2 % of the square together."""

STEP = 0.05
"""World units of a full step along one axis."""

# Radius of the walker in pictures: 8 of 64 pixels, light on dark. Of a small figure on white, an
# autoencoder that is trained on hundreds of pictures learns the white alone.
_DOT = 0.25


@final
class PointWalker(BatchedSimulation):
    """A point in [-1, 1]^2 that starts in the middle and steps ``0.05 * clip(action, -1, 1)``.

    Walls clip. Only the last position is paid: ``(R - d) / R`` inside of a reward area (see
    `envs.worlds.final_reward`). Nothing is random: an episode is decided by its actions. This is
    the walker on which novelty search is compared with search that exploits what it found.

    Observation: float32 ``[2]``, the position in world units; or with ``observation="image"`` a
    picture of it, uint8 ``[64, 64, 3]``, in which the reward areas are not shown.

    Args:
        num_envs: columns, B.
        observation: ``"position"`` or ``"image"``.
        areas: ``[K, 3]``, see `envs.worlds.final_reward.RewardAreas`.
        horizon: steps of an episode; the last one terminates.
        final_image: whether ``info`` has ``final_image``, the picture of the last state.

    Raises:
        ValueError: an option that is none of these.
    """

    def __init__(
        self,
        num_envs: int,
        *,
        observation: str = "position",
        areas: Sequence[Sequence[float]] = AREAS,
        horizon: int = 50,
        final_image: bool = False,
    ) -> None:
        self.num_envs = num_envs
        self._pictured = choice("observation", observation, ("position", "image")) == "image"
        self.observation_space = (
            spaces.Box(0, 255, (IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
            if self._pictured
            else spaces.Box(-1.0, 1.0, (2,), np.float32)
        )
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.goal = FinalReward(num_envs, areas, horizon, self.paint if final_image else None)
        self.info_keys = self.goal.info_keys
        self._position = np.zeros((num_envs, 2))

    def reset(self, columns: np.ndarray, random: ColumnRandom) -> None:
        """Put some columns in the middle; draws nothing."""
        self._position[columns] = 0.0
        self.goal.reset(columns)

    def observe(self) -> np.ndarray:
        """Return the positions or their pictures."""
        if self._pictured:
            return self.paint(np.arange(self.num_envs), IMAGE_SIZE)
        return self._position.astype(np.float32)

    def step(self, actions: np.ndarray, random: ColumnRandom) -> Outcome:
        """Move every point."""
        moved = self._position + STEP * np.clip(actions.astype(np.float64), -1.0, 1.0)
        self._position = np.clip(moved, -1.0, 1.0)
        return Outcome(*self.goal.step(self._position))

    def reset_info(self) -> dict[str, np.ndarray]:
        """Return the info of the present state."""
        return self.goal.reset_info(self._position)

    def paint(self, columns: np.ndarray, size: int) -> np.ndarray:
        """Return pictures of some columns, uint8 ``[n, size, size, 3]``; no areas are shown."""
        canvas = Canvas(len(columns), size, background=BLACK)
        canvas.disc(self._position[columns, 0], self._position[columns, 1], _DOT, LIGHT)
        return canvas.pixels

    def state(self) -> dict[str, np.ndarray]:
        """Return position and time."""
        return {"position": self._position.copy(), **self.goal.state()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        self._position[...] = state["position"]
        self.goal.set_state(state)

    def render(self) -> np.ndarray:
        """Return a picture of column 0 with the reward areas in green, uint8 ``[256, 256, 3]``."""
        canvas = Canvas(1, 256, half=1.05, background=LIGHT)
        canvas.box((-1.0, -1.0), (1.0, 1.0), WHITE)
        for center, radius in zip(self.goal.areas.centers, self.goal.areas.radii, strict=True):
            canvas.disc(center[:1], center[1:], radius, GREEN)
        canvas.disc(self._position[:1, 0], self._position[:1, 1], 0.03, BLUE)
        return canvas.pixels[0]
