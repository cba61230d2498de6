"""The floor plan of the arena: its outline, a fine triangulation, and drawing on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from envs.rocket_league.constants import (
    BACK_NET_Y,
    BACK_WALL_Y,
    BALL_RADIUS,
    CORNER,
    GOAL_HALF_WIDTH,
    SIDE_WALL_X,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.tri import Triangulation

TEAM_COLOURS = ("#2E6FD6", "#E07B1A")
_X, _Y, _CUT, _POST = SIDE_WALL_X, BACK_WALL_Y, CORNER, GOAL_HALF_WIDTH
_HALF = [
    (_X, 0.0), (_X, _Y - _CUT), (_X - _CUT, _Y), (_POST, _Y), (_POST, BACK_NET_Y),
    (-_POST, BACK_NET_Y), (-_POST, _Y), (-_X + _CUT, _Y), (-_X, _Y - _CUT), (-_X, 0.0),
]  # fmt: skip
OUTLINE = np.array([*_HALF, *((-x, -y) for x, y in _HALF[1:-1])])
"""Corners of the floor, ``[18, 2]``: x and y with cut corners and both nets, in order."""

REFINEMENT = 6
"""How often each triangle is divided into four."""


def triangulation(refinement: int = REFINEMENT) -> Triangulation:
    """Return triangles that cover the floor and the nets, and nothing else.

    Args:
        refinement: 0 for the coarsest; every further one has four times as many triangles. The
            default gives 4096 for each of the coarsest ones.
    """
    from matplotlib.tri import Triangulation, UniformTriRefiner

    x, y = OUTLINE[:, 0], OUTLINE[:, 1]
    coarse = Triangulation(x, y)
    middles = OUTLINE[coarse.triangles].mean(axis=1)
    kept = coarse.triangles[inside(middles)]
    return UniformTriRefiner(Triangulation(x, y, kept)).refine_triangulation(subdiv=refinement)


def inside(points: np.ndarray) -> np.ndarray:
    """Return which points of the plane ``[n, 2]`` lie over the floor or in a net, bool ``[n]``."""
    x, y = np.abs(points).T
    field = (x <= _X) & (y <= _Y) & (x + y <= _X + _Y - _CUT)
    return field | ((x <= _POST) & (y <= BACK_NET_Y))


def along(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where points ``[n, 2 or 3]`` are drawn: y to the right, x upwards.

    Blue's goal is on the left, as in the pictures of the environment.
    """
    return points[..., 1], -points[..., 0]


def draw_outline(axes: Axes) -> None:
    """Draw walls, goals and the middle line, without ticks."""
    closed = np.concatenate([OUTLINE, OUTLINE[:1]])
    axes.plot(*along(closed), color="#333333", linewidth=1.2)
    axes.plot([0.0, 0.0], [-_X, _X], color="#333333", linewidth=0.6, alpha=0.5)
    for side, colour in zip((-1.0, 1.0), TEAM_COLOURS, strict=True):
        axes.plot([side * _Y] * 2, [-_POST, _POST], color=colour, linewidth=3.0)
    axes.set_aspect("equal")
    axes.set_xlim(-BACK_NET_Y - 200, BACK_NET_Y + 200)
    axes.set_ylim(-_X - 200, _X + 200)
    axes.set_axis_off()


def draw_ball(axes: Axes, position: np.ndarray) -> None:
    """Draw the ball, twice as large as it is.

    Args:
        axes: where to.
        position: ``[3]``.
    """
    from matplotlib.patches import Circle

    middle = float(position[1]), -float(position[0])
    axes.add_patch(Circle(middle, 2 * BALL_RADIUS, facecolor="white", edgecolor="black", zorder=5))


def draw_cars(
    axes: Axes, positions: np.ndarray, velocities: np.ndarray, teams: np.ndarray, own: int
) -> None:
    """Draw cars as dots with an arrow for the velocity of a second; the one looked at is ringed.

    Args:
        axes: where to.
        positions: ``[C, 3]``.
        velocities: ``[C, 3]``.
        teams: ``[C]``.
        own: which of them is ringed.
    """
    right, up = along(positions)
    ahead, aside = along(velocities)
    for car in range(len(positions)):
        colour = TEAM_COLOURS[int(teams[car])]
        ring = "black" if car == own else "white"
        axes.plot(
            right[car], up[car], "o", color=colour, markersize=9, markeredgecolor=ring,
            markeredgewidth=1.6, zorder=6,
        )  # fmt: skip
        if np.hypot(ahead[car], aside[car]) > 1.0:
            axes.annotate(
                "", xytext=(right[car], up[car]),
                xy=(right[car] + ahead[car], up[car] + aside[car]),
                arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 1.6}, zorder=6,
            )  # fmt: skip
