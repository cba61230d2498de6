"""Grid worlds: a maze to explore, lava, two goals, coffee for the office.

All have the actions 0 up, 1 down, 2 left, 3 right. A move into a wall or over the edge stays.
``position`` in the info is (row, column), counted from the upper left corner. Every function makes
the simulation; its arguments are the options of the environment.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.worlds.grid import Grid
from envs.worlds.mdp import from_outcomes
from envs.worlds.tabular import TabularSimulation, one_hot

_POSITION = {"position": "row and column of the cell, int64 [2]"}
_GREEN, _RED, _BLUE, _BROWN = (60, 170, 80), (220, 80, 40), (90, 170, 230), (150, 100, 50)


def serpentine_layout(rows: int, columns: int) -> list[str]:
    """Return a maze whose every odd row is a wall with one gap, right and left in turn.

    Raises:
        ValueError: fewer than 2 columns or 1 row.
    """
    if rows < 1 or columns < 2:
        raise ValueError(f"The maze needs at least 1 row and 2 columns, got {rows}x{columns}.")
    wall = "#" * (columns - 1)
    walls = (wall + ".", "." + wall)
    return ["." * columns if row % 2 == 0 else walls[row // 2 % 2] for row in range(rows)]


def serpentine_maze(
    num_envs: int, *, rows: int = 21, columns: int = 21, observation: str = "coordinates"
) -> TabularSimulation:
    """One long winding corridor without any reward, from the upper left corner.

    With 21x21 cells 241 are free, and the last one is 240 moves away.

    Args:
        num_envs: columns of the batch, B.
        rows: height of the maze.
        columns: width of the maze.
        observation: ``coordinates`` (row and column scaled to [-1, 1]), ``index`` or ``one_hot``.
    """
    grid = Grid(serpentine_layout(rows, columns))
    mdp = from_outcomes(
        grid.size,
        4,
        lambda state, action: [(1.0, int(grid.neighbour[state, action]), 0.0)],
        start=0,
    )
    return TabularSimulation(
        num_envs,
        mdp,
        observations=grid.observations(),
        observation=observation,
        state_info={"position": grid.cells},
        info_keys=_POSITION,
        cells=grid.cells,
        picture=grid.picture(),
    )


def open_grid(
    num_envs: int,
    *,
    layout: Sequence[str] = ("......",) * 6,
    slip: float = 0.0,
    observation: str = "index",
) -> TabularSimulation:
    """An empty room, or a maze of your own, with an optional goal and pits.

    Args:
        num_envs: columns of the batch, B.
        layout: rows of the maze: ``#`` wall, ``.`` free, ``S`` start (several: drawn uniformly;
            none: any free cell), ``G`` goal (reward 1, end), ``X`` pit (reward 0, end).
        slip: probability that a uniformly random move is made instead of the chosen one.
        observation: ``index``, ``one_hot`` or ``coordinates``.

    Raises:
        ValueError: a slip outside [0, 1], or a layout with other characters.
    """
    if not 0 <= slip <= 1:
        raise ValueError(f"slip must be a probability, got {slip}.")
    unknown = set("".join(layout)) - set("#.SGX")
    if unknown:
        raise ValueError(f"Unknown characters in the layout: {sorted(unknown)}; valid: # . S G X.")
    grid = Grid(layout)
    goal, pit, first = grid.marked("G"), grid.marked("X"), grid.marked("S")
    if not first.any():
        first = ~(goal | pit)

    def outcomes(state: int, action: int) -> list[tuple[float, int, float]]:
        following = grid.neighbour[state]
        moves = [(1 - slip, following[action]), *((slip / 4, cell) for cell in following)]
        return [(float(p), int(cell), float(goal[cell])) for p, cell in moves]

    return TabularSimulation(
        num_envs,
        from_outcomes(
            grid.size,
            4,
            outcomes,
            start=first / first.sum(),
            terminal=np.flatnonzero(goal | pit),
        ),
        observations=grid.observations(),
        observation=observation,
        state_info={
            "position": grid.cells,
            "goal": goal.astype(np.int64),
            "pit": pit.astype(np.int64),
            "is_success": goal,
        },
        info_keys={
            **_POSITION,
            "goal": "1 in the goal, else 0",
            "pit": "1 in a pit, else 0",
            "is_success": "whether the goal has been reached, bool []",
        },
        cells=grid.cells,
        picture=grid.picture(G=_GREEN, X=_RED),
    )


_LAVA = [".....L....", "S....L...G", *[".....L...."] * 6, "..........", ".....L...."]


def lava_grid(num_envs: int, *, observation: str = "index") -> TabularSimulation:
    """A wall of deadly lava with one gap, far from the straight way to the goal.

    10x10 cells. Start at row 1, column 0; goal at row 1, column 9; lava in column 5 except in row
    8. Reward 1 on arriving at the goal, 0 otherwise; goal and lava end the episode. The straight
    way, which every step towards the goal looks like, leads into the lava: it takes 23 moves
    around.

    Args:
        num_envs: columns of the batch, B.
        observation: ``index``, ``one_hot`` or ``coordinates``.
    """
    grid = Grid(_LAVA)
    goal, lava = grid.marked("G"), grid.marked("L")

    def outcomes(state: int, action: int) -> list[tuple[float, int, float]]:
        following = int(grid.neighbour[state, action])
        return [(1.0, following, float(goal[following]))]

    return TabularSimulation(
        num_envs,
        from_outcomes(
            grid.size,
            4,
            outcomes,
            start=grid.only("S"),
            terminal=np.flatnonzero(goal | lava),
        ),
        observations=grid.observations(),
        observation=observation,
        state_info={
            "position": grid.cells,
            "goal_distance": np.abs(grid.cells - grid.cells[grid.only("G")]).sum(axis=1),
            "goal": goal.astype(np.int64),
            "lava": lava.astype(np.int64),
            "is_success": goal,
        },
        info_keys={
            **_POSITION,
            "goal_distance": "Manhattan distance to the goal in cells, int64 []",
            "goal": "1 on arriving at the goal, else 0",
            "lava": "1 on falling into the lava, else 0",
            "is_success": "whether the goal has been reached, bool []",
        },
        cells=grid.cells,
        picture=grid.picture(G=_GREEN, L=_RED),
    )


_TWO_GOALS = ["......", "......", "A.S..B", "......", "......", "......"]


def two_goal_grid(
    num_envs: int,
    *,
    weights: tuple[float, float] | Sequence[float] = (0.5, 0.5),
    observation: str = "index",
) -> TabularSimulation:
    """Two goals on either side of the start, one of them a cell nearer.

    6x6 cells. Start at row 2, column 2; goal A at column 0 (2 moves away) and goal B at column 5
    (3 moves away) of the same row. Both end the episode. The objectives are the events ``goal_a``
    and ``goal_b``, kept apart in the info; the task reward is their weighted sum.

    Args:
        num_envs: columns of the batch, B.
        weights: reward of arriving at A and at B.
        observation: ``index``, ``one_hot`` or ``coordinates``.

    Raises:
        ValueError: not two weights.
    """
    if len(weights) != 2:
        raise ValueError(f"Expected two weights, for the goals A and B, got {len(weights)}.")
    grid = Grid(_TWO_GOALS)
    goal_a, goal_b = grid.marked("A"), grid.marked("B")
    paid = weights[0] * goal_a + weights[1] * goal_b

    def outcomes(state: int, action: int) -> list[tuple[float, int, float]]:
        following = int(grid.neighbour[state, action])
        return [(1.0, following, float(paid[following]))]

    return TabularSimulation(
        num_envs,
        from_outcomes(
            grid.size,
            4,
            outcomes,
            start=grid.only("S"),
            terminal=np.flatnonzero(goal_a | goal_b),
        ),
        observations=grid.observations(),
        observation=observation,
        state_info={
            "position": grid.cells,
            "goal_a": goal_a.astype(np.int64),
            "goal_b": goal_b.astype(np.int64),
        },
        info_keys={
            **_POSITION,
            "goal_a": "1 on arriving at goal A, else 0",
            "goal_b": "1 on arriving at goal B, else 0",
        },
        cells=grid.cells,
        picture=grid.picture(A=_GREEN, B=_BLUE),
    )


_OFFICE = ["......", "####..", "C...S.", "####W.", "......", ".....O"]


def coffee_office_grid(num_envs: int, *, observation: str = "index") -> TabularSimulation:
    """Fetch coffee, then bring it to the office, and never step into the water.

    6x6 cells. The coffee is at the end of a dead end 4 moves left of the start; the office is in
    the lower right corner, 4 moves from the start; water lies below the start. The office ends the
    episode with reward 1 if the coffee has been fetched before and 0 otherwise; water ends it with
    reward 0. The shortest success takes 12 moves.

    The states of the tables are pairs (has coffee, cell). By default only the cell is seen: the
    objective needs a memory, and in the dead end the same cell asks for opposite moves. With 60
    steps the best policy without memory found by gradient ascent on the exact success succeeds in
    0.30 of the episodes, the best one with memory always.

    Args:
        num_envs: columns of the batch, B.
        observation: ``index``, ``one_hot`` or ``coordinates`` of the cell alone, or
            ``state_index``, ``state_one_hot``, which include whether the coffee has been fetched.
    """
    grid = Grid(_OFFICE)
    coffee, office, water = (grid.marked(mark) for mark in "COW")
    cell = np.tile(np.arange(grid.size), 2)
    carrying = np.repeat([False, True], grid.size)

    def outcomes(state: int, action: int) -> list[tuple[float, int, float]]:
        following = int(grid.neighbour[cell[state], action])
        has = bool(carrying[state] or coffee[following])
        return [(1.0, following + has * grid.size, float(has and office[following]))]

    observations = {name: table[cell] for name, table in grid.observations().items()}
    return TabularSimulation(
        num_envs,
        from_outcomes(
            2 * grid.size,
            4,
            outcomes,
            start=grid.only("S"),
            terminal=np.flatnonzero((office | water)[cell]),
        ),
        observations={
            **observations,
            "state_index": np.arange(2 * grid.size),
            "state_one_hot": one_hot(np.arange(2 * grid.size)),
        },
        observation=observation,
        state_info={
            "position": grid.cells[cell],
            "coffee": coffee[cell].astype(np.int64),
            "office": office[cell].astype(np.int64),
            "water": water[cell].astype(np.int64),
            "has_coffee": carrying.astype(np.int64),
            "is_success": carrying & office[cell],
        },
        info_keys={
            **_POSITION,
            "coffee": "label: 1 where the coffee is, else 0",
            "office": "label: 1 in the office, else 0",
            "water": "label: 1 in the water, else 0",
            "has_coffee": "1 once the coffee has been fetched, else 0",
            "is_success": "whether the office was reached with coffee, bool []",
        },
        cells=grid.cells[cell],
        picture=grid.picture(C=_BROWN, O=_GREEN, W=_BLUE),
    )
