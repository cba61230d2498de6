"""A car that shoves a ball over a flat field with two goals: Rocket League without its simulator.

It has the quantities that rewards over cars and balls read, steps a thousand times faster than the
real game, and is decided by the same question: how to get behind the ball.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import numpy as np
from gymnasium import spaces

from envs.simulation import BatchedSimulation, ColumnRandom, Outcome
from envs.worlds.drawing import BLACK, BLUE, GREEN, RED, Canvas

HALF_WIDTH, HALF_LENGTH, HALF_GOAL = 1.0, 1.25, 0.35
"""Of the field and of the openings in its end walls, world units."""
CAR_RADIUS, BALL_RADIUS = 0.08, 0.1
CAR_SPEED, BALL_SPEED = 1.0, 2.0
"""Highest speeds, world units per second."""
STEP = 0.05
"""Seconds."""
_PUSH, _CAR_DRAG, _BALL_DRAG, _BOUNCE = 4.0, 1.0, 0.3, 0.9


@final
class PlanarFootball(BatchedSimulation):
    """One car and one ball in the plane; the goal at positive y is attacked.

    The car is a double integrator: ``v' = v + (4 a - v) dt`` with ``a`` in [-1, 1]^2, at most 1
    fast, and walls stop it. The ball loses ``0.3 v dt`` of its velocity, bounces off walls (0.9 of
    the speed is kept) and elastically off the car, which is so heavy that it does not feel it. Both
    start anywhere, the ball at rest and at least 0.3 apart.

    The reward is 1 on the step in which the ball crosses the attacked line between the posts and
    -1 for the own goal; both terminate.

    Observation, float32 ``[12]``: position and velocity of the car, of the ball, and the ball's
    position and velocity relative to the car.

    Args:
        num_envs: columns, B.
    """

    info_keys: Mapping[str, str] = {
        "car_position": "after the step, world units, shape [2]",
        "car_velocity": "after the step, world units per second, shape [2]",
        "ball_position": "after the step, world units, shape [2]",
        "ball_velocity": "after the step, world units per second, shape [2]",
        "team": "0: the goal at positive y is attacked",
        "touch": "1 if the car pushed the ball in the step, else 0",
        "goal": "1 if the ball went into the attacked goal, else 0",
        "is_success": "the same, as a truth value",
    }

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.observation_space = spaces.Box(-np.inf, np.inf, (12,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._car, self._ball = np.zeros((num_envs, 2)), np.zeros((num_envs, 2))
        self._car_velocity, self._ball_velocity = np.zeros((num_envs, 2)), np.zeros((num_envs, 2))

    def reset(self, columns: np.ndarray, random: ColumnRandom) -> None:
        """Draw new places."""
        most = np.array([HALF_WIDTH, HALF_LENGTH]) - 0.25
        for column in columns.tolist():
            generator = random.generator(column)
            self._car[column], self._ball[column] = generator.uniform(-1.0, 1.0, (2, 2)) * most
            while np.linalg.norm(self._car[column] - self._ball[column]) < 0.3:
                self._car[column] = generator.uniform(-1.0, 1.0, 2) * most
        self._car_velocity[columns] = 0.0
        self._ball_velocity[columns] = 0.0

    def observe(self) -> np.ndarray:
        """Return where everything is, absolutely and seen from the car."""
        parts = [
            self._car, self._car_velocity, self._ball, self._ball_velocity,
            self._ball - self._car, self._ball_velocity - self._car_velocity,
        ]  # fmt: skip
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def step(self, actions: np.ndarray, random: ColumnRandom) -> Outcome:
        """Drive every car and let every ball roll."""
        self._drive(np.clip(actions.astype(np.float64), -1.0, 1.0))
        touch = self._collide()
        self._ball_velocity *= 1.0 - _BALL_DRAG * STEP
        _slow(self._ball_velocity, BALL_SPEED)
        self._ball = self._ball + STEP * self._ball_velocity
        scored = self._end_walls()
        _bounce(self._ball, self._ball_velocity, 0, HALF_WIDTH - BALL_RADIUS)
        info = self.reset_info()
        info["touch"], info["goal"] = touch.astype(np.int64), (scored > 0).astype(np.int64)
        info["is_success"] = scored > 0
        return Outcome(scored.astype(np.float64), scored != 0, info)

    def _drive(self, push: np.ndarray) -> None:
        self._car_velocity = self._car_velocity + STEP * (
            _PUSH * push - _CAR_DRAG * self._car_velocity
        )
        _slow(self._car_velocity, CAR_SPEED)
        moved = self._car + STEP * self._car_velocity
        limit = np.array([HALF_WIDTH, HALF_LENGTH]) - CAR_RADIUS
        self._car = np.clip(moved, -limit, limit)
        self._car_velocity[self._car != moved] = 0.0

    def _collide(self) -> np.ndarray:
        """Reflect the balls that a car touches, in the car's frame, and return which, ``[B]``."""
        apart = self._ball - self._car
        distance = np.sqrt((apart * apart).sum(1))
        touch = distance < CAR_RADIUS + BALL_RADIUS
        normal = apart / np.maximum(distance, 1e-9)[:, None]
        approach = ((self._ball_velocity - self._car_velocity) * normal).sum(1)
        bounced = touch & (approach < 0.0)
        self._ball_velocity -= np.where(bounced, 2.0 * approach, 0.0)[:, None] * normal
        # A ball between car and wall is put back to the car's rim.
        rim = self._car + (CAR_RADIUS + BALL_RADIUS) * normal
        self._ball = np.where(touch[:, None], rim, self._ball)
        return touch

    def _end_walls(self) -> np.ndarray:
        """Bounce off the end walls and return 1 for a goal, -1 for an own goal, else 0, ``[B]``."""
        open_here = np.abs(self._ball[:, 0]) < HALF_GOAL - BALL_RADIUS
        across = np.abs(self._ball[:, 1]) > HALF_LENGTH
        scored = np.where(open_here & across, np.sign(self._ball[:, 1]), 0.0).astype(np.int64)
        closed = ~open_here
        held, velocity = self._ball[closed], self._ball_velocity[closed]
        _bounce(held, velocity, 1, HALF_LENGTH - BALL_RADIUS)
        self._ball[closed], self._ball_velocity[closed] = held, velocity
        return scored

    def reset_info(self) -> dict[str, np.ndarray]:
        """Return the info of the present state."""
        none = np.zeros(self.num_envs, dtype=np.int64)
        return {
            "car_position": self._car.copy(),
            "car_velocity": self._car_velocity.copy(),
            "ball_position": self._ball.copy(),
            "ball_velocity": self._ball_velocity.copy(),
            "team": none,
            "touch": none.copy(),
            "goal": none.copy(),
            "is_success": none > 0,
        }

    def state(self) -> dict[str, np.ndarray]:
        """Return positions and velocities."""
        return {
            "car": self._car.copy(),
            "car_velocity": self._car_velocity.copy(),
            "ball": self._ball.copy(),
            "ball_velocity": self._ball_velocity.copy(),
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        self._car[...], self._car_velocity[...] = state["car"], state["car_velocity"]
        self._ball[...], self._ball_velocity[...] = state["ball"], state["ball_velocity"]

    def render(self) -> np.ndarray:
        """Return a picture of column 0: car (blue), ball (red), walls, the attacked one green."""
        canvas = Canvas(1, 256, half=1.4)
        for side, color in ((HALF_LENGTH, GREEN), (-HALF_LENGTH, BLACK)):
            for low, high in ((-HALF_WIDTH, -HALF_GOAL), (HALF_GOAL, HALF_WIDTH)):
                ends = np.array([low]), np.array([side]), np.array([high]), np.array([side])
                canvas.line(*ends, width=0.03, color=color)
        for x in (-HALF_WIDTH, HALF_WIDTH):
            ends = np.array([x]), np.array([-HALF_LENGTH]), np.array([x]), np.array([HALF_LENGTH])
            canvas.line(*ends, width=0.03, color=BLACK)
        canvas.disc(self._car[0, :1], self._car[0, 1:], CAR_RADIUS, BLUE)
        canvas.disc(self._ball[0, :1], self._ball[0, 1:], BALL_RADIUS, RED)
        return canvas.pixels[0]


def _slow(velocity: np.ndarray, highest: float) -> None:
    speed = np.sqrt((velocity * velocity).sum(1))
    velocity *= np.minimum(1.0, highest / np.maximum(speed, 1e-9))[:, None]


def _bounce(position: np.ndarray, velocity: np.ndarray, axis: int, limit: float) -> None:
    """Put what is beyond a wall back to it, and turn its velocity inward."""
    beyond = np.abs(position[:, axis]) > limit
    inward = -np.sign(position[beyond, axis])
    velocity[beyond, axis] = inward * _BOUNCE * np.abs(velocity[beyond, axis])
    position[beyond, axis] = -inward * limit
