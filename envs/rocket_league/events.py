"""What happened in a step, per car: touches, goals, shots, saves, bumps, demolitions, pickups.

Goals, touches, bumps, demolitions and pickups come from the engine. Who scored, shots and saves
are decided by the thresholds of RocketSim's own event tracker, here for all arenas at once and from
state that can be saved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np

from envs.rocket_league.arena_state import ArenaState
from envs.rocket_league.arenas import Bump, Pickup
from envs.rocket_league.constants import (
    BALL_RADIUS,
    BIG_PADS,
    BLUE,
    GOAL_HALF_WIDTH,
    GOAL_HEIGHT,
    GOAL_LINE_Y,
    GRAVITY_Z,
    ORANGE,
    TICKS_PER_SECOND,
)

EVENTS: Mapping[str, str] = {
    "touch": "1 when the car touched the ball in this step, else 0",
    "goal": "1 when this car scored: its team's last toucher of the 4 s before the goal, else 0",
    "team_goal": "1 when the car's team scored, else 0",
    "conceded": "1 when the other team scored, else 0",
    "shot": "1 when a touch of this car became a shot: 0.3 s after it the ball is faster than "
    "1750 uu/s and on its way into the other goal within 2 s; at most one per second, else 0",
    "save": "1 when the car's touch turned away a shot on its goal, else 0",
    "demolition": "other cars demolished by this one",
    "demolished": "1 when the car was demolished in this step, else 0",
    "bump": "hits with the nose into other cars, without demolitions",
    "bumped": "such hits suffered",
    "boost_pickup": "boost pads picked up, small and big",
    "big_boost_pickup": "big boost pads picked up",
    "ball_speed_gain": "change of the ball's speed in a step with a touch of the car, uu/s, else 0",
}
(
    TOUCH, GOAL, TEAM_GOAL, CONCEDED, SHOT, SAVE, DEMOLITION, DEMOLISHED, BUMP, BUMPED, PICKUP,
    BIG_PICKUP, SPEED_GAIN,
) = range(len(EVENTS))  # fmt: skip

SHOT_SPEED = 1750.0
SHOT_SECONDS = 2.0
SHOT_TICKS_AFTER_TOUCH = 36
SHOT_COOLDOWN_TICKS = TICKS_PER_SECOND
GOAL_TICKS_AFTER_TOUCH = 4 * TICKS_PER_SECOND
_NEVER = -1_000_000


@final
class EventTracker:
    """Turns the states before and after a step into event counts.

    Args:
        num_arenas: N.
        team: int64 ``[C]``.
    """

    def __init__(self, num_arenas: int, team: np.ndarray) -> None:
        self._team = team
        self._touch_tick = np.full((num_arenas, len(team)), _NEVER)
        self._shot_on = np.full(num_arenas, -1)
        self._cooldown = np.zeros(num_arenas, dtype=np.int64)

    def begin(self, index: int) -> None:
        """Forget the episode of one arena."""
        self._touch_tick[index] = _NEVER
        self._shot_on[index] = -1
        self._cooldown[index] = 0

    def update(
        self,
        before: ArenaState,
        after: ArenaState,
        bumps: Sequence[Sequence[Bump]],
        pickups: Sequence[Sequence[Pickup]],
    ) -> np.ndarray:
        """Return what happened between two states, float32 ``[N, C, 13]`` (see `EVENTS`).

        Args:
            before: the step.
            after: the step.
            bumps: in the step, per arena.
            pickups: in the step, per arena.
        """
        counts = np.zeros((*self._touch_tick.shape, len(EVENTS)), dtype=np.float32)
        touched = after.touched
        scored = after.score - before.score
        if touched.any():
            counts[:, :, TOUCH] = touched
            self._touch_tick = np.where(touched, after.ticks[:, None], self._touch_tick)
            gain = _speed(after.ball_velocity) - _speed(before.ball_velocity)
            counts[:, :, SPEED_GAIN] = gain[:, None] * touched
        if scored.any():
            self._goals(counts, scored, after)
        self._shots(counts, scored, touched, after, after.ticks - before.ticks)
        for index, hits in enumerate(bumps):
            for car, victim, demolished in hits:
                counts[index, car, DEMOLITION if demolished else BUMP] += 1
                counts[index, victim, DEMOLISHED if demolished else BUMPED] += 1
        for index, taken in enumerate(pickups):
            for car, pad, _ in taken:
                counts[index, car, PICKUP] += 1
                counts[index, car, BIG_PICKUP] += BIG_PADS[pad]
        return counts

    def _goals(self, counts: np.ndarray, scored: np.ndarray, after: ArenaState) -> None:
        own = scored[:, self._team] > 0
        counts[:, :, TEAM_GOAL] = own
        counts[:, :, CONCEDED] = scored[:, 1 - self._team] > 0
        for index in np.flatnonzero(scored.any(axis=1)).tolist():
            touches = np.where(own[index], self._touch_tick[index], _NEVER).astype(float)
            if after.last_touch[index] >= 0:
                touches[after.last_touch[index]] += 0.5
            scorer = int(touches.argmax())
            if touches[scorer] >= after.ticks[index] - GOAL_TICKS_AFTER_TOUCH:
                counts[index, scorer, GOAL] = 1

    def _shots(
        self,
        counts: np.ndarray,
        scored: np.ndarray,
        touched: np.ndarray,
        after: ArenaState,
        ticks: np.ndarray,
    ) -> None:
        cooling = self._cooldown > 0
        self._cooldown = np.maximum(self._cooldown - ticks, 0)
        ball = after.ball_velocity
        free = (self._shot_on < 0) & ~cooling & (_speed(ball) >= SHOT_SPEED)
        flying = self._shot_on >= 0
        if not (free.any() or flying.any()):
            return
        heading = heading_into_goal(after.ball_position, ball)
        goal_over = scored.any(axis=1)
        for index in np.flatnonzero(free & (heading >= 0) & ~goal_over).tolist():
            since = after.ticks[index] - self._touch_tick[index]
            recent = (since >= SHOT_TICKS_AFTER_TOUCH) & (
                since <= SHOT_TICKS_AFTER_TOUCH + ticks[index]
            )
            shooters = np.flatnonzero(recent & (self._team != heading[index]))
            if len(shooters):
                counts[index, shooters[since[shooters].argmin()], SHOT] = 1
                self._shot_on[index] = heading[index]
                self._cooldown[index] = SHOT_COOLDOWN_TICKS
        for index in np.flatnonzero(flying & ((heading < 0) | goal_over)).tolist():
            savers = np.flatnonzero(touched[index] & (self._team == self._shot_on[index]))
            if len(savers) and not goal_over[index]:
                last = int(after.last_touch[index])
                counts[index, last if last in savers else savers[0], SAVE] = 1
            self._shot_on[index] = -1

    def state(self) -> dict[str, np.ndarray]:
        """Return what is remembered from step to step."""
        return {
            "touch_tick": self._touch_tick.copy(),
            "shot_on": self._shot_on.copy(),
            "cooldown": self._cooldown.copy(),
        }

    def set_state(self, tree: Mapping[str, np.ndarray]) -> None:
        """Go on from `state`."""
        self._touch_tick = np.array(tree["touch_tick"])
        self._shot_on = np.array(tree["shot_on"])
        self._cooldown = np.array(tree["cooldown"])


def heading_into_goal(position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Return whose goal the ball would fly into within 2 s, not counting bounces.

    As the game does, it errs on the side of a goal.

    Args:
        position: of the ball, ``[N, 3]``.
        velocity: of the ball, ``[N, 3]``.

    Returns:
        int64 ``[N]``: the team that defends that goal, or -1.
    """
    speed = np.abs(velocity[:, 1])
    goal_y = np.where(velocity[:, 1] < 0, -GOAL_LINE_Y, GOAL_LINE_Y)
    seconds = np.abs(position[:, 1] - goal_y) / np.maximum(speed, 1e-6)
    soon = (speed > 1e-6) & (seconds <= SHOT_SECONDS)
    seconds = np.where(soon, seconds, 0.0)
    x = position[:, 0] + velocity[:, 0] * seconds
    z = position[:, 2] + velocity[:, 2] * seconds + 0.5 * GRAVITY_Z * seconds**2
    margin = 0.1 * BALL_RADIUS
    inside = soon & (z <= GOAL_HEIGHT + margin) & (np.abs(x) <= GOAL_HALF_WIDTH + margin)
    return np.where(inside, np.where(velocity[:, 1] < 0, BLUE, ORANGE), -1)


def _speed(velocity: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("nc,nc->n", velocity, velocity))
