"""A picture of a match: the field from above, and from the side below it."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from envs.rocket_league.arena_state import ArenaState
from envs.rocket_league.constants import (
    BACK_NET_Y,
    BACK_WALL_Y,
    BALL_RADIUS,
    BIG_PADS,
    BOOST_PADS,
    CEILING_Z,
    CORNER,
    GOAL_HALF_WIDTH,
    GOAL_HEIGHT,
    ORANGE,
    SIDE_WALL_X,
)

_UU_PER_PIXEL = 20.0
_MARGIN = 12
_GAP = 16
_LENGTH = int(2 * BACK_NET_Y / _UU_PER_PIXEL)
_WIDTH = int(2 * SIDE_WALL_X / _UU_PER_PIXEL)
_TALL = int(CEILING_Z / _UU_PER_PIXEL)
SIZE = (_WIDTH + _TALL + _GAP + 2 * _MARGIN, _LENGTH + 2 * _MARGIN)
"""Height and width of a picture in pixels."""

# Half the length, width and height of an Octane's hitbox, and where its middle is.
_HALF = np.array([60.0, 43.3, 19.3])
_MIDDLE = np.array([13.9, 0.0, 20.8])
_GRASS, _LINE, _NET = (38, 56, 44), (190, 200, 190), (110, 120, 115)
_TEAM = ((70, 140, 255), (255, 145, 40))
_BALL, _PAD, _EMPTY_PAD = (245, 245, 245), (250, 215, 60), (80, 85, 70)
_OUTSIDE = (22, 26, 30)


def draw(state: ArenaState, index: int) -> np.ndarray:
    """Return a picture of one arena, uint8 ``[H, W, 3]``.

    Seen from above, blue's goal is on the left and orange's on the right; the strip below is the
    same from blue's right-hand side wall. Cars are boxes in their team's colour with a white line
    to the nose; a demolished car is not drawn. The ring around the ball seen from above grows with
    its height.

    Args:
        state: of N arenas.
        index: which of them.
    """
    image = importlib.import_module("PIL.Image").new("RGB", SIZE[::-1], _OUTSIDE)
    pen = importlib.import_module("PIL.ImageDraw").Draw(image)
    _draw_field(pen)
    for place, (x, y) in enumerate(BOOST_PADS.tolist()):
        there = state.pads[index, 0, place] > 0
        radius = (5.5 if BIG_PADS[place] else 2.5) if there else 2.0
        _disc(pen, _above(np.array([x, y, 0.0])), radius, fill=_PAD if there else _EMPTY_PAD)
    ball = state.ball_position[index].astype(float)
    order = np.argsort(state.car_position[index, :, 2])
    for car in order.tolist():
        if not state.is_demolished[index, car]:
            _draw_car(pen, state, index, car)
    radius = BALL_RADIUS / _UU_PER_PIXEL
    _disc(pen, _above(ball), radius, fill=_BALL)
    _disc(pen, _above(ball), radius * (1.3 + ball[2] / 600), outline=_BALL)
    _disc(pen, _beside(ball), radius, fill=_BALL)
    return np.array(image, dtype=np.uint8)


def _above(point: np.ndarray) -> tuple[float, float]:
    """Return the pixel of a point seen from above: y to the right, x upwards."""
    return (
        _MARGIN + (point[1] + BACK_NET_Y) / _UU_PER_PIXEL,
        _MARGIN + (SIDE_WALL_X - point[0]) / _UU_PER_PIXEL,
    )


def _beside(point: np.ndarray) -> tuple[float, float]:
    """Return the pixel of a point seen from the side: y to the right, z upwards."""
    return (
        _MARGIN + (point[1] + BACK_NET_Y) / _UU_PER_PIXEL,
        SIZE[0] - _MARGIN - point[2] / _UU_PER_PIXEL,
    )


def _disc(pen: Any, middle: tuple[float, float], radius: float, **colours: Any) -> None:
    x, y = middle
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), **colours)


def _draw_field(pen: Any) -> None:
    x, y, cut, post = SIDE_WALL_X, BACK_WALL_Y, CORNER, GOAL_HALF_WIDTH
    outline = [
        (-x, y - cut), (-x + cut, y), (-post, y), (-post, BACK_NET_Y), (post, BACK_NET_Y),
        (post, y), (x - cut, y), (x, y - cut),
    ]  # fmt: skip
    whole = [*outline, *((px, -py) for px, py in reversed(outline))]
    pen.polygon([_above(np.array([*point, 0.0])) for point in whole], fill=_GRASS, outline=_LINE)
    for side, colour in zip((-1, 1), _TEAM, strict=True):
        ends = [_above(np.array([edge, side * y, 0.0])) for edge in (-post, post)]
        pen.line(ends, fill=colour, width=3)
    pen.line([_above(np.array([edge, 0.0, 0.0])) for edge in (-x, x)], fill=_NET)
    _disc(pen, _above(np.zeros(3)), 900 / _UU_PER_PIXEL, outline=_NET)
    low, high = np.array([0.0, -y, 0.0]), np.array([0.0, y, CEILING_Z])
    (left, bottom), (right, top) = _beside(low), _beside(high)
    pen.rectangle((left, top, right, bottom), fill=_GRASS, outline=_LINE)
    for side, colour in zip((-1, 1), _TEAM, strict=True):
        ends = [_beside(np.array([0.0, side * y, height])) for height in (0.0, GOAL_HEIGHT)]
        pen.line(ends, fill=colour, width=3)


def _draw_car(pen: Any, state: ArenaState, index: int, car: int) -> None:
    axes = state.car_axes[index, car].astype(float)
    middle = state.car_position[index, car] + _MIDDLE @ axes
    colour = _TEAM[int(state.team[car] == ORANGE)]
    signs = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)])
    # Twice the true size: at 20 uu to a pixel a car would be a dot of 6 by 4.
    corners = middle + 2 * (signs * _HALF) @ axes
    nose = middle + 2 * _HALF[0] * axes[0]
    for project in (_above, _beside):
        points = _hull(np.array([project(corner) for corner in corners]))
        pen.polygon([tuple(point) for point in points], fill=colour)
        pen.line([project(middle), project(nose)], fill=(255, 255, 255), width=2)


def _hull(points: np.ndarray) -> np.ndarray:
    """Return the convex hull of points in the plane, in order (Andrew's monotone chain)."""
    points = points[np.lexsort((points[:, 1], points[:, 0]))]
    halves = []
    for row in (points, points[::-1]):
        half: list[np.ndarray] = []
        for point in row:
            while len(half) > 1 and _turn(half[-2], half[-1], point) <= 0:
                half.pop()
            half.append(point)
        halves += half[:-1]
    return np.array(halves)


def _turn(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> float:
    one, two = second - first, third - first
    return float(one[0] * two[1] - one[1] * two[0])
