"""What ``info`` holds: the status of the hero, the message, the inventory, and events.

Everything is derived from observations of the engine, exactly as described in `INFO_KEYS`; nothing
is guessed from the wording of messages.
"""

from __future__ import annotations

import itertools
from typing import Any, final

import numpy as np

# The entries of `blstats`, in NetHack's order.
STATUS = {
    "x": "column of the hero on the map, 0 to 78",
    "y": "row of the hero on the map, 0 to 20",
    "strength": "strength on the scale 3 to 25",
    "strength_125": "strength on the scale 3 to 125, which resolves 18/01 to 18/100",
    "dexterity": "dexterity, 3 to 25",
    "constitution": "constitution, 3 to 25",
    "intelligence": "intelligence, 3 to 25",
    "wisdom": "wisdom, 3 to 25",
    "charisma": "charisma, 3 to 25",
    "score": "NetHack's score so far, points",
    "hit_points": "hit points; at death those of the last status line, which may be positive",
    "max_hit_points": "the most hit points the hero can have now",
    "depth": "levels below the surface; 1 is the first",
    "gold": "gold carried, pieces",
    "energy": "magic energy",
    "max_energy": "the most magic energy the hero can have now",
    "armor_class": "armor class; lower is better",
    "monster_level": "level of the monster the hero is polymorphed into, else 0",
    "experience_level": "experience level, 1 to 30",
    "experience_points": "experience points",
    "turn": "game turns since the start of the game",
    "hunger": "0 satiated, 1 not hungry, 2 hungry, 3 weak, 4 fainting, 5 fainted, 6 starved",
    "encumbrance": "0 none, 1 burdened, 2 stressed, 3 strained, 4 overtaxed, 5 overloaded",
    "dungeon_number": "branch of the dungeon; 0 is the main one",
    "dungeon_level": "level within the branch; 1 is the first",
    "condition": "bit mask of conditions such as blindness and confusion",
    "alignment": "-1 chaotic, 0 neutral, 1 lawful",
}
ARRAYS = {
    "message": "the game's message line, uint8 [256], zero-padded latin-1",
    "inventory_letters": "letters of the items carried, uint8 [55], 0 where there is none",
    "inventory_glyphs": "glyphs of the items carried, int16 [55], 5976 where there is none",
    "inventory_strings": "names of the items carried, uint8 [55, 80], zero-padded latin-1",
}
# Under which name the engine has these arrays.
ARRAY_KEYS = {
    "message": "message",
    "inventory_letters": "inv_letters",
    "inventory_glyphs": "inv_glyphs",
    "inventory_strings": "inv_strs",
}
EVENTS = {
    "turns_passed": "turns between the state before the step and after it; 0 for a free action",
    "new_tile": "1 if the hero stands where it has not stood before in this episode",
    "new_level": "1 if the level of the dungeon was not visited before in this episode",
    "new_depth": "levels by which the step went below the deepest depth so far",
    "experience_gained": "experience points gained in the step, mostly by killing",
    "levels_gained": "experience levels gained in the step",
    "gold_gained": "pieces of gold by which the purse grew in the step",
    "items_gained": "inventory letters in use now that were free before the step, without gold",
    "items_lost": "inventory letters free now that were in use before the step, without gold",
    "hit_points_lost": "hit points that the status line shows lost in the step",
    "hit_points_gained": "hit points gained in the step",
    "doors_opened": (
        "closed doors next to the hero before the step that are seen open or broken after it"
    ),
}
ENDS = {
    "prompt": "what the game waits for: 0 a command, 1 one key, 2 a line of text, 3 space",
    "end_status": "-1 cut off, 0 running, 1 the game is over, 2 the task is solved",
    "is_ascended": "1 if the game was won, else 0",
}
SUCCESS = {"is_success": "whether the task is solved (end status 2)"}
INFO_KEYS: dict[str, str] = {**STATUS, **ARRAYS, **EVENTS, **ENDS, **SUCCESS}

_X, _Y, _HIT_POINTS, _DEPTH, _GOLD = 0, 1, 10, 12, 13
_EXPERIENCE_LEVEL, _EXPERIENCE, _TURN, _BRANCH, _LEVEL = 18, 19, 20, 23, 24
_GAINS = (
    ("experience_gained", _EXPERIENCE),
    ("levels_gained", _EXPERIENCE_LEVEL),
    ("gold_gained", _GOLD),
)
_GOLD_LETTER = ord("$")
# The symbols of doors follow each other among NetHack's map symbols, which begin at glyph 2359:
# no door or a broken one, open (two directions), closed (two directions).
_MAP = 2359
_OPEN_DOORS = frozenset((_MAP + 12, _MAP + 13, _MAP + 14))
_CLOSED_DOORS = frozenset((_MAP + 15, _MAP + 16))


