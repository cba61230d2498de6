"""What ``info`` says about a game: score, lives, and what the console's memory tells for sure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np

COMMON_KEYS: Mapping[str, str] = {
    "score": "points of this episode so far, neither clipped nor scaled",
    "lives": "lives left, counting the one that is played",
    "frame": "frames of this episode so far, 60 of them a second",
}
"""Entries of ``info`` in every game."""

MEMORY: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "montezuma_revenge": {
        "room": (3, "number of the room, 0 to 23 in each level; every game begins in room 1"),
        "player_x": (42, "where the player stands in the room, greater to the right"),
        "player_y": (43, "where the player stands in the room, greater further up"),
    },
}
"""By game: entries of ``info`` with the byte of the console's 128 bytes of memory that holds them.

The addresses are those that Anand et al. ("Unsupervised State Representation Learning in Atari",
2019) list; a test walks through the game and checks them.
"""

_ROOMS = {
    "rooms_visited": "different rooms of this episode so far, the first one among them",
    "new_room": "1 in a step that entered a room for the first time in this episode, else 0",
}


@final
class Quantities:
    """Reads ``info`` from the console's memory, and counts the rooms of an episode.

    Args:
        game: name of the game, such as ``"montezuma_revenge"``.

    Attributes:
        info_keys: what every entry is.
    """

    def __init__(self, game: str) -> None:
        self._bytes = {name: place for name, (place, _) in MEMORY.get(game, {}).items()}
        self.info_keys = dict(COMMON_KEYS)
        self.info_keys |= {name: line for name, (_, line) in MEMORY.get(game, {}).items()}
        self._has_rooms = "room" in self._bytes
        if self._has_rooms:
            self.info_keys |= _ROOMS
        self._rooms: set[int] = set()

    def reset(self) -> None:
        """Forget the rooms of the last episode."""
        self._rooms.clear()

    def read(self, memory: np.ndarray) -> dict[str, int]:
        """Return the entries that come from the memory, and count a room that is new.

        Args:
            memory: uint8 ``[128]``.
        """
        found = {name: int(memory[place]) for name, place in self._bytes.items()}
        if self._has_rooms:
            found["new_room"] = int(bool(self._rooms) and found["room"] not in self._rooms)
            self._rooms.add(found["room"])
            found["rooms_visited"] = len(self._rooms)
        return found

    def snapshot(self) -> list[int]:
        """Return the rooms of this episode."""
        return sorted(self._rooms)

    def restore(self, rooms: list[Any]) -> None:
        """Go on with the rooms that `snapshot` returned."""
        self._rooms = {int(room) for room in rooms}
