"""Pictures of rewards: contours over the arena, velocities, distributions, correlations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ctrl.analysis.arena import along, draw_ball, draw_cars, draw_outline, inside, triangulation
from ctrl.analysis.recorded import Values
from ctrl.analysis.rewards import Looked
from ctrl.analysis.scene import Scene, fibonacci_sphere
from ctrl.pictures.style import cut, own_style, term_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT = 300.0
"""At which a body is moved over the arena, in uu."""
_LEVELS = 25
_BINS = 60
_BALL_SPEED, _CAR_SPEED = 2000.0, 1400.0


def contour_figure(looked: Looked, scene: Scene, *, car: int = 0) -> Figure:
    """Draw what moments are worth to a car: with the ball, and with the car, moved everywhere.

    Args:
        looked: the reward.
        scene: its first moment; what is not moved stays as it is drawn.
        car: whose reward it is.
    """
    from matplotlib.figure import Figure
    from matplotlib.tri import Triangulation

    mesh = triangulation()
    points = np.stack([mesh.x, mesh.y, np.full(len(mesh.x), HEIGHT)], axis=-1)
    plan = Triangulation(*along(points), mesh.triangles)
    values = [_worth(looked, scene.at(body, points), car) for body in (None, car)]
    with own_style():
        figure = Figure(figsize=(12.0, 4.6), dpi=110, layout="constrained")
        titles = ("the ball moved over the arena", "the ringed car moved over the arena")
        for place, (value, title) in enumerate(zip(values, titles, strict=True)):
            axes = figure.add_subplot(1, 2, place + 1)
            shown = axes.tricontourf(plan, value, **_colours(value))
            if np.ptp(value) > 0:
                axes.tricontour(
                    plan, value, levels=_LEVELS // 3, colors="black", linewidths=0.3, alpha=0.35
                )
            _bodies(axes, scene, car, ball=place == 1, own=place == 0)
            axes.set_title(f"{title} at z = {HEIGHT:.0f} uu")
            figure.colorbar(shown, ax=axes, shrink=0.85, format="%.3g", label=looked.unit)
        figure.suptitle(cut(looked.name, 80), x=0.01, ha="left", fontsize=11)
    return figure


def velocity_figure(looked: Looked, scene: Scene, *, car: int = 0, directions: int = 256) -> Figure:
    """Draw which way the ball, and the car, would best move, and what every direction is worth.

    Over a grid of places, arrows point to the direction of highest worth among evenly spread ones,
    and colours are the difference between the best and the worst. On the right, all directions
    of the body where the scene has it, on the sphere.

    Args:
        looked: the reward.
        scene: its first moment.
        car: whose reward it is.
        directions: on the Fibonacci sphere.
    """
    from matplotlib.figure import Figure

    ways = fibonacci_sphere(directions)
    with own_style():
        figure = Figure(figsize=(12.0, 8.6), dpi=110, layout="constrained")
        for row, (body, speed, who) in enumerate(
            ((None, _BALL_SPEED, "ball"), (car, _CAR_SPEED, "ringed car"))
        ):
            axes = figure.add_subplot(2, 2, 2 * row + 1)
            places, best, spread = _best_ways(looked, scene, body, car, speed * ways)
            _arrows(axes, places, best, spread, f"{looked.unit}: best minus worst")
            _bodies(axes, scene, car, ball=body is not None, own=body is None)
            axes.set_title(f"best direction of the {who} at z = {HEIGHT:.0f} uu, from above")
            here = scene.repeated(len(ways)).moving(body, speed * ways)
            sphere = figure.add_subplot(2, 2, 2 * row + 2, projection="mollweide")
            _sphere(sphere, ways, _worth(looked, here, car), looked.unit)
            sphere.set_title(
                f"{who} at {speed:.0f} uu/s where it is; middle: towards orange", pad=14
            )
        figure.suptitle(cut(looked.name, 80), x=0.01, ha="left", fontsize=11)
    return figure


def distribution_figure(values: Values) -> Figure:
    """Draw, for every reward, the distribution of what it paid and the course of one car."""
    from matplotlib.figure import Figure

    count = len(values.names)
    colours = term_colours(values.names)
    with own_style():
        figure = Figure(figsize=(12.0, 0.8 + 1.55 * count), dpi=110, layout="constrained")
        grid = figure.subplots(count, 2, squeeze=False, width_ratios=(1, 2))
        for (left, right), name, paid in zip(grid, values.names, values.paid, strict=True):
            _histogram(left, paid[np.isfinite(paid)], colours[name])
            left.set_title(cut(name, 40))
            right.plot(paid[:, 0], color=colours[name], linewidth=0.9)
            for end in np.flatnonzero(values.ended[:, 0]).tolist():
                right.axvline(end + 0.5, color="#888888", linewidth=0.7, linestyle=":")
            right.set_xlim(0, max(1, len(paid) - 1))
        grid[-1][0].set_xlabel("paid in a step (steps on a logarithmic scale)")
        grid[-1][1].set_xlabel("step of the first car; dotted: an episode ends")
    return figure


def correlation_figure(values: Values) -> Figure:
    """Draw the correlation of every two rewards over all steps, with the numbers."""
    from matplotlib.figure import Figure

    matrix = values.correlation()
    count = len(matrix)
    names = [cut(name, 28) for name in values.names]
    with own_style():
        side = 2.4 + 0.62 * count
        figure = Figure(figsize=(side + 1.2, side), dpi=110, layout="constrained")
        axes = figure.add_subplot()
        axes.grid(False)
        axes.set_facecolor("#B9B9B9")
        image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1.0, vmax=1.0)
        axes.set_xticks(range(count), names, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(count), names)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for i, j in np.ndindex(count, count):
            value = float(matrix[i, j])
            text = "-" if np.isnan(value) else f"{value:.2f}"
            white = not np.isnan(value) and abs(value) > 0.6
            axes.text(
                j,
                i,
                text,
                ha="center",
                va="center",
                fontsize=8,
                color="white" if white else "black",
            )
        figure.colorbar(image, ax=axes, shrink=0.8, label="correlation over steps")
    return figure


def _worth(looked: Looked, scene: Scene, car: int) -> np.ndarray:
    """Return what each moment is worth to a car, ``[N]``."""
    cars = len(scene.team)
    return np.asarray(looked.of_moments(scene.rollout()).reshape(-1, cars)[:, car], dtype=float)


def _colours(values: np.ndarray) -> dict[str, Any]:
    """Return levels and colours: both sides of zero where there are both, else from end to end."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if low < 0.0 < high:
        most = max(-low, high)
        return {"levels": np.linspace(-most, most, _LEVELS), "cmap": "RdBu_r"}
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    return {"levels": np.linspace(low, high, _LEVELS), "cmap": "viridis"}


