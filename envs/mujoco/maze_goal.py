"""Mazes with one goal, paid once: a ball or an ant has to find the way.

The simulation is that of gymnasium-robotics (PointMaze and AntMaze). What differs is the task:
an episode ends at the goal, the reward is exactly known, the observation can be one flat array, and
a lure can be placed near the start.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium_robotics.envs.maze import maps
from gymnasium_robotics.envs.maze.ant_maze_v5 import AntMazeEnv
from gymnasium_robotics.envs.maze.point_maze import PointMazeEnv

_ROBOTS = {"point": PointMazeEnv, "ant": AntMazeEnv}
# Cells from the top left; 1 is a wall.
_WALLS: dict[str, list[list[int]]] = {
    "umaze": maps.U_MAZE,
    "medium": maps.MEDIUM_MAZE,
    "large": maps.LARGE_MAZE,
    "fork": [
        [1, 1, 1, 1, 1, 1, 1],
        [1, 0, 0, 0, 0, 0, 1],
        [1, 1, 1, 1, 1, 0, 1],
        [1, 0, 0, 0, 0, 0, 1],
        [1, 1, 1, 1, 1, 1, 1],
    ],
}
# Row and column of the start and of the goal.
_ENDS = {
    "umaze": ((1, 1), (3, 1)),
    "medium": ((1, 1), (6, 6)),
    "large": ((1, 1), (7, 10)),
    "fork": ((1, 3), (3, 1)),
}
_LURE = (1, 1)
_INFO = {
    "x_position": "x of the robot, m",
    "y_position": "y of the robot, m",
    "goal_distance": "straight distance to the goal through walls, m",
    "is_success": "the goal is reached",
}


@final
class MazeGoalEnv(gymnasium.Env[Any, np.ndarray]):
    """A robot that has to come within ``radius`` of a goal behind walls.

    Reward: exactly 1.0 on the step after which the robot's (x, y) is at most ``radius`` from the
    goal, which terminates the episode; 0.0 on every other step. With a lure, coming within
    ``radius`` of the lure terminates too and pays ``lure`` instead (the goal goes first where both
    are met). There is no other termination: a fallen ant may get up. The undiscounted return is
    1.0 for success, ``lure`` for the lure, else 0.0.

    The lure makes a local optimum. In the fork it is 2 cells to the left of the start, above the
    goal, while the way to the goal is 8 cells and begins to the right: walking towards the goal
    finds the lure, and a learner that has found only the lure loses by leaving it.

    An episode starts in the start cell and the goal is in the goal cell, both moved by uniform
    noise of at most a quarter of a cell in x and y. Cells are 1 m wide for the ball and 4 m for the
    ant. With ``random_cells`` start and goal are in any two different free cells.

    Observation of the ball: float64 ``[6]``: x, y (m), their velocities (m/s), x and y of the goal
    (m). Of the ant: x, y of the torso (m), the numbers of ``AntMaze_UMaze-v5``, x and y of the goal
    (m). With ``goal_keys`` it is the dict of gymnasium-robotics (``observation``,
    ``achieved_goal``, ``desired_goal``), and `compute_reward` is there for hindsight replay.
    Action: as in PointMaze (``[2]``, force) or AntMaze (``[8]``, torques), in [-1, 1].

    Args:
        robot: ``"point"`` or ``"ant"``.
        maze: ``"umaze"``, ``"medium"``, ``"large"`` or ``"fork"``.
        radius: distance in metres at which the goal is reached; finite and positive.
        goal_keys: give goal-keyed observations instead of flat ones.
        random_cells: draw start and goal anew in every episode.
        lure: what the lure pays, in (0, 1); None for no lure. Only in the fork, with flat
            observations and fixed cells.
        render_mode: as in gymnasium-robotics.
        **kwargs: passed on to the environment of gymnasium-robotics, such as ``xml_file``.

    Raises:
        ValueError: for an unknown robot or maze, a radius that is not positive and finite, or a
            lure where none can be.
    """

    def __init__(
        self,
        robot: str = "point",
        maze: str = "umaze",
        *,
        radius: float = 0.45,
        goal_keys: bool = False,
        random_cells: bool = False,
        lure: float | None = None,
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        for name, value, valid in (("robot", robot, _ROBOTS), ("maze", maze, _WALLS)):
            if value not in valid:
                raise ValueError(f"{name} must be one of {', '.join(valid)}, got {value!r}.")
        if not (math.isfinite(radius) and radius > 0):
            raise ValueError(f"radius must be a positive finite number of metres, got {radius!r}.")
        if lure is not None and (maze != "fork" or goal_keys or random_cells or not 0 < lure < 1):
            raise ValueError(
                "lure must be between 0 and 1, in the maze 'fork', without goal_keys and "
                f"random_cells; got lure={lure!r}, maze={maze!r}, goal_keys={goal_keys}, "
                f"random_cells={random_cells}."
            )
        cells: list[list[Any]] = copy.deepcopy(_WALLS[maze])
        if not random_cells:
            for (row, column), mark in zip(_ENDS[maze], (maps.RESET, maps.GOAL), strict=True):
                cells[row][column] = mark
        self.robot_env: Any = _ROBOTS[robot](
            maze_map=cells, continuing_task=False, render_mode=render_mode, **kwargs
        )
        # The compiled model is in memory; gymnasium-robotics would leave a file per environment.
        Path(self.robot_env.tmp_xml_file_path).unlink(missing_ok=True)
        self.metadata = self.robot_env.metadata
        self.render_mode = render_mode
        self.radius = float(radius)
        self.goal_keys = goal_keys
        self.lure = lure
        self._lure_position = self.robot_env.maze.cell_rowcol_to_xy(np.array(_LURE))
        self._position_is_observed = robot == "point"
        self.action_space = self.robot_env.action_space
        keyed = self.robot_env.observation_space
        size = keyed["observation"].shape[0] + (2 if self._position_is_observed else 4)
        flat = spaces.Box(-np.inf, np.inf, (size,), np.float64)
        self.observation_space = keyed if goal_keys else flat

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: starts the random numbers of start and goal anew; None goes on with them.
            options: as in gymnasium-robotics: ``goal_cell`` and ``reset_cell``, each a row and a
                column.
        """
        super().reset(seed=seed)
        keyed, _ = self.robot_env.reset(seed=seed, options=options)
        return self._observation(keyed), self._info(keyed["achieved_goal"])

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step once; see the class for the reward, the end of an episode and ``info``."""
        keyed = self.robot_env.step(action)[0]
        info = self._info(keyed["achieved_goal"])
        reward = float(info["is_success"])
        lured = info.get("is_lured", False)
        if self.lure is not None and lured:
            reward = self.lure
        return self._observation(keyed), reward, info["is_success"] or lured, False, info

    def compute_reward(
        self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any
    ) -> np.ndarray | np.float64:
        """Return the reward for other goals, for hindsight replay.

        Args:
            achieved_goal: ``[..., 2]``, x and y after the step (m).
            desired_goal: ``[..., 2]``, x and y of the goal (m).
            info: not read.

        Returns:
            float64 ``[...]``: 1.0 within ``radius``, else 0.0.
        """
        distance = np.linalg.norm(np.asarray(achieved_goal) - desired_goal, axis=-1)
        return (distance <= self.radius).astype(np.float64)

    def render(self) -> Any:
        """Return what the environment of gymnasium-robotics renders."""
        return self.robot_env.render()

    def close(self) -> None:
        """Close the renderer."""
        self.robot_env.close()

    @property
    def info_keys(self) -> dict[str, str]:
        """Every name in ``info``, with its meaning."""
        lured = {"is_lured": "the lure is reached (and not the goal)"}
        return _INFO if self.lure is None else _INFO | lured

    @property
    def model(self) -> Any:
        """MuJoCo's model."""
        return self.robot_env.model

    @property
    def data(self) -> Any:
        """MuJoCo's data."""
        return self.robot_env.data

    def _observation(self, keyed: dict[str, np.ndarray]) -> Any:
        if self.goal_keys:
            return keyed
        position = [] if self._position_is_observed else [keyed["achieved_goal"]]
        return np.concatenate([*position, keyed["observation"], keyed["desired_goal"]])

    def _info(self, position: np.ndarray) -> dict[str, Any]:
        distance = float(np.linalg.norm(position - self.robot_env.goal))
        info: dict[str, Any] = {
            "x_position": float(position[0]),
            "y_position": float(position[1]),
            "goal_distance": distance,
            "is_success": distance <= self.radius,
        }
        if self.lure is not None:
            near = float(np.linalg.norm(position - self._lure_position)) <= self.radius
            info["is_lured"] = near and not info["is_success"]
        return info
