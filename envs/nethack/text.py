"""The state of a NetHack game as text, and commands in words.

`describe` says what is seen around the hero, nearest first: a word for the distance, the direction
and the name that the game itself gives to the square. `Commands` turns words into the actions of
a task, with the keys that answer the questions of a command (`"open north"`, `"apply f west"`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np

# Squares that say nothing about where to go.
_PLAIN = frozenset(
    (b"", b"floor of a room", b"dark part of a room", b"floor of a corridor", b"stone", b"wall")
)
_DIRECTIONS = {
    "north": "N", "south": "S", "east": "E", "west": "W",
    "northeast": "NE", "northwest": "NW", "southeast": "SE", "southwest": "SW",
}  # fmt: skip
_ALIASES = {
    "ascend": "UP",
    "go up": "UP",
    "descend": "DOWN",
    "go down": "DOWN",
    "take": "PICKUP",
    "get": "PICKUP",
    "rest": "WAIT",
    "drink": "QUAFF",
    "escape": "ESC",
    "continue": "MORE",
    "enter": "MORE",
}
_WORD_KEYS = {"yes": "y", "no": "n", "here": ".", "self": ".", "up": "<", "down": ">"}
_MAX_COMMAND = 100


def decode(row: np.ndarray) -> str:
    """Return a zero-padded row of bytes as text."""
    return row.tobytes().split(b"\0", 1)[0].decode("latin-1")


def distance_word(distance: int) -> str:
    """Return the word for a number of moves, at least 1."""
    if distance == 1:
        return "adjacent"
    return "very near" if distance <= 3 else "near" if distance <= 6 else "far"


def direction_word(right: int, down: int) -> str:
    """Return the compass direction of an offset in squares, which is not (0, 0).

    The smaller part is dropped where the other is more than twice as large.
    """
    vertical = "" if down == 0 else "south" if down > 0 else "north"
    horizontal = "" if right == 0 else "east" if right > 0 else "west"
    if abs(down) > 2 * abs(right):
        return vertical
    if abs(right) > 2 * abs(down):
        return horizontal
    return vertical + horizontal


def surroundings(descriptions: np.ndarray, x: int, y: int) -> list[str]:
    """Return what is seen, nearest first, such as ``"near southeast staircase down"``.

    Of squares with one name the nearest is kept. Empty squares, floor, corridor, stone and wall
    are left out, and so is the hero's own square. Distances count moves (diagonals are one move).

    Args:
        descriptions: ``screen_descriptions``, uint8 ``[21, 79, 80]``.
        x: column of the hero.
        y: row of the hero.
    """
    names = np.ascontiguousarray(descriptions).view(f"S{descriptions.shape[-1]}")[..., 0]
    rows, columns = np.nonzero(names)
    distances = np.maximum(abs(columns - x), abs(rows - y))
    nearest: dict[bytes, tuple[int, int, int]] = {}
    for name, distance, row, column in zip(
        names[rows, columns].tolist(),
        distances.tolist(), rows.tolist(), columns.tolist(),
        strict=True,
    ):  # fmt: skip
        if distance and name not in _PLAIN:
            known = nearest.get(name)
            if known is None or distance < known[0]:
                nearest[name] = (distance, row, column)
    return [
        f"{distance_word(distance)} {direction_word(column - x, row - y)} {name.decode('latin-1')}"
        for name, (distance, row, column) in sorted(nearest.items(), key=lambda item: item[1])
    ]


def describe(frame: Mapping[str, np.ndarray], descriptions: np.ndarray) -> str:
    """Return message, surroundings, inventory and status as lines of text.

    Args:
        frame: ``blstats``, ``message``, ``inv_letters`` and ``inv_strs``.
        descriptions: ``screen_descriptions``, uint8 ``[21, 79, 80]``.
    """
    stats = frame["blstats"].tolist()
    lines = []
    if message := " ".join(decode(frame["message"]).split()):
        lines.append(message)
    lines.append("You see:")
    lines += surroundings(descriptions, stats[0], stats[1]) or ["nothing"]
    lines.append("You carry:")
    carried = [
        f"{chr(letter)}: {decode(name)}"
        for letter, name in zip(frame["inv_letters"].tolist(), frame["inv_strs"], strict=True)
        if letter
    ]
    lines += carried or ["nothing"]
    lines.append(
        f"Hit points {stats[10]} of {stats[11]}, armor class {stats[16]}, "
        f"experience level {stats[18]}, gold {stats[13]}, depth {stats[12]}, turn {stats[20]}."
    )
    return "\n".join(lines)


def action_names(actions: Sequence[Any]) -> tuple[str, ...]:
    """Return a name for every action of a task: nle's own, and ``FAR_N`` for the long moves."""
    return tuple(
        f"FAR_{action.name}" if type(action).__name__.endswith("Longer") else action.name
        for action in actions
    )


@final
class Commands:
    """Commands in words for the actions of one task.

    Args:
        actions: nle's enumeration members, in the order of the action space.
    """

    def __init__(self, actions: Sequence[Any]) -> None:
        self.names = action_names(actions)
        self._by_key = {int(action): index for index, action in reversed([*enumerate(actions)])}
        by_name = {name: index for index, name in enumerate(self.names)}
        words = {_plain(name): index for name, index in by_name.items()}
        for alias, name in _ALIASES.items():
            if name in by_name:
                words.setdefault(_plain(alias), by_name[name])
        for word, name in _DIRECTIONS.items():
            if name in by_name:
                words[word] = by_name[name]
            if f"FAR_{name}" in by_name:
                words[f"far{word}"] = words[f"run{word}"] = by_name[f"FAR_{name}"]
        self._words = words
        self._longest = 4

    def parse(self, command: str) -> list[int]:
        """Return the actions that type a command, one key each.

        The command is the name of an action (``"PICKUP"``) or an alias (``"pick up"``,
        ``"north"``, ``"far east"``). What follows answers the questions that it raises: a
        direction in words, ``yes`` or ``no``, or a single character, which is that key: after
        ``"apply"`` the ``n`` is the item n, and at the beginning it is north.

        Args:
            command: at most 100 characters.

        Raises:
            ValueError: a word is not known here, with the nearest one; or the task has no action
                that presses the key of an answer.
        """
        words = command[:_MAX_COMMAND].split()
        if not words:
            raise ValueError("The command is empty; expected for example 'north'.")
        index, used = self._command(words)
        return [index, *(self._answer(word) for word in words[used:])]

    def _command(self, words: list[str]) -> tuple[int, int]:
        """Return the action that the first words name, and how many they are."""
        for count in range(min(len(words), self._longest), 0, -1):
            index = self._words.get(_plain("".join(words[:count])))
            if index is not None:
                return index, count
        near = difflib.get_close_matches(_plain(words[0]), list(self._words), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"No action of this task is called {' '.join(words)!r}.{hint} "
            f"Its actions: {', '.join(self.names)}."
        )

    def _answer(self, word: str) -> int:
        """Return the action that presses the key meant by a word after the command."""
        if len(word) == 1:
            key = ord(word)
        elif word.lower() in _WORD_KEYS:
            key = ord(_WORD_KEYS[word.lower()])
        elif (index := self._words.get(_plain(word))) is not None:
            return index
        else:
            raise ValueError(
                f"{word!r} answers no question: expected a direction such as 'north', 'yes', "
                "'no', or one character such as the letter of an item."
            )
        if key not in self._by_key:
            raise ValueError(
                f"The answer {word!r} needs the key {chr(key)!r}, and no action of this task "
                f"presses it. Its actions: {', '.join(self.names)}."
            )
        return self._by_key[key]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()
