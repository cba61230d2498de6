from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ctrl.analysis.arena import OUTLINE, along, draw_cars, draw_outline, inside, triangulation


def area(mesh) -> float:
    a, b, c = (np.stack([mesh.x, mesh.y], -1)[mesh.triangles[:, k]] for k in range(3))
    one, two = b - a, c - a
    return float(np.abs(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]).sum() / 2)


def test_triangles_cover_the_floor_and_the_nets() -> None:
    """The area is that of the rectangle without four corners, plus two nets."""
    expected = 4 * 4096 * 5120 - 2 * 1152**2 + 2 * (2 * 892.755 * 880)
    for refinement in (0, 3):
        mesh = triangulation(refinement)
        assert np.isclose(area(mesh), expected, rtol=1e-9)
    x, y = OUTLINE.T
    shoelace = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    assert np.isclose(shoelace, expected, rtol=1e-9)
    assert len(triangulation(1).triangles) == 4 * len(triangulation(0).triangles)


def test_inside() -> None:
    points = np.array([[0, 0], [4000, 5000], [0, 5900], [900, 5900], [4000, 0], [4100, 0]])
    assert inside(points).tolist() == [True, False, True, False, True, False]


def test_blue_is_on_the_left_and_orientation_is_kept() -> None:
    right, up = along(np.array([[0.0, -5120.0, 0.0], [4096.0, 0.0, 0.0]]))
    assert right.tolist() == [-5120.0, 0.0]
    assert up.tolist() == [0.0, -4096.0]
    axes = Figure().add_subplot()
    draw_outline(axes)
    draw_cars(axes, np.zeros((2, 3)), np.array([[0.0, 900, 0], [0, 0, 0]]), np.array([0, 1]), 0)
    assert len(axes.texts) == 1  # an arrow for the one that moves
