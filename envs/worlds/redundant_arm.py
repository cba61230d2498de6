"""An arm of twenty joints that is paid for where its tip ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
from gymnasium import spaces

from envs.simulation import BatchedSimulation, ColumnRandom, Outcome
from envs.worlds.drawing import BLACK, GREEN, RED, Canvas
from envs.worlds.final_reward import FinalReward

JOINTS = 20
LENGTH = 1.0 / JOINTS
"""World units of a link: the stretched arm reaches the unit circle."""

MAX_RATE = 0.1
"""Radians of a full step of one joint."""

MAX_ANGLE = np.pi / 2
"""Radians to either side at which every joint stops."""

AREAS = ((-0.57, 0.63, 0.1), (0.03, -0.87, 0.05), (-0.43, -0.22, 0.05))
"""Centre x, centre y and radius of the three reward areas."""


@final
class RedundantArm(BatchedSimulation):
    """Twenty links of length 0.05 in the plane, from a base at the origin.

    It starts stretched along +x. A step adds ``0.1 * clip(action, -1, 1)`` radians to each joint,
    which stops at +-pi/2; link k points along the sum of the first k joint angles. There is no
    inertia and links may cross, so the tip reaches all of the unit disc. Only the last position of
    the tip is paid (see `envs.worlds.final_reward`). Nothing is random.

    Many joint angles give one position of the tip: what makes this task hard is the gap between the
    twenty dimensions that are searched and the two that are paid. Number of joints and steps are
    those of the literature; rates, limits and areas are our own.

    Observation, float32 ``[22]``: the joint angles divided by pi/2, then x and y of the tip (world
    units).

    Args:
        num_envs: columns, B.
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
        areas: Sequence[Sequence[float]] = AREAS,
        horizon: int = 100,
        final_image: bool = False,
    ) -> None:
        self.num_envs = num_envs
        self.observation_space = spaces.Box(-1.001, 1.001, (JOINTS + 2,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (JOINTS,), np.float32)
        self.goal = FinalReward(num_envs, areas, horizon, self.paint if final_image else None)
        self.info_keys = self.goal.info_keys
        self._angles = np.zeros((num_envs, JOINTS))
        self._tip = np.zeros((num_envs, 2))

    def reset(self, columns: np.ndarray, random: ColumnRandom) -> None:
        """Stretch the arms of some columns; draws nothing."""
        self._angles[columns] = 0.0
        self._update_tip()
        self.goal.reset(columns)

    def observe(self) -> np.ndarray:
        """Return joint angles and tip."""
        return np.concatenate([self._angles / MAX_ANGLE, self._tip], axis=1, dtype=np.float32)

    def step(self, actions: np.ndarray, random: ColumnRandom) -> Outcome:
        """Turn every joint."""
        turned = self._angles + MAX_RATE * np.clip(actions.astype(np.float64), -1.0, 1.0)
        self._angles = np.clip(turned, -MAX_ANGLE, MAX_ANGLE)
        self._update_tip()
        return Outcome(*self.goal.step(self._tip))

    def reset_info(self) -> dict[str, np.ndarray]:
        """Return the info of the present state."""
        return self.goal.reset_info(self._tip)

    def _points(self, columns: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y of the ends of all links, ``[n, 20]`` each."""
        # A running sum adds in the same order whatever the batch is.
        heading = np.cumsum(self._angles[columns], axis=1)
        return (
            np.cumsum(LENGTH * np.cos(heading), axis=1),
            np.cumsum(LENGTH * np.sin(heading), axis=1),
        )

    def _update_tip(self) -> None:
        x, y = self._points()
        self._tip = np.stack([x[:, -1], y[:, -1]], axis=1)

    def paint(self, columns: np.ndarray, size: int) -> np.ndarray:
        """Return pictures of some columns, uint8 ``[n, size, size, 3]``; no areas are shown."""
        canvas = Canvas(len(columns), size, half=1.1)
        self._draw(canvas, columns)
        return canvas.pixels

    def _draw(self, canvas: Canvas, columns: np.ndarray) -> None:
        x, y = self._points(columns)
        start_x = start_y = np.zeros(len(columns))
        for link in range(JOINTS):
            canvas.line(start_x, start_y, x[:, link], y[:, link], width=0.04, color=BLACK)
            start_x, start_y = x[:, link], y[:, link]
        canvas.disc(start_x, start_y, 0.04, RED)

    def state(self) -> dict[str, np.ndarray]:
        """Return joint angles and time."""
        return {"angles": self._angles.copy(), **self.goal.state()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        self._angles[...] = state["angles"]
        self._update_tip()
        self.goal.set_state(state)

    def render(self) -> np.ndarray:
        """Return a picture of column 0 with the reward areas in green, uint8 ``[256, 256, 3]``."""
        canvas = Canvas(1, 256, half=1.1)
        for center, radius in zip(self.goal.areas.centers, self.goal.areas.radii, strict=True):
            canvas.disc(center[:1], center[1:], radius, GREEN)
        self._draw(canvas, np.array([0]))
        return canvas.pixels[0]
