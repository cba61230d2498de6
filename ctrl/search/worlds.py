"""What is known about worlds: where episodes can end, and how many reward areas there are."""

from __future__ import annotations

from ctrl.config import EnvConfig
from reward_models.errors import UserError

_SQUARE = [[-1.0, 1.0], [-1.0, 1.0]]
_BOUNDS = {
    "PointWalker": _SQUARE,
    "Curling": _SQUARE,
    "HardMaze": _SQUARE,
    "RedundantArm": _SQUARE,
    # In metres, between the outer walls of the mazes of gymnasium-robotics.
    "AntMazeGoal_UMaze": [[-6.0, 6.0], [-6.0, 6.0]],
    "AntMazeGoal_Medium": [[-12.0, 12.0], [-12.0, 12.0]],
    "PointMazeGoal_UMaze": [[-1.5, 1.5], [-1.5, 1.5]],
    "PointMazeGoal_Medium": [[-3.0, 3.0], [-3.0, 3.0]],
}
_NETHACK = [[0.0, 79.0], [0.0, 21.0]]
_AREAS = {"PointWalker": 3, "Curling": 2, "HardMaze": 2, "RedundantArm": 3}


def place_bounds(env: EnvConfig, given: list[list[float]] | None) -> list[list[float]]:
    """Return ``[[x0, x1], [y0, y1]]`` of the places in which an episode can end.

    Args:
        env: the environment.
        given: the user's; returned as it is.

    Raises:
        UserError: nobody has said, and they are not known.
    """
    if given is not None:
        return given
    name = env.id.rpartition("-v")[0]
    if name in _BOUNDS:
        return _BOUNDS[name]
    if env.id.startswith(("MiniHack", "NetHack")):
        return _NETHACK
    raise UserError(
        f"Coverage needs to know where episodes of {env.id} can end: give "
        "bounds: [[x0, x1], [y0, y1]] (at the prompt bounds='[[x0, x1], [y0, y1]]')."
    )


def area_count(env: EnvConfig, given: int | None) -> int:
    """Return how many reward areas the world has.

    Args:
        env: the environment; its option ``areas`` counts where there is one.
        given: the user's; returned as it is.

    Returns:
        1 where nothing is known: the success that the environment reports.
    """
    if given is not None:
        return given
    areas = env.options.get("areas")
    return _AREAS.get(env.id.rpartition("-v")[0], 1) if areas is None else len(areas)
