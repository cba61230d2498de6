"""A unit square with a goal region in a corner and a tempting region on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
from gymnasium import spaces

from envs.simulation import Arrays, BatchedSimulation, ColumnRandom, Outcome
from envs.worlds.drawing import BLUE, GREEN, RED, Canvas
from envs.worlds.options import positive

_DIRECTIONS = np.array([(0.0, 1.0), (0.0, -1.0), (-1.0, 0.0), (1.0, 0.0)])
_GOAL = (0.75, 0.99)
_MIDDLE = (0.4, 0.6)
_GOAL_REWARD, _STEP_REWARD, _MIDDLE_REWARD = 100.0, -0.1, 50.0


@final
class GridRegions(BatchedSimulation):
    """A point that moves in four directions in the unit square.

    After the GridWorld of Gupta et al. 2023 (arXiv 2310.19007), whose regions, rewards, share of
    random actions and time limit of 50 steps it has; start, length and sub-steps of a move are
    ours.

    Observation: x and y, float32 ``[2]`` in [0, 1]. Actions: 0 up (+y), 1 down, 2 left, 3 right;
    with probability ``random_action`` a uniformly random one is made. A move goes ``step`` far, in
    ``substeps`` equal parts; the walls stop it.

    Task reward: -0.1 per step, and +100 when a part of the move ends in the goal region
    [0.75, 0.99] x [0.75, 0.99], which stops the move and ends the episode. Two further rewards are
    in the info and never part of the task's own: a good one, minus the squared distance to the
    middle of the goal region after the step, and a bad one, +50 for every part of the move that
    ends in the middle region [0.4, 0.6] x [0.4, 0.6].

    Args:
        num_envs: columns, B.
        start: x and y of the first position.
        step: length of a move.
        substeps: parts of a move.
        random_action: probability in [0, 1].

    Raises:
        ValueError: a start outside of the square, a step that is not positive, no sub-step, or a
            probability outside [0, 1].
    """

    def __init__(
        self,
        num_envs: int,
        *,
        start: tuple[float, float] | Sequence[float] = (0.1, 0.1),
        step: float = 0.1,
        substeps: int = 5,
        random_action: float = 0.1,
    ) -> None:
        if len(start) != 2 or not all(0 <= value <= 1 for value in start):
            raise ValueError(f"Expected x and y of the start in [0, 1], got {start}.")
        if not 0 <= random_action <= 1 or substeps < 1:
            raise ValueError(
                f"Expected a probability and at least 1 sub-step, got {random_action}, {substeps}."
            )
        self.num_envs = num_envs
        self.observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
        self.action_space = spaces.Discrete(4)
        self.info_keys = {
            "position": "x and y, float64 [2], each in [0, 1]",
            "goal": "1 on arriving in the goal region, else 0",
            "middle": "parts of this move that ended in the middle region, int64 []",
            "auxiliary_reward_good": "minus the squared distance to the middle of the goal region",
            "auxiliary_reward_bad": "50 for every part of this move in the middle region",
            "is_success": "whether the goal region has been reached, bool []",
        }
        self._start = np.array(start, dtype=np.float64)
        self._parts = positive("step", step) / substeps * np.arange(1, substeps + 1)
        self._random_action = random_action
        self._position = np.tile(self._start, (num_envs, 1))

    def reset(self, columns: np.ndarray, random: ColumnRandom) -> None:
        """Go to the start."""
        self._position[columns] = self._start

    def observe(self) -> Arrays:
        """Return the positions, float32 ``[B, 2]``."""
        return self._position.astype(np.float32)

    def step(self, actions: np.ndarray, random: ColumnRandom) -> Outcome:
        """Move in parts, until the goal region is reached."""
        drawn = random.uniform(2)
        other = (4 * drawn[:, 1]).astype(np.int64)
        move = _DIRECTIONS[np.where(drawn[:, 0] < self._random_action, other, actions)]
        path = self._position[:, None] + self._parts[:, None] * move[:, None]
        path = np.clip(path, 0.0, 1.0)
        arrived = _inside(path, _GOAL)
        goal = arrived.any(axis=1)
        last = np.where(goal, arrived.argmax(axis=1), len(self._parts) - 1)
        self._position = path[np.arange(self.num_envs), last]
        made = np.arange(len(self._parts)) <= last[:, None]
        middle = (_inside(path, _MIDDLE) & made).sum(axis=1)
        return Outcome(_STEP_REWARD + _GOAL_REWARD * goal, goal, self._info(middle))

    def reset_info(self) -> dict[str, np.ndarray]:
        """Return the quantities of the present positions; no part of a move has been made."""
        return self._info(np.zeros(self.num_envs, dtype=np.int64))

    def _info(self, middle: np.ndarray) -> dict[str, np.ndarray]:
        goal = _inside(self._position, _GOAL)
        distance = self._position - np.mean(_GOAL)
        return {
            "position": self._position.copy(),
            "goal": goal.astype(np.int64),
            "middle": middle,
            "auxiliary_reward_good": -(distance**2).sum(axis=1),
            "auxiliary_reward_bad": _MIDDLE_REWARD * middle,
            "is_success": goal,
        }

    def state(self) -> dict[str, np.ndarray]:
        """Return the positions, float64 ``[B, 2]``."""
        return {"position": self._position.copy()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over positions."""
        self._position = np.array(state["position"], dtype=np.float64)

    def render(self) -> np.ndarray:
        """Return the square with the goal in green, the middle in red and the point in blue."""
        canvas = Canvas(1, 200, center=(0.5, 0.5), half=0.5)
        for (low, high), color in ((_GOAL, GREEN), (_MIDDLE, RED)):
            canvas.box((low, low), (high, high), color)
        canvas.disc(self._position[:1, 0], self._position[:1, 1], 0.02, BLUE)
        return canvas.pixels[0]


def _inside(position: np.ndarray, region: tuple[float, float]) -> np.ndarray:
    # Positions are sums of parts: rounding must not decide what lies on the edge of a region.
    low, high = region[0] - 1e-9, region[1] + 1e-9
    return ((position >= low) & (position <= high)).all(axis=-1)
