"""A two-wheeled robot in a maze whose dead ends point at the reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
from gymnasium import spaces

from envs.simulation import BatchedSimulation, ColumnRandom, Outcome
from envs.worlds.drawing import BLACK, BLUE, GREEN, RED, Canvas
from envs.worlds.final_reward import FinalReward

WALLS = (
    (-1.0, -1.0, 1.0, -1.0),
    (1.0, -1.0, 1.0, 1.0),
    (1.0, 1.0, -1.0, 1.0),
    (-1.0, 1.0, -1.0, -1.0),
    (-1.0, -0.4, 0.45, -0.4),  # the start lies below: only the way to the right is open
    (-0.45, -0.4, -0.3, -0.7),  # a stub that the robot has to pass
    (1.0, 0.25, -0.4, 0.25),  # the middle lies below: only the way to the left is open
    (0.1, 0.25, 0.0, -0.15),  # a dead end on the way
    (-0.4, 0.25, -0.4, 0.7),  # up and over
    (0.25, 1.0, 0.25, 0.55),  # down and under, to the last room
)
"""Segments from (x, y) to (x, y), world units; the first four are the border."""

AREAS = ((0.75, 0.75, 0.15), (-0.75, -0.1, 0.15))
"""Centre x, centre y and radius of the reward areas: the last room, and a place half way."""

START = (-0.8, -0.75, 0.0)
"""x, y (world units) and heading (radians) at the start."""

RADIUS = 0.05
"""Of the robot, world units."""

MAX_STEP = 0.01
"""World units that a wheel rolls in a full step, a fifth of the radius."""

RAY_ANGLES = (-np.pi / 2, -np.pi / 4, 0.0, np.pi / 4, np.pi / 2)
RAY_LENGTH = 1.0

_FROM = np.array(WALLS)[:, :2]
_ALONG = np.array(WALLS)[:, 2:] - _FROM
_LENGTH = _ALONG[:, 0] ** 2 + _ALONG[:, 1] ** 2


@final
class HardMaze(BatchedSimulation):
    """A disc with two wheels, five range sensors and two bumpers; 2000 steps.

    Actions are the speeds of the left and the right wheel. With wheels at +-radius, a step rolls
    them ``0.01 * clip(action, -1, 1)``: the robot turns by ``(right - left) / (2 * radius)`` (at
    most 0.2 radians) and moves by their mean along the middle of old and new heading. A robot that
    overlaps a wall is moved out along the shortest way, so it slides along walls; where that leads
    into another wall it stays where it was. It is therefore always at least its radius away from
    every wall, and a step is shorter than that: no wall can be passed. Only the last position is
    paid (see `envs.worlds.final_reward`). Nothing is random.

    Robot, sensors, number of steps and the kind of maze (the direct way to the reward is a dead
    end) are those of the literature; walls, sizes and areas are our own.

    Observation, float32 ``[7]``: distance from the robot's centre to the next wall at -90, -45, 0,
    45 and 90 degrees (left is positive), divided by the range of 1 and at most 1; then whether the
    left and the right bumper (the front quarter circles) touch a wall.

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
        horizon: int = 2000,
        final_image: bool = False,
    ) -> None:
        self.num_envs = num_envs
        self.observation_space = spaces.Box(0.0, 1.0, (7,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.goal = FinalReward(num_envs, areas, horizon, self.paint if final_image else None)
        self.info_keys = self.goal.info_keys
        self._position = np.zeros((num_envs, 2))
        self._heading = np.zeros(num_envs)
        self._bumpers = np.zeros((num_envs, 2), dtype=bool)

    def reset(self, columns: np.ndarray, random: ColumnRandom) -> None:
        """Put some columns at the start; draws nothing."""
        self._position[columns] = START[:2]
        self._heading[columns] = START[2]
        self._bumpers[columns] = False
        self.goal.reset(columns)

    def observe(self) -> np.ndarray:
        """Return ranges and bumpers."""
        heading = self._heading[:, None] + np.array(RAY_ANGLES)
        ranges = _ranges(self._position, np.cos(heading), np.sin(heading)) / RAY_LENGTH
        return np.concatenate([ranges, self._bumpers], axis=1, dtype=np.float32)

    def step(self, actions: np.ndarray, random: ColumnRandom) -> Outcome:
        """Turn the wheels once."""
        rolled = MAX_STEP * np.clip(actions.astype(np.float64), -1.0, 1.0)
        turn = (rolled[:, 1] - rolled[:, 0]) / (2.0 * RADIUS)
        forward = (rolled[:, 0] + rolled[:, 1]) / 2.0
        middle = self._heading + turn / 2.0
        self._heading = np.mod(self._heading + turn + np.pi, 2.0 * np.pi) - np.pi
        moved = np.empty_like(self._position)
        moved[:, 0] = self._position[:, 0] + forward * np.cos(middle)
        moved[:, 1] = self._position[:, 1] + forward * np.sin(middle)
        self._collide(moved)
        return Outcome(*self.goal.step(self._position))

    def _collide(self, moved: np.ndarray) -> None:
        """Take over the new positions, moved out of the walls."""
        self._bumpers = np.zeros((self.num_envs, 2), dtype=bool)
        hit = np.flatnonzero(_away(moved)[0].min(axis=1) < RADIUS)
        if len(hit):
            place, heading = moved[hit], self._heading[hit]
            for _ in range(3):
                distance, away = _away(place)
                nearest = distance.argmin(axis=1)
                distance = np.take_along_axis(distance, nearest[:, None], axis=1)
                away = np.take_along_axis(away, nearest[:, None, None], axis=1)[:, 0]
                inside = distance < RADIUS
                unit = away / np.maximum(distance, 1e-12)
                # Bumpers touch where the wall lies in front, to the left or to the right.
                ahead = -(np.cos(heading) * unit[:, 0] + np.sin(heading) * unit[:, 1])
                left = np.sin(heading) * unit[:, 0] - np.cos(heading) * unit[:, 1]
                touches = np.stack([left >= -1e-9, left <= 1e-9], axis=1)
                self._bumpers[hit] |= inside & (ahead > 0.0)[:, None] & touches
                place = np.where(inside, place + (RADIUS - distance) * unit, place)
            blocked = _away(place)[0].min(axis=1) < RADIUS - 1e-9
            place[blocked] = self._position[hit[blocked]]
            moved[hit] = place
        self._position = moved

    def reset_info(self) -> dict[str, np.ndarray]:
        """Return the info of the present state."""
        return self.goal.reset_info(self._position)

    def paint(self, columns: np.ndarray, size: int) -> np.ndarray:
        """Return pictures of some columns, uint8 ``[n, size, size, 3]``; no areas are shown."""
        canvas = Canvas(len(columns), size, half=1.05, background=_maze(size))
        self._draw(canvas, columns)
        return canvas.pixels

    def _draw(self, canvas: Canvas, columns: np.ndarray) -> None:
        x, y = self._position[columns, 0].copy(), self._position[columns, 1].copy()
        heading = self._heading[columns]
        canvas.disc(x, y, RADIUS, BLUE)
        nose_x, nose_y = x + RADIUS * np.cos(heading), y + RADIUS * np.sin(heading)
        canvas.disc(nose_x, nose_y, 0.02, RED)

    def state(self) -> dict[str, np.ndarray]:
        """Return pose, bumpers and time."""
        return {
            "position": self._position.copy(),
            "heading": self._heading.copy(),
            "bumpers": self._bumpers.copy(),
            **self.goal.state(),
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        self._position[...] = state["position"]
        self._heading[...] = state["heading"]
        self._bumpers[...] = state["bumpers"]
        self.goal.set_state(state)

    def render(self) -> np.ndarray:
        """Return a picture of column 0 with the reward areas in green, uint8 ``[256, 256, 3]``."""
        canvas = Canvas(1, 256, half=1.05, background=_maze(256))
        for center, radius in zip(self.goal.areas.centers, self.goal.areas.radii, strict=True):
            canvas.disc(center[:1], center[1:], radius, GREEN)
        self._draw(canvas, np.array([0]))
        return canvas.pixels[0]


def _away(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance to every wall ``[n, W]`` and the vector from it ``[n, W, 2]``."""
    x, y = position[:, :1] - _FROM[:, 0], position[:, 1:] - _FROM[:, 1]
    share = np.clip((x * _ALONG[:, 0] + y * _ALONG[:, 1]) / _LENGTH, 0.0, 1.0)
    x, y = x - share * _ALONG[:, 0], y - share * _ALONG[:, 1]
    return np.sqrt(x * x + y * y), np.stack([x, y], axis=2)


def _ranges(position: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
    """Return how far a ray from each position runs before a wall, ``[n, R]``."""
    x, y = _FROM[:, 0] - position[:, :1], _FROM[:, 1] - position[:, 1:]
    cos, sin = cos[:, :, None], sin[:, :, None]
    # Position + t * ray = wall start + s * wall, solved by cross products.
    across = cos * _ALONG[:, 1] - sin * _ALONG[:, 0]
    safe = np.where(np.abs(across) < 1e-12, np.inf, across)
    length = (x * _ALONG[:, 1] - y * _ALONG[:, 0])[:, None, :] / safe
    share = (x[:, None, :] * sin - y[:, None, :] * cos) / safe
    hit = (length >= 0.0) & (share >= 0.0) & (share <= 1.0) & np.isfinite(safe)
    return np.where(hit, length, RAY_LENGTH).min(axis=2).clip(max=RAY_LENGTH)


def _maze(size: int) -> np.ndarray:
    """Return a picture of the walls, uint8 ``[size, size, 3]``."""
    canvas = Canvas(1, size, half=1.05)
    for wall in np.array(WALLS):
        canvas.line(wall[:1], wall[1:2], wall[2:3], wall[3:], width=0.03, color=BLACK)
    return canvas.pixels[0]
