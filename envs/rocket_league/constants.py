"""Measures of the field, the cars and the engine; world coordinates.

Lengths are in unreal units (uu; 1 uu is 1 cm), speeds in uu/s, angles in radians. Blue defends the
goal at negative y and attacks towards positive y; z points up and is 0 on the floor.
"""

from __future__ import annotations

import numpy as np

TICKS_PER_SECOND = 120

SIDE_WALL_X = 4096.0
BACK_WALL_Y = 5120.0
BACK_NET_Y = 6000.0
CEILING_Z = 2044.0
CORNER = 1152.0
"""How far along either wall the corners are cut off."""
GOAL_HALF_WIDTH = 892.755
GOAL_HEIGHT = 642.775
GOAL_LINE_Y = 5124.25
"""The whole ball has to be behind it: a goal is scored at ``|y| > GOAL_LINE_Y + BALL_RADIUS``."""

BALL_RADIUS = 91.25
BALL_REST_Z = 93.15
BALL_MAX_SPEED = 6000.0
CAR_REST_Z = 17.0
CAR_MAX_SPEED = 2300.0
CAR_MAX_ANGULAR_SPEED = 5.5
SUPERSONIC_SPEED = 2200.0
GRAVITY_Z = -650.0
BOOST_MAX = 100.0
SPAWN_BOOST = 100.0 / 3.0
BOOST_PER_SECOND = 33.3
"""As RLGym sets it; the engine's own default is 100 / 3."""
DODGE_SECONDS = 1.25
"""How long after a jump a car can still flip or jump a second time."""
RESPAWN_SECONDS = 3.0
BIG_PAD_SECONDS = 10.0
SMALL_PAD_SECONDS = 4.0

BLUE, ORANGE = 0, 1

MIRROR = np.array([-1.0, -1.0, 1.0], dtype=np.float32)
"""Turns positions and directions by half a turn: what blue sees, orange sees the same way."""

_PADS = (
    (0, -4240), (-1792, -4184), (1792, -4184), (-3072, -4096), (3072, -4096), (-940, -3308),
    (940, -3308), (0, -2816), (-3584, -2484), (3584, -2484), (-1788, -2300), (1788, -2300),
    (-2048, -1036), (0, -1024), (2048, -1036), (-3584, 0), (-1024, 0),
)  # fmt: skip
BOOST_PADS = np.array([*_PADS, *((-x, -y) for x, y in reversed(_PADS))], dtype=np.float32)
"""x and y of the 34 boost pads, in the engine's order: pad ``i`` is opposite to pad ``33 - i``."""
BIG_PADS = np.isin(np.arange(34), (3, 4, 15, 18, 29, 30))
"""Which of them give 100 boost; the others give 12."""