@final
class Quantities:
    """Makes ``info`` from the frames of one episode, and remembers what events need."""

    def __init__(self) -> None:
        self._info: dict[str, Any] = {}
        self._stats: list[int] = []
        self._letters = b""
        self._tiles: set[tuple[int, int, int, int]] = set()
        self._levels: set[tuple[int, int]] = set()
        self._deepest = 0
        self._doors: list[tuple[int, int]] = []

    def reset(self, frame: dict[str, np.ndarray]) -> dict[str, Any]:
        """Begin an episode.

        Args:
            frame: observations by key: ``glyphs``, ``blstats``, ``message``, ``inv_letters``,
                ``inv_glyphs`` and ``inv_strs``.

        Returns:
            Numbers and arrays by name: status, arrays, and events, which are all 0. The arrays
            are those of the frame.
        """
        self._stats = stats = frame["blstats"].tolist()
        self._letters = frame["inv_letters"].tobytes()
        level = (stats[_BRANCH], stats[_LEVEL])
        self._levels = {level}
        self._tiles = {(*level, stats[_X], stats[_Y])}
        self._deepest = stats[_DEPTH]
        self._doors = _closed_doors(frame["glyphs"], stats[_X], stats[_Y])
        self._info = {
            **dict(zip(STATUS, stats, strict=True)),
            **{name: frame[key] for name, key in ARRAY_KEYS.items()},
            **dict.fromkeys(EVENTS, 0),
        }
        return self._info.copy()

    def step(self, frame: dict[str, np.ndarray], stats: list[int]) -> dict[str, Any]:
        """Return what `reset` returns, for the state after a step, with the step's events.

        Args:
            frame: as for `reset`.
            stats: the numbers of ``frame["blstats"]``.
        """
        # Runs at every step of every game: copying a dict and assigning what changed is several
        # times faster than building one.
        before, kept = self._stats, self._info
        kept["message"] = frame["message"]
        kept["inventory_letters"] = letters = frame["inv_letters"]
        kept["inventory_glyphs"] = frame["inv_glyphs"]
        kept["inventory_strings"] = frame["inv_strs"]
        if stats != before:
            self._stats = stats
            kept["x"], kept["y"], kept["turn"] = stats[_X], stats[_Y], stats[_TURN]
            if stats[2:_TURN] != before[2:_TURN] or stats[_TURN + 1 :] != before[_TURN + 1 :]:
                kept.update(zip(STATUS, stats, strict=True))
            info = kept.copy()
            self._count(info, before, stats)
        else:
            info = kept.copy()
        glyphs = frame["glyphs"]
        if self._doors and before[_BRANCH : _LEVEL + 1] == stats[_BRANCH : _LEVEL + 1]:
            info["doors_opened"] = sum(int(glyphs[at]) in _OPEN_DOORS for at in self._doors)
        self._doors = _closed_doors(glyphs, stats[_X], stats[_Y])
        if (now := letters.tobytes()) != self._letters:
            info["items_gained"], info["items_lost"] = _changed(self._letters, now)
            self._letters = now
        return info

    def _count(self, info: dict[str, Any], before: list[int], stats: list[int]) -> None:
        """Set the events that show in the status."""
        level = (stats[_BRANCH], stats[_LEVEL])
        tile = (*level, stats[_X], stats[_Y])
        info["turns_passed"] = stats[_TURN] - before[_TURN]
        if tile not in self._tiles:
            self._tiles.add(tile)
            info["new_tile"] = 1
        if level not in self._levels:
            self._levels.add(level)
            info["new_level"] = 1
        if stats[_DEPTH] > self._deepest:
            info["new_depth"] = stats[_DEPTH] - self._deepest
            self._deepest = stats[_DEPTH]
        if (change := stats[_HIT_POINTS] - before[_HIT_POINTS]) != 0:
            info["hit_points_gained" if change > 0 else "hit_points_lost"] = abs(change)
        for event, entry in _GAINS:
            if stats[entry] > before[entry]:
                info[event] = stats[entry] - before[entry]


def _changed(before: bytes, after: bytes) -> tuple[int, int]:
    """Return how many letters came and went."""
    ignored = {0, _GOLD_LETTER}
    old, new = set(before) - ignored, set(after) - ignored
    return len(new - old), len(old - new)


def _closed_doors(glyphs: np.ndarray, x: int, y: int) -> list[tuple[int, int]]:
    """Return row and column of the closed doors next to the hero."""
    top, left = max(y - 1, 0), max(x - 1, 0)
    around = glyphs[top : y + 2, left : x + 2].tolist()
    if _CLOSED_DOORS.isdisjoint(itertools.chain.from_iterable(around)):
        return []
    return [
        (top + row, left + column)
        for row, line in enumerate(around)
        for column, glyph in enumerate(line)
        if glyph in _CLOSED_DOORS
    ]
