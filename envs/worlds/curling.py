"""A two-joint arm that pushes a ball over a table and is paid for where the ball ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, final

import numpy as np
from gymnasium import spaces

from envs.simulation import BatchedSimulation, ColumnRandom, Outcome
from envs.worlds.drawing import BLACK, BLUE, GREEN, LIGHT, WHITE, Canvas
from envs.worlds.final_reward import FinalReward

AREAS = ((0.8, 0.8, 0.4), (0.8, -0.8, 0.2))
"""Centre x, centre y and radius of the two reward areas."""

BASE = (-1.0, 0.0)  # the arm stands in the middle of the left rim
LINK = (0.5, 0.4)  # lengths
THICKNESS = 0.02  # radius of a link
BALL = 0.06  # radius of the ball
START = ((-0.4, 0.0), (1.2, 0.0))  # ball; joint angles, radians
ANGLE_LIMIT = (np.pi / 2, 2.6)  # radians to either side
MAX_RATE = 3.0  # radians per second of each joint
MAX_ACCELERATION = 30.0  # radians per second squared
MAX_SPEED = 5.0  # of the ball, units per second
FRICTION = 0.4  # deceleration of the sliding ball, units per second squared
RESTITUTION_ARM, RESTITUTION_RIM = 0.5, 0.8
TIME_STEP, SUBSTEPS = 0.005, 2  # seconds; one step of the task is 10 ms

_SPACE = BALL + THICKNESS  # distance from a link's axis at which the ball touches it
_EDGE = 1.0 - BALL
_BASE, _LIMIT = np.array(BASE)[:, None], np.array(ANGLE_LIMIT)[:, None]


@final
class Curling(BatchedSimulation):
    """A motor-driven arm and a ball on the table [-1, 1]^2; 500 steps of 10 ms.

    The arm (links 0.5 and 0.4, half-width 0.02) stands at (-1, 0); the ball (radius 0.06) lies at
    (-0.4, 0). Actions are target joint rates in units of 3 rad/s, followed with at most 30
    rad/s^2. Motors are strong: the ball does not slow the arm. It slides with the constant
    deceleration 0.4, bounces off the rim (restitution 0.8) and off the links (0.5, with the speed
    of the link at the point of contact), at no more than 5 units/s. A ball that is pinned between
    link and rim stops the arm. In a substep of 5 ms ball and link approach by at most 0.045, less
    than the 0.08 at which they touch, so that nothing passes through. Only the last position of
    the ball is paid (see `envs.worlds.final_reward`). Nothing is random.

    Arm, ball, friction, number of steps, reward and reward areas are those of the literature;
    dimensions, rates and constants of contact are our own.

    Observation, float32 ``[8]``: position of the ball, its velocity / 5, joint angles / pi, joint
    rates / 3.

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
        horizon: int = 500,
        final_image: bool = False,
    ) -> None:
        self.num_envs = num_envs
        self.observation_space = spaces.Box(-1.001, 1.001, (8,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.goal = FinalReward(num_envs, areas, horizon, self.paint if final_image else None)
        self.info_keys = self.goal.info_keys
        # Components first: sines of strided arrays take another path in numpy, whose last bit can
        # differ, and a column must not depend on the batch around it.
        self._now = _State(*np.zeros((4, 2, num_envs)))

    def reset(self, columns: np.ndarray, random: ColumnRandom) -> None:
        """Put ball and arm of some columns at their places, at rest; draws nothing."""
        for values, begin in zip(self._now, (*START, (0.0, 0.0), (0.0, 0.0)), strict=True):
            values[:, columns] = np.array(begin)[:, None]
        self.goal.reset(columns)

    def observe(self) -> np.ndarray:
        """Return ball and joints."""
        ball, angle, speed, rate = self._now
        parts = [ball, speed / MAX_SPEED, angle / np.pi, rate / MAX_RATE]
        return np.concatenate(parts).T.astype(np.float32, order="C")

    def step(self, actions: np.ndarray, random: ColumnRandom) -> Outcome:
        """Drive the joints for 10 ms."""
        targets = MAX_RATE * np.clip(actions.T.astype(np.float64, order="C"), -1.0, 1.0)
        for _ in range(SUBSTEPS):
            self._substep(targets)
        return Outcome(*self.goal.step(self._now.ball.T))

    def reset_info(self) -> dict[str, np.ndarray]:
        """Return the info of the present state."""
        return self.goal.reset_info(self._now.ball.T)

    def _substep(self, targets: np.ndarray) -> None:
        before = self._now
        most = MAX_ACCELERATION * TIME_STEP
        rate = before.rate + np.minimum(np.maximum(targets - before.rate, -most), most)
        angle = np.minimum(np.maximum(before.angle + TIME_STEP * rate, -_LIMIT), _LIMIT)
        # The rate is the motion that took place: none at a stop.
        rate = (angle - before.angle) / TIME_STEP
        size = _norm(before.speed)
        speed = before.speed * (
            np.maximum(size - FRICTION * TIME_STEP, 0.0) / np.maximum(size, 1e-12)
        )
        now = _bounce_off_rim(_State(before.ball + TIME_STEP * speed, angle, speed, rate))
        columns = np.flatnonzero(_norm(now.ball - _BASE) < sum(LINK) + _SPACE)
        if len(columns):
            columns = columns[_nearest(_take(now, columns)).distance < _SPACE]
        if len(columns):
            _separate(before, now, columns)
        self._now = now

    def paint(self, columns: np.ndarray, size: int) -> np.ndarray:
        """Return pictures of some columns, uint8 ``[n, size, size, 3]``; no areas are shown."""
        canvas = Canvas(len(columns), size, half=1.05, background=LIGHT)
        canvas.box((-1.0, -1.0), (1.0, 1.0), WHITE)
        self._draw(canvas, columns)
        return canvas.pixels

    def _draw(self, canvas: Canvas, columns: np.ndarray) -> None:
        part = _take(self._now, columns)
        base, elbow, tip = _arm(part.angle)
        for start, end in ((base, elbow), (elbow, tip)):
            canvas.line(*start, *end, width=2 * THICKNESS, color=BLACK)
        canvas.disc(part.ball[0], part.ball[1], BALL, BLUE)

    def state(self) -> dict[str, np.ndarray]:
        """Return ball, joints (each ``[B, 2]``) and time."""
        return {
            **{name: values.T.copy() for name, values in self._now._asdict().items()},
            **self.goal.state(),
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        for name, values in self._now._asdict().items():
            values[...] = np.asarray(state[name]).T
        self.goal.set_state(state)

    def render(self) -> np.ndarray:
        """Return a picture of column 0 with the reward areas in green, uint8 ``[256, 256, 3]``."""
        canvas = Canvas(1, 256, half=1.05, background=LIGHT)
        canvas.box((-1.0, -1.0), (1.0, 1.0), WHITE)
        for center, radius in zip(self.goal.areas.centers, self.goal.areas.radii, strict=True):
            canvas.disc(center[:1], center[1:], radius, GREEN)
        self._draw(canvas, np.array([0]))
        return canvas.pixels[0]


class _State(NamedTuple):
    """Ball and arm of some columns, each ``[2, n]``."""

    ball: np.ndarray
    angle: np.ndarray
    speed: np.ndarray
    rate: np.ndarray


class _Contact(NamedTuple):
    """The point of the arm that is nearest to the ball.

    ``distance`` from it to the ball's centre ``[n]``; ``normal``, the unit vector that way, and
    ``velocity`` of the arm at the point, ``[2, n]``.
    """

    distance: np.ndarray
    normal: np.ndarray
    velocity: np.ndarray


def _take(state: _State, columns: np.ndarray) -> _State:
    return _State(*(values[:, columns] for values in state))


def _norm(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(vectors[0] ** 2 + vectors[1] ** 2)


def _arm(angle: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return base, elbow and tip, each ``[2, n]``."""
    heading = angle.copy()
    heading[1] += angle[0]
    cos, sin = np.cos(heading), np.sin(heading)
    base = np.repeat(_BASE, angle.shape[1], axis=1)
    elbow = base + LINK[0] * np.stack([cos[0], sin[0]])
    return base, elbow, elbow + LINK[1] * np.stack([cos[1], sin[1]])


def _nearest(state: _State) -> _Contact:
    base, elbow, tip = _arm(state.angle)
    starts, along = np.stack([base, elbow], axis=1), np.stack([elbow - base, tip - elbow], axis=1)
    # [2 components, 2 links, n]
    away = state.ball[:, None] - starts
    length = np.array(LINK)[:, None] ** 2
    share = (away[0] * along[0] + away[1] * along[1]) / length
    share = np.minimum(np.maximum(share, 0.0), 1.0)
    away = away - share * along
    distance = _norm(away)
    second = distance[1] < distance[0]
    distance = np.where(second, distance[1], distance[0])
    away = np.where(second, away[:, 1], away[:, 0])
    arm = state.ball - away - base
    rate = np.where(second, state.rate[1], 0.0)
    forearm = arm - (elbow - base)
    velocity = np.stack(
        [
            -state.rate[0] * arm[1] - rate * forearm[1],
            state.rate[0] * arm[0] + rate * forearm[0],
        ]
    )
    return _Contact(distance, away / np.maximum(distance, 1e-12), velocity)


def _separate(before: _State, now: _State, columns: np.ndarray) -> None:
    """Move balls out of the arm; where the rim leaves no room, stop ball and arm."""
    part = _take(now, columns)
    for _ in range(4):
        part = _bounce_off_rim(_bounce_off_arm(part))
    pinned = _nearest(part).distance < _SPACE - 1e-9
    stopped = _take(before, columns)
    still = _State(stopped.ball, stopped.angle, np.zeros_like(part.ball), np.zeros_like(part.ball))
    for values, free, held in zip(now, part, still, strict=True):
        values[:, columns] = np.where(pinned, held, free)


def _bounce_off_arm(state: _State) -> _State:
    """Move balls out of the arm and reflect their velocity relative to it."""
    contact = _nearest(state)
    out = np.maximum(_SPACE - contact.distance, 0.0)
    relative = (state.speed - contact.velocity) * contact.normal
    approach = np.minimum(relative[0] + relative[1], 0.0)
    push = np.where(out > 0.0, -(1.0 + RESTITUTION_ARM) * approach, 0.0)
    speed = state.speed + push * contact.normal
    speed = speed * np.minimum(1.0, MAX_SPEED / np.maximum(_norm(speed), 1e-12))
    return state._replace(ball=state.ball + out * contact.normal, speed=speed)


def _bounce_off_rim(state: _State) -> _State:
    """Keep balls on the table and reflect them at its rim."""
    outward = (np.abs(state.ball) > _EDGE) & (state.ball * state.speed > 0.0)
    speed = np.where(outward, -RESTITUTION_RIM * state.speed, state.speed)
    return state._replace(ball=np.minimum(np.maximum(state.ball, -_EDGE), _EDGE), speed=speed)
