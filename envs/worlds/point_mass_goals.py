"""A point mass among sparse goals, with everything around it that makes a reward hard to write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
from gymnasium import spaces

from envs.simulation import BatchedSimulation, ColumnRandom, Outcome
from envs.worlds.drawing import LIGHT, ORANGE, WHITE, Canvas
from envs.worlds.final_reward import RewardAreas
from envs.worlds.options import not_negative, positive, table
from envs.worlds.point_mass import advance, draw_mass

GOALS = ((0.8, 0.4, 0.15), (-0.8, 0.4, 0.15))
HAZARDS = ((0.45, 0.2, 0.15),)
_MEMORY = 0.9  # of the distractors from one step to the next
_START = 0.05


@final
class PointMassGoals(BatchedSimulation):
    """A point mass (see `envs.worlds.point_mass.advance`) in [-1, 1]^2, starting near the middle.

    It starts at rest at ``U(-0.05, 0.05)^2``. Walls clip the position and stop the velocity across
    them. The reward is 1 on the step that ends inside of a goal, which terminates, else 0; the
    time limit of 100 steps truncates.

    - Two users with opposite tastes: ``goal`` in ``info`` says which goal was reached.
    - Exploration among distractors: ``distractors`` numbers that the actions do not touch follow
      in the observation, each a stationary AR(1) process with standard deviation 1
      (``x' = 0.9 x + sqrt(0.19) n``, n ~ N(0, 1), begun at N(0, 1)).
    - Constraints by indicator: ``in_hazard`` and ``is_speeding`` in ``info`` are events to be kept
      below a rate. The default hazard lies on the straight way to the first goal.

    Observation, float32 ``[4 + distractors]``: position, velocity, distractors.

    Args:
        num_envs: columns, B.
        goals: ``[K, 3]``: x and y of the centre, and the radius.
        hazards: ``[H, 3]``, likewise; they do nothing but show up in ``info``.
        speed_limit: speed beyond which ``is_speeding``.
        distractors: numbers of noise in the observation.

    Raises:
        ValueError: an option that is none of these.
    """

    info_keys: Mapping[str, str] = {
        "position": "x and y after the step, world units, shape [2]",
        "goal": "index of the goal that holds the position, -1 for none",
        "is_success": "whether a goal was reached",
        "in_hazard": "whether the position is inside of a hazard",
        "speed": "after the step, in the units of the velocity",
        "is_speeding": "whether the speed is above the limit",
    }

    def __init__(
        self,
        num_envs: int,
        *,
        goals: Sequence[Sequence[float]] = GOALS,
        hazards: Sequence[Sequence[float]] = HAZARDS,
        speed_limit: float = 0.5,
        distractors: int = 0,
    ) -> None:
        not_negative("distractors", distractors)
        self.num_envs = num_envs
        self.observation_space = spaces.Box(-np.inf, np.inf, (4 + distractors,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._goals, self._hazards = RewardAreas(goals), RewardAreas(hazards)
        self._pictured = table("goals", goals, 3), table("hazards", hazards, 3)
        self._limit = positive("speed_limit", speed_limit)
        self._position = np.zeros((num_envs, 2))
        self._velocity = np.zeros((num_envs, 2))
        self._noise = np.zeros((num_envs, distractors))

    def reset(self, columns: np.ndarray, random: ColumnRandom) -> None:
        """Draw new places and distractors."""
        for column in columns.tolist():
            generator = random.generator(column)
            self._position[column] = generator.uniform(-_START, _START, 2)
            self._noise[column] = generator.standard_normal(self._noise.shape[1])
        self._velocity[columns] = 0.0

    def observe(self) -> np.ndarray:
        """Return position, velocity and distractors."""
        parts = [self._position, self._velocity, self._noise]
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def step(self, actions: np.ndarray, random: ColumnRandom) -> Outcome:
        """Push every mass and move the distractors on."""
        moved, velocity = advance(self._position, self._velocity, actions)
        self._position = np.clip(moved, -1.0, 1.0)
        self._velocity = np.where(moved == self._position, velocity, 0.0)
        if size := self._noise.shape[1]:
            fresh = np.sqrt(1.0 - _MEMORY**2) * random.normal(size)
            self._noise = _MEMORY * self._noise + fresh
        info = self.reset_info()
        reached = info["is_success"]
        return Outcome(reached.astype(np.float64), reached.copy(), info)

    def reset_info(self) -> dict[str, np.ndarray]:
        """Return the info of the present state."""
        _, goal = self._goals.score(self._position)
        _, hazard = self._hazards.score(self._position)
        speed = np.sqrt(self._velocity[:, 0] ** 2 + self._velocity[:, 1] ** 2)
        return {
            "position": self._position.copy(),
            "goal": goal,
            "is_success": goal >= 0,
            "in_hazard": hazard >= 0,
            "speed": speed,
            "is_speeding": speed > self._limit,
        }

    def state(self) -> dict[str, np.ndarray]:
        """Return position, velocity and distractors."""
        return {
            "position": self._position.copy(),
            "velocity": self._velocity.copy(),
            "noise": self._noise.copy(),
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        self._position[...] = state["position"]
        self._velocity[...] = state["velocity"]
        self._noise[...] = state["noise"]

    def render(self) -> np.ndarray:
        """Return a picture of column 0: mass (blue), goals (green), hazards (orange)."""
        canvas = Canvas(1, 256, half=1.05, background=LIGHT)
        canvas.box((-1.0, -1.0), (1.0, 1.0), WHITE)
        goals, hazards = self._pictured
        for x, y, radius in hazards:
            canvas.disc(np.array([x]), np.array([y]), radius, ORANGE)
        draw_mass(canvas, goals, self._position[0], self._velocity[0])
        return canvas.pixels[0]
