"""Which parts come into question for an environment, and how promising each looks from words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from ctrl.design.ranges import Range
from ctrl.design.search.parts import (
    ABOVE,
    CLOSER,
    EVENT,
    FIRST_VISIT,
    FURTHER,
    NEARER,
    Part,
)
from reward_models.coded.quantities import ProgramInputs, Quantity

SUCCESS = "success"
_GOOD_WORDS = frozenset({"success", "goal", "reach", "solv", "complet", "arriv", "scor", "touch"})
_FALLING = frozenset({"distance", "gap", "error", "remaining"})
_RATES = frozenset({"velocity", "speed", "rate"})
# Promise of falling, of rising and of being above a level, before the words of the task.
_FALLS, _RISES, _RATE = (2.0, 0.3, 0.3), (0.5, 1.0, 0.3), (0.1, 0.1, 0.8)
_STOP = frozenset(
    ("a", "an", "and", "as", "at", "be", "by", "for", "from", "has", "have", "in", "into", "is",
     "it", "its", "of", "on", "or", "that", "the", "this", "to", "was", "when", "where", "which",
     "with", "without", "step", "0", "1", "else", "own", "int64", "float32")
)  # fmt: skip
_ENDINGS = ("ings", "ing", "ed", "es", "s", "e")
_SHARED = 2.0
_POINT = 3
_CELL_STEPS, _DEAD_SHARE, _SMALLEST = 3.0, 0.001, 1e-6


@dataclass(frozen=True)
class Idea:
    """A part that comes into question.

    Attributes:
        part: with sensible numbers for this environment.
        promise: from words alone, above 0; the larger the more promising.
    """

    part: Part
    promise: float


def success_events(inputs: ProgramInputs, ranges: Mapping[str, Range], target: str) -> list[Part]:
    """Return the events that mean success: the success flag, else the flag nearest to the task.

    Args:
        inputs: what a program may read.
        ranges: of the quantities.
        target: the quantity that programs are judged by; '' for success or return.
    """
    flags = [q for q in inputs.quantities if _is_flag(q, ranges)]
    for quantity in flags:
        if quantity.identifier == target:
            return [Part(EVENT, (quantity.identifier,))]
    for quantity in flags:
        if quantity.identifier == SUCCESS:
            return [Part(EVENT, (SUCCESS,))]
    wanted = words(inputs.task) | _GOOD_WORDS
    scored = [(len(_words_of(q) & wanted), q.identifier) for q in flags]
    best = max(scored, key=lambda item: item[0], default=(0, ""))
    return [Part(EVENT, (best[1],))] if best[0] else []


def dense_ideas(inputs: ProgramInputs, ranges: Mapping[str, Range]) -> list[Idea]:
    """Return the parts that can guide on the way, the most promising first.

    Numbers that change become differences in time in both directions, thresholds, and memories of
    the cells visited; points (vectors of up to three numbers) of one unit become distances.

    Args:
        inputs: what a program may read.
        ranges: of the quantities; one that never changed is left out.
    """
    task = words(inputs.task)
    moving = [
        q
        for q in inputs.quantities
        if q.identifier in ranges
        and ranges[q.identifier].changes > 0
        and not _is_flag(q, ranges)
        and not q.is_text
    ]
    ideas: list[Idea] = []
    for quantity in moving:
        name, known = quantity.identifier, ranges[quantity.identifier]
        shared = _SHARED * len(_words_of(quantity) & task)
        if quantity.shape == ():
            down, up, over = _FALLS if _FALLING & set(name.split("_")) else _RISES
            middle = _rounded(known.low + 0.5 * (known.high - known.low))
            if _kind(quantity) in _RATES:
                # The change of a rate is no progress; being on the right side of 0 is.
                down, up, over = _RATE
                middle = 0.0 if known.low < 0 < known.high else middle
            dead = _dead_band(quantity, known.step)
            ideas += [
                Idea(Part(NEARER, (name,), level=dead), down * (1 + shared)),
                Idea(Part(FURTHER, (name,), level=dead), up * (1 + shared)),
                Idea(Part(ABOVE, (name,), level=middle), over * (1 + shared)),
            ]
        if _is_place(quantity):
            cell = _cell(quantity, known.step)
            ideas.append(Idea(Part(FIRST_VISIT, (name,), level=cell), 1.0 + 0.5 * shared))
    points = [q for q in inputs.quantities if q.identifier in ranges and _is_point(q)]
    for a, b in combinations(points, 2):
        alike = a.unit == b.unit and a.shape == b.shape and _kind(a) == _kind(b)
        if alike and (a in moving or b in moving):
            shared = _SHARED * len((_words_of(a) | _words_of(b)) & task)
            names = (a.identifier, b.identifier)
            dead = _dead_band(a, max(ranges[name].step for name in names))
            bonus = 2.0 if _kind(a) == "position" else 0.5
            ideas.append(Idea(Part(CLOSER, names, level=dead), bonus * (1 + shared)))
    pair = _plane(moving)
    if pair is not None:
        cell = max(_cell(q, ranges[q.identifier].step) for q in moving if q.identifier in pair)
        ideas.append(Idea(Part(FIRST_VISIT, pair, level=cell), 1.5))
    return sorted(ideas, key=lambda idea: (-idea.promise, idea.part.idea))


def sizes(inputs: ProgramInputs) -> dict[str, int]:
    """Return the numbers of entries of the vectors among the quantities."""
    return {
        quantity.identifier: quantity.shape[0]
        for quantity in inputs.quantities
        if len(quantity.shape) == 1 and not quantity.is_text
    }


def words(text: str) -> set[str]:
    """Return the words of a text without their endings; names with underscores are several."""
    found = re.findall(r"[a-z0-9]+", text.lower())
    return {_stem(word) for word in found if word not in _STOP}


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _words_of(quantity: Quantity) -> set[str]:
    return words(f"{quantity.identifier} {quantity.meaning}")


def _is_flag(quantity: Quantity, ranges: Mapping[str, Range]) -> bool:
    if quantity.shape or quantity.is_text:
        return False
    known = ranges.get(quantity.identifier)
    documented = quantity.dtype == "bool" or quantity.meaning.startswith(("1 ", "whether"))
    return documented and (known is None or known.is_flag)


def _is_place(quantity: Quantity) -> bool:
    """Whether it says where something is."""
    is_small = quantity.shape == () or _is_point(quantity)
    return is_small and _kind(quantity) in ("position", "index")


def _is_point(quantity: Quantity) -> bool:
    return len(quantity.shape) == 1 and 2 <= quantity.shape[0] <= _POINT


def _kind(quantity: Quantity) -> str:
    """Return the last word of the name: points are compared with their like."""
    return quantity.identifier.rpartition("_")[2]


def _plane(moving: list[Quantity]) -> tuple[str, str] | None:
    """Return the two coordinates of a place in the plane, where they are numbers of their own."""
    names = {quantity.identifier for quantity in moving if quantity.shape == ()}
    for pair in (("x", "y"), ("x_position", "y_position")):
        if names >= set(pair):
            return pair
    return None


def _dead_band(quantity: Quantity, step: float) -> float:
    """Return the change that is rounding and no movement."""
    return 0.0 if _is_whole(quantity) else _rounded(_DEAD_SHARE * step)


def _cell(quantity: Quantity, step: float) -> float:
    """Return the size of a cell: one, or a few usual steps."""
    return 1.0 if _is_whole(quantity) else max(_rounded(_CELL_STEPS * step), _SMALLEST)


def _is_whole(quantity: Quantity) -> bool:
    return quantity.dtype.startswith(("int", "uint"))


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")