def _bodies(axes: Axes, scene: Scene, car: int, *, ball: bool = True, own: bool = True) -> None:
    """Draw the arena, and the bodies that are not being moved."""
    draw_outline(axes)
    if ball:
        draw_ball(axes, scene.ball_position[0])
    shown = [place for place in range(len(scene.team)) if own or place != car]
    draw_cars(
        axes, scene.car_position[0, shown], scene.car_velocity[0, shown], scene.team[shown],
        shown.index(car) if own else -1,
    )  # fmt: skip


def _best_ways(
    looked: Looked, scene: Scene, body: int | None, car: int, velocities: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return places ``[P, 3]``, the best direction in each, and best minus worst ``[P]``."""
    across, length = np.meshgrid(np.linspace(-3600, 3600, 9), np.linspace(-5600, 5600, 15))
    places = np.stack([across.ravel(), length.ravel(), np.full(across.size, HEIGHT)], axis=-1)
    places = places[inside(places[:, :2])]
    many = len(velocities)
    moved = scene.at(body, np.repeat(places, many, axis=0))
    moved = moved.moving(body, np.tile(velocities, (len(places), 1)))
    worth = _worth(looked, moved, car).reshape(len(places), many)
    best = velocities[worth.argmax(axis=1)] / np.linalg.norm(velocities[0])
    return places, best, worth.max(axis=1) - worth.min(axis=1)


def _arrows(
    axes: Axes, places: np.ndarray, best: np.ndarray, spread: np.ndarray, label: str
) -> None:
    moving = spread > 1e-6
    if not moving.any():
        axes.text(0, 0, "the velocity changes nothing", ha="center", va="center", zorder=7)
        return
    right, up = along(places[moving])
    ahead, aside = along(best[moving])
    shown = axes.quiver(
        right, up, ahead, aside, spread[moving], cmap="viridis", scale=24, width=0.005,
        pivot="mid", clim=(0.0, float(spread.max())),
    )  # fmt: skip
    axes.figure.colorbar(shown, ax=axes, shrink=0.85, label=label)


def _sphere(axes: Any, ways: np.ndarray, values: np.ndarray, unit: str) -> None:
    axes.set_xticks([-np.pi / 2, 0.0, np.pi / 2], ["", "", ""])
    axes.set_yticks([-np.pi / 4, 0.0, np.pi / 4], ["down", "level", "up"])
    if float(np.ptp(values)) <= 1e-6:
        text = f"{unit} {float(values[0]):.3g} in every direction"
        axes.text(0, 0, text, ha="center", va="center")
        return
    east = np.arctan2(ways[:, 0], ways[:, 1])
    colours = _colours(values)
    levels = colours.pop("levels")
    shown = axes.scatter(
        east, np.arcsin(ways[:, 2]), c=values, s=42, vmin=levels[0], vmax=levels[-1], **colours
    )
    axes.figure.colorbar(shown, ax=axes, shrink=0.7, format="%.3g", label=unit)


def _histogram(axes: Axes, paid: np.ndarray, colour: str) -> None:
    if not len(paid):
        axes.text(0.5, 0.5, "undefined", ha="center", transform=axes.transAxes)
        return
    axes.hist(paid, bins=_BINS, color=colour, log=True)
    axes.axvline(float(paid.mean()), color="black", linewidth=1.0)


def figures(
    rewards: Sequence[Looked], scene: Scene, values: Values, *, car: int = 0
) -> dict[str, Figure]:
    """Return every picture by the name of its file, without the ending."""
    found: dict[str, Figure] = {}
    for number, looked in enumerate(rewards, start=1):
        stem = f"{number:02d}-{_file_name(looked.name)}"
        found[f"{stem}-arena"] = contour_figure(looked, scene, car=car)
        found[f"{stem}-velocities"] = velocity_figure(looked, scene, car=car)
    found["distributions"] = distribution_figure(values)
    if len(rewards) > 1:
        found["correlations"] = correlation_figure(values)
    return found


def _file_name(name: str) -> str:
    kept = "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in name)
    return kept.strip("_")[-40:] or "reward"
