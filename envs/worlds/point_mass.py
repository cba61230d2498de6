"""A point mass to be brought to the origin: the small task on which imitation is checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import numpy as np
from gymnasium import spaces

from envs.simulation import BatchedSimulation, ColumnRandom, Outcome
from envs.worlds.drawing import BLACK, BLUE, GREEN, Canvas
from envs.worlds.options import not_negative

HORIZON = 60
"""Steps of an episode."""


def advance(
    position: np.ndarray, velocity: np.ndarray, actions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Step the dynamics of all point masses here once.

    ``v' = 0.9 v + 0.1 clip(a, -1, 1)``, then ``p' = p + 0.2 v'``. A constant full action tends to
    the speed 1 along an axis.

    Args:
        position: p, ``[B, 2]``.
        velocity: v, ``[B, 2]``.
        actions: a, ``[B, 2]``.

    Returns:
        New position and velocity, float64 ``[B, 2]``.
    """
    velocity = 0.9 * velocity + 0.1 * np.clip(actions.astype(np.float64), -1.0, 1.0)
    return position + 0.2 * velocity, velocity


def expert(observation: np.ndarray) -> np.ndarray:
    """Return the actions of the demonstrations: ``clip(-3 p - 3 v, -1, 1)``.

    Args:
        observation: of `PointMass`, ``[..., 4 + n]``; numbers after the fourth are not looked at.

    Returns:
        float32 ``[..., 2]``.
    """
    pull = -3.0 * observation[..., :2] - 3.0 * observation[..., 2:4]
    return np.clip(pull, -1.0, 1.0).astype(np.float32)


@final
class PointMass(BatchedSimulation):
    """A point mass in the plane that starts at rest, p ~ U(-1, 1)^2; see `advance`.

    The reward of a step is ``-|p'|``, minus the distance from the origin after it. It never
    terminates; its time limit of 60 steps truncates. There are no walls.

    ``context`` numbers U(-1, 1), drawn at the start of an episode and fixed within it, can follow
    in the observation. They mean nothing, but tell episodes apart, so that a discriminator can
    learn a handful of demonstrations by heart.

    With ``episodic`` the rewards of 60 steps arrive together on the sixtieth, the others get 0:
    what each step earned has to be found out.

    Observation, float32 ``[4 + context]``: position, velocity (world units per step of 0.2), then
    the context numbers.

    Args:
        num_envs: columns, B.
        context: meaningless numbers per episode.
        episodic: whether rewards are kept back until the sixtieth step.

    Raises:
        ValueError: ``context`` is negative.
    """

    info_keys: Mapping[str, str] = {
        "position": "x and y after the step, world units, shape [2]",
        "velocity": "x and y velocity after the step, shape [2]",
        "distance": "from the origin after the step, world units",
    }

    def __init__(self, num_envs: int, *, context: int = 0, episodic: bool = False) -> None:
        not_negative("context", context)
        self.num_envs = num_envs
        self.observation_space = spaces.Box(-np.inf, np.inf, (4 + context,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._position = np.zeros((num_envs, 2))
        self._velocity = np.zeros((num_envs, 2))
        self._context = np.zeros((num_envs, context))
        self._episodic = episodic
        self._earned = np.zeros(num_envs)
        self._time = np.zeros(num_envs, dtype=np.int64)

    def reset(self, columns: np.ndarray, random: ColumnRandom) -> None:
        """Draw new places and context numbers."""
        for column in columns.tolist():
            drawn = random.generator(column).uniform(-1.0, 1.0, 2 + self._context.shape[1])
            self._position[column], self._context[column] = drawn[:2], drawn[2:]
        self._velocity[columns] = 0.0
        self._earned[columns] = 0.0
        self._time[columns] = 0

    def observe(self) -> np.ndarray:
        """Return position, velocity and context."""
        parts = [self._position, self._velocity, self._context]
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def step(self, actions: np.ndarray, random: ColumnRandom) -> Outcome:
        """Push every mass."""
        self._position, self._velocity = advance(self._position, self._velocity, actions)
        info = self.reset_info()
        reward = -info["distance"]
        if self._episodic:
            self._time += 1
            self._earned += reward
            due = self._time % HORIZON == 0
            reward = np.where(due, self._earned, 0.0)
            self._earned[due] = 0.0
        return Outcome(reward, np.zeros(self.num_envs, dtype=bool), info)

    def reset_info(self) -> dict[str, np.ndarray]:
        """Return the info of the present state."""
        return {
            "position": self._position.copy(),
            "velocity": self._velocity.copy(),
            "distance": np.sqrt(self._position[:, 0] ** 2 + self._position[:, 1] ** 2),
        }

    def state(self) -> dict[str, np.ndarray]:
        """Return position, velocity, context, and the reward that is kept back with its time."""
        return {
            "position": self._position.copy(),
            "velocity": self._velocity.copy(),
            "context": self._context.copy(),
            "earned": self._earned.copy(),
            "time": self._time.copy(),
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        self._position[...] = state["position"]
        self._velocity[...] = state["velocity"]
        self._context[...] = state["context"]
        self._earned[...] = state["earned"]
        self._time[...] = state["time"]

    def render(self) -> np.ndarray:
        """Return a picture of column 0: mass (blue), velocity (line), origin (green)."""
        canvas = Canvas(1, 256, half=2.0)
        draw_mass(canvas, ((0.0, 0.0, 0.05),), self._position[0], self._velocity[0])
        return canvas.pixels[0]


def draw_mass(
    canvas: Canvas,
    goals: np.ndarray | tuple[tuple[float, float, float], ...],
    position: np.ndarray,
    velocity: np.ndarray,
) -> None:
    """Draw goals ``[K, 3]`` (x, y, radius) and one mass ``[2]`` with its velocity."""
    for x, y, radius in np.asarray(goals):
        canvas.disc(np.array([x]), np.array([y]), float(radius), GREEN)
    x, y = position[:1], position[1:]
    canvas.line(x, y, x + velocity[:1], y + velocity[1:], width=0.02, color=BLACK)
    canvas.disc(x, y, 0.06, BLUE)
