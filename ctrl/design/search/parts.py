"""The parts that searched programs are made of, and the Python that each of them becomes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

EVENT, FAILURE, NEARER, FURTHER, CLOSER, FIRST_VISIT, ABOVE = (
    "event", "failure", "nearer", "further", "closer", "first_visit", "above",
)  # fmt: skip
KINDS = (EVENT, FAILURE, NEARER, FURTHER, CLOSER, FIRST_VISIT, ABOVE)

_MARK = "# parts: "


@dataclass(frozen=True)
class Part:
    """One idea of a program.

    Attributes:
        kind: ``event``: a flag is 1; ``failure``: the task ended the episode and none of the flags
            is 1; ``nearer`` and ``further``: a number fell or rose by more
            than ``level`` in the step; ``closer``: the distance between two points fell by more
            than ``level``; ``first_visit``: a cell of size ``level`` was not seen before in the
            episode; ``above``: a number exceeds ``level``.
        names: the quantities it reads.
        sign: 1 pays, -1 takes away.
        level: see ``kind``.
        weight: how much it counts among the parts of its function, above 0.
    """

    kind: str
    names: tuple[str, ...]
    sign: int = 1
    level: float = 0.0
    weight: float = 1.0

    @property
    def is_event(self) -> bool:
        """It belongs to the sparse function."""
        return self.kind in (EVENT, FAILURE)

    @property
    def idea(self) -> tuple[Any, ...]:
        """What it is about, whatever its numbers."""
        return (self.kind, self.names, self.sign)


@dataclass(frozen=True)
class Sketch:
    """A program as parts.

    Attributes:
        sparse: events.
        dense: parts of the way there; their weighted sum is what the dense function returns.
    """

    sparse: tuple[Part, ...] = ()
    dense: tuple[Part, ...] = ()


def mark(sketch: Sketch) -> str:
    """Return the comment by which a program says which parts it is made of."""
    plain = {
        key: [asdict(part) for part in parts]
        for key, parts in (("sparse", sketch.sparse), ("dense", sketch.dense))
    }
    return _MARK + json.dumps(plain, separators=(",", ":"))


def read_mark(source: str) -> Sketch | None:
    """Return the parts of a program that `mark` marked; None where there is no readable mark."""
    for line in source.splitlines():
        place = line.find(_MARK)
        if place >= 0:
            try:
                plain = json.loads(line[place + len(_MARK) :])
                return Sketch(_parts(plain["sparse"]), _parts(plain["dense"]))
            except (ValueError, KeyError, TypeError):
                return None
    return None


def _parts(plain: Sequence[Mapping[str, Any]]) -> tuple[Part, ...]:
    parts = tuple(Part(**{**each, "names": tuple(each["names"])}) for each in plain)
    for part in parts:
        if part.kind not in KINDS:
            raise ValueError(part.kind)
    return parts


def statements(
    part: Part, number: int, sizes: Mapping[str, int], *, by_name: bool = False
) -> list[str]:
    """Return the lines that add a part to ``value``.

    Args:
        part: the part.
        number: of the part in its function, from 0; names its entry of ``state``.
        sizes: numbers of entries of the vectors among the quantities, by name.
        by_name: read quantities as ``x`` and ``prev_x`` instead of ``obs["x"]`` and
            ``prev_obs["x"]``.
    """
    amount = f"{part.weight!r}"
    gain, loss = ("+", "-") if part.sign > 0 else ("-", "+")
    now, before = (
        [
            entry
            for name in part.names
            for entry in _entries(f"{prefix}{name}" if by_name else f'{prefix}obs["{name}"]',
                                  sizes.get(name))
        ]
        for prefix in ("", "prev_")
    )  # fmt: skip
    if part.kind == EVENT:
        return [f"if {now[0]} > 0.5:", f"    value {gain}= {amount}"]
    if part.kind == FAILURE:
        succeeded = " or ".join(f"{flag} > 0.5" for flag in now) or "False"
        ended = 'info["terminated"]'
        return [f"if {ended} and not ({succeeded}):", f"    value {gain}= {amount}"]
    if part.kind == ABOVE:
        return [f"if {now[0]} > {part.level!r}:", f"    value {gain}= {amount}"]
    if part.kind in (NEARER, FURTHER):
        return _by_change(f"{before[0]} - {now[0]}", part, gain, loss)
    if part.kind == CLOSER:
        half = len(now) // 2
        return [
            f"gap_before = {_distance(before[:half], before[half:])}",
            f"gap_now = {_distance(now[:half], now[half:])}",
            *_by_change("gap_before - gap_now", part, gain, loss),
        ]
    key = f'"cells_{number}"'
    return [
        f"if {key} not in state:",
        f"    state[{key}] = {{{_cell(before, part.level)}: 1}}",
        f"cell = {_cell(now, part.level)}",
        f"if cell in state[{key}]:",
        f"    value {loss}= {amount}",
        "else:",
        f"    state[{key}][cell] = 1",
        f"    value {gain}= {amount}",
    ]


def describe(part: Part) -> str:
    """Return what a part does, in words."""
    verb = "pays" if part.sign > 0 else "takes away"
    names = " and ".join(part.names)
    return {
        EVENT: f"{verb} when {names} is 1",
        FAILURE: f"{verb} when the task ends the episode without {names or 'success'}",
        NEARER: f"{verb} while {names} falls",
        FURTHER: f"{verb} while {names} rises",
        CLOSER: f"{verb} while the distance between {names} falls",
        FIRST_VISIT: f"{verb} for cells of {names} (size {part.level:g}) that are new in the "
        "episode, and the opposite for cells seen before",
        ABOVE: f"{verb} while {names} is above {part.level:g}",
    }[part.kind]


def _by_change(change: str, part: Part, gain: str, loss: str) -> list[str]:
    if part.kind == FURTHER:
        gain, loss = loss, gain
    return [
        f"change = {change}",
        f"if change > {part.level!r}:",
        f"    value {gain}= {part.weight!r}",
        f"elif change < {-part.level!r}:",
        f"    value {loss}= {part.weight!r}",
    ]


def _entries(text: str, size: int | None) -> list[str]:
    """Return the expressions of the numbers that a quantity consists of; None is a plain number."""
    return [text] if size is None else [f"{text}[{entry}]" for entry in range(size)]


def _distance(a: Sequence[str], b: Sequence[str]) -> str:
    squares = " + ".join(f"({x} - {y}) ** 2" for x, y in zip(a, b, strict=True))
    return f"math.sqrt({squares})"


def _cell(entries: Sequence[str], size: float) -> str:
    return ' + "," + '.join(f"str(math.floor({entry} / {size!r}))" for entry in entries)
