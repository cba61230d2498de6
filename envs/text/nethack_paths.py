"""A scripted expert for levels of NetHack: the shortest way to the stairs down."""

from __future__ import annotations

from collections import deque

import numpy as np

STEPS: dict[str, tuple[int, int]] = {
    "north": (0, -1), "east": (1, 0), "south": (0, 1), "west": (-1, 0),
    "northeast": (1, -1), "southeast": (1, 1), "southwest": (-1, 1), "northwest": (-1, -1),
}  # fmt: skip
"""Moves as (right, down), those along the axes first."""

_STAIRS = b"staircase down"
_BLOCKED = frozenset(
    (b"", b"stone", b"wall", b"dark part of a room", b"boulder", b"tree", b"iron bars", b"water",
     b"molten lava", b"closed door", b"solid rock", b"statue")
)  # fmt: skip
# An open door can be passed along the axes only; an empty doorway in every direction.
_DOOR = b"open door"


def towards_stairs(descriptions: np.ndarray, x: int, y: int) -> str | None:
    """Return the first move of a shortest way to the stairs down, or None without one in view.

    The way leads over squares that are seen, around walls, closed doors, boulders, water and lava,
    and through monsters, which a move attacks. While no stairs are in view, it leads to the
    nearest square next to one that was not seen yet, if there is any.

    Args:
        descriptions: ``screen_descriptions``, uint8 ``[21, 79, 80]``.
        x: column of the hero.
        y: row of the hero.
    """
    names = np.ascontiguousarray(descriptions).view(f"S{descriptions.shape[-1]}")[..., 0]
    rows, columns = names.shape
    free = [[name not in _BLOCKED for name in line] for line in names.tolist()]
    doors = (names == _DOOR).tolist()
    first: dict[tuple[int, int], str] = {(x, y): ""}
    queue = deque([(x, y)])
    frontier: str | None = None
    while queue:
        at = queue.popleft()
        if names[at[1], at[0]] == _STAIRS:
            return first[at]
        unknown = False
        for word, (right, down) in STEPS.items():
            nx, ny = at[0] + right, at[1] + down
            if not (0 <= nx < columns and 0 <= ny < rows):
                continue
            unknown = unknown or names[ny, nx] in (b"", b"dark part of a room")
            crosses = right != 0 and down != 0 and (doors[ny][nx] or doors[at[1]][at[0]])
            if free[ny][nx] and not crosses and (nx, ny) not in first:
                first[nx, ny] = first[at] or word
                queue.append((nx, ny))
        if frontier is None and unknown and at != (x, y):
            frontier = first[at]
    return frontier
