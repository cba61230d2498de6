"""Rooms in a row, blocks that move in them, and trackers that say how far an explorer came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import numpy as np
from gymnasium import spaces

from envs.simulation import Arrays, BatchedSimulation, ColumnRandom, Outcome
from envs.worlds.options import choice

# Up, down, left, right, wait; the agent's fifth action.
_MOVES = np.array([(-1, 0), (1, 0), (0, -1), (0, 1), (0, 0)])
_WAIT = 4
_ROOMS, _SIDE, _SIGHT = 5, 5, 2
_NOISES = ("none", "brownian_blocks", "pixels", "pixels_on_demand")
_PIXEL_PROBABILITY = 0.25
_WALL, _BLOCK, _TRACKER, _PIXELS = range(4)
_COLOURS = ((60, 60, 60), (220, 120, 40), (60, 170, 80))


@final
class TrackerMaze(BatchedSimulation):
    """Five rooms in a row, four moving blocks in the way and a tracker at the end of each room.

    The setting of the maze experiments of Jarrett et al. 2023 (arXiv 2211.10515): a small grid
    seen through a window, trackers that lie ever farther behind moving blocks, and four kinds of
    noise; the layout is ours.

    Rooms of 5x5 cells, numbered 0 to 4 from left to right, with a door in the middle of the wall
    between two of them. The agent starts in the middle of room 0. Every room from 1 on has a block
    and, in the middle of its right-hand side, a tracker, which is reached by stepping on it. The
    block moves in the column of cells left of the tracker's; nothing can enter its cell, and it
    does not enter the agent's. Actions: 0 up, 1 down, 2 left, 3 right, 4 wait. No reward, no end.

    Observation: float32 ``[4, 5, 5]`` of 0 and 1, the 5x5 cells around the agent: walls (also
    everything outside), blocks, trackers, and a layer of noise pixels.

    Args:
        num_envs: columns, B.
        noise: ``none``: the blocks go up and down, a cell per step, turning at the walls;
            ``brownian_blocks``: each block moves up, down or not at all, at random, at every step;
            ``pixels``: blocks as in ``none``, and at every step each pixel of the noise layer is 1
            with probability 0.25; ``pixels_on_demand``: the same in steps in which the agent
            waits, while the layer is empty after all others.

    Raises:
        ValueError: an unknown ``noise``.
    """

    def __init__(self, num_envs: int, *, noise: str = "none") -> None:
        self.num_envs = num_envs
        self._noise = choice("noise", noise, _NOISES)
        window = 2 * _SIGHT + 1
        self.observation_space = spaces.Box(0.0, 1.0, (4, window, window), np.float32)
        self.action_space = spaces.Discrete(5)
        self.info_keys = {
            "position": "row and column of the agent, int64 [2]",
            "state_index": "number of the agent's cell, int64 []",
            "room": "0 to 4; the door left of a room belongs to it",
            "tracker": "1 in a step that reached a tracker for the first time, else 0",
            "trackers_reached": "different trackers reached in this episode, 0 to 4",
            "tv": "1 in a step that drew noise pixels, else 0",
        }
        self._layout()
        self._agent = np.zeros((num_envs, 2), dtype=np.int64)
        self._block = np.zeros((num_envs, _ROOMS - 1), dtype=np.int64)
        self._heading = np.ones((num_envs, _ROOMS - 1), dtype=np.int64)
        self._reached = np.zeros((num_envs, _ROOMS - 1), dtype=np.bool_)
        self._pixels = np.zeros((num_envs, window, window), dtype=np.bool_)

    def _layout(self) -> None:
        width = _ROOMS * (_SIDE + 1) - 1
        # A margin of walls as wide as the sight, so that every window lies inside.
        self._walls = np.ones((_SIDE + 2 * _SIGHT, width + 2 * _SIGHT), dtype=np.bool_)
        self._middle = _SIGHT + _SIDE // 2
        first = _SIGHT + (_SIDE + 1) * np.arange(_ROOMS)
        for column in first.tolist():
            self._walls[_SIGHT : _SIGHT + _SIDE, column : column + _SIDE] = False
        self._walls[self._middle, first[1:] - 1] = False
        self._tracker_column = first[1:] + _SIDE - 1
        self._block_column = first[1:] + _SIDE - 2
        self._trackers = np.zeros_like(self._walls)
        self._trackers[self._middle, self._tracker_column] = True

    def reset(self, columns: np.ndarray, random: ColumnRandom) -> None:
        """Put agent and blocks in the middle, the blocks on their way down; no noise yet."""
        self._agent[columns] = self._middle
        self._block[columns], self._heading[columns] = self._middle, 1
        self._reached[columns], self._pixels[columns] = False, False

    def observe(self) -> Arrays:
        """Return the windows around the agents, float32 ``[B, 4, 5, 5]``."""
        offset = np.arange(-_SIGHT, _SIGHT + 1)
        rows = self._agent[:, 0, None, None] + offset[:, None]
        columns = self._agent[:, 1, None, None] + offset
        seen = np.empty((self.num_envs, *self.observation_space.shape), dtype=np.float32)  # type: ignore[misc]
        seen[:, _WALL] = self._walls[rows, columns]
        seen[:, _TRACKER] = self._trackers[rows, columns]
        blocks = (rows[..., None] == self._block[:, None, None]) & (
            columns[..., None] == self._block_column
        )
        seen[:, _BLOCK] = blocks.any(axis=-1)
        seen[:, _PIXELS] = self._pixels
        return seen

    def step(self, actions: np.ndarray, random: ColumnRandom) -> Outcome:
        """Move the agents, then the blocks, then draw the noise."""
        target = self._agent + _MOVES[actions.astype(np.int64)]
        blocked = self._walls[target[:, 0], target[:, 1]] | self._is_block(target)
        self._agent = np.where(blocked[:, None], self._agent, target)
        self._move_blocks(random)
        drawn = self._draw_pixels(actions, random)
        on = (self._agent[:, :1] == self._middle) & (self._agent[:, 1:] == self._tracker_column)
        new = on & ~self._reached
        self._reached |= on
        info = self._info(new.any(axis=1).astype(np.int64), drawn.astype(np.int64))
        return Outcome(np.zeros(self.num_envs), np.zeros(self.num_envs, dtype=np.bool_), info)

    def _is_block(self, cell: np.ndarray) -> np.ndarray:
        here = (cell[:, :1] == self._block) & (cell[:, 1:] == self._block_column)
        return here.any(axis=1)

    def _move_blocks(self, random: ColumnRandom) -> None:
        top, bottom = _SIGHT, _SIGHT + _SIDE - 1
        if self._noise == "brownian_blocks":
            heading = (3 * random.uniform(_ROOMS - 1)).astype(np.int64) - 1
            target = np.clip(self._block + heading, top, bottom)
        else:
            turning = (self._block + self._heading < top) | (self._block + self._heading > bottom)
            self._heading = np.where(turning, -self._heading, self._heading)
            target = self._block + self._heading
        row, column = self._agent[:, :1], self._agent[:, 1:]
        taken = (target == row) & (self._block_column == column)
        self._block = np.where(taken, self._block, target)

    def _draw_pixels(self, actions: np.ndarray, random: ColumnRandom) -> np.ndarray:
        """Draw the noise layer; return in which columns it was drawn, ``[B]``."""
        if not self._noise.startswith("pixels"):
            return np.zeros(self.num_envs, dtype=np.bool_)
        size = self._pixels[0].size
        noise = random.uniform(size).reshape(self._pixels.shape) < _PIXEL_PROBABILITY
        drawn = (actions == _WAIT) | (self._noise == "pixels")
        self._pixels = noise & drawn[:, None, None]
        return drawn

    def reset_info(self) -> dict[str, np.ndarray]:
        """Return the quantities of the present state; nothing has happened in it yet."""
        nothing = np.zeros(self.num_envs, dtype=np.int64)
        return self._info(nothing, nothing.copy())

    def _info(self, tracker: np.ndarray, tv: np.ndarray) -> dict[str, np.ndarray]:
        row, column = self._agent[:, 0], self._agent[:, 1]
        return {
            "position": self._agent - _SIGHT,
            "state_index": (row - _SIGHT) * (self._walls.shape[1] - 2 * _SIGHT) + column - _SIGHT,
            "room": (column - _SIGHT + 1) // (_SIDE + 1),
            "tracker": tracker,
            "trackers_reached": self._reached.sum(axis=1),
            "tv": tv,
        }

    def state(self) -> dict[str, np.ndarray]:
        """Return agents, blocks, their headings, reached trackers and noise pixels."""
        return {
            "agent": self._agent.copy(),
            "block": self._block.copy(),
            "heading": self._heading.copy(),
            "reached": self._reached.copy(),
            "pixels": self._pixels.copy(),
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        for name, values in state.items():
            setattr(self, f"_{name}", np.array(values))

    def render(self) -> np.ndarray:
        """Return the rooms, 16 pixels per cell, with the agent of column 0 in blue."""
        image = np.full((*self._walls.shape, 3), 235, dtype=np.uint8)
        for mask, colour in zip((self._walls, self._trackers), _COLOURS[::2], strict=True):
            image[mask] = colour
        image[self._block[0], self._block_column] = _COLOURS[_BLOCK]
        image[tuple(self._agent[0])] = (40, 90, 200)
        return image.repeat(16, axis=0).repeat(16, axis=1)
