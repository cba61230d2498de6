"""From a record to the lists that cross into the sandbox, and what open episodes carry over."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import torch

from reward_models.coded.anatomy import Anatomy
from reward_models.coded.quantities import Quantity
from reward_models.errors import UserError
from reward_models.rollout import Episode, Rollout

_NUMBERS_PER_CALL = 1_000_000


@final
@dataclass(frozen=True)
class Carried:
    """What the open episode of one column leaves for the next rollout.

    Attributes:
        step: steps of the episode so far.
        state: the program's ``state``, packed as text; empty when it keeps none.
        rows: identifier -> the latest value of a quantity of the simulator, whose value before a
            step the record does not have.
    """

    step: int = 0
    state: str = ""
    rows: Mapping[str, Any] = field(default_factory=dict)


_NOTHING = Carried()


@final
@dataclass(frozen=True)
class Part:
    """Steps of one episode that one call works through.

    Attributes:
        column: index into ``B``.
        start: first time step.
        stop: one past the last time step.
        begins: the episode begins here, or what came before is unknown.
        ends: the episode ends here.
    """

    column: int
    start: int
    stop: int
    begins: bool
    ends: bool

    def __len__(self) -> int:
        return self.stop - self.start


def parts_of(rollout: Rollout, known: Mapping[int, Carried], most: int) -> list[Part]:
    """Cut a rollout's episodes into parts of at most ``most`` steps, by column and time."""
    if rollout.T == 1:
        # Replayed minibatches: every step is a part, without the search for episodes.
        real, done = rollout.mask[0].tolist(), rollout.done[0].tolist()
        follows = [on and column in known for column, on in enumerate(rollout.continued.tolist())]
        return [
            Part(column, 0, 1, begins=not follows[column], ends=done[column])
            for column in range(rollout.B)
            if real[column]
        ]
    found = []
    for piece in rollout.episodes():
        for start in range(piece.start, piece.stop, most):
            stop = min(start + most, piece.stop)
            found.append(_part(piece, start, stop, known))
    return found


def _part(piece: Episode, start: int, stop: int, known: Mapping[int, Carried]) -> Part:
    follows = start > piece.start or (piece.open_start and piece.column in known)
    ends = stop == piece.stop and not piece.open_end
    return Part(piece.column, start, stop, begins=not follows, ends=ends)


def calls(parts: list[Part], numbers_per_step: int, *, most: int) -> Iterator[list[Part]]:
    """Group parts into calls of a bounded amount of data.

    A part that goes on with an episode waits for what the part before it leaves, so both are never
    in one call.

    Args:
        parts: by column and time.
        numbers_per_step: how much one step sends.
        most: steps of a call at most.
    """
    room = min(most, longest(numbers_per_step))
    group: list[Part] = []
    size = 0
    for part in parts:
        waits = not part.begins and any(one.column == part.column for one in group)
        if group and (size + len(part) > room or waits):
            yield group
            group, size = [], 0
        group.append(part)
        size += len(part)
    if group:
        yield group


def longest(numbers_per_step: int) -> int:
    """Return how many steps go into one call at most."""
    return max(_NUMBERS_PER_CALL // max(numbers_per_step, 1), 1)


@final
class Arrays:
    """The arrays of a rollout that a program reads, on the CPU.

    Args:
        rollout: the record.
        anatomy: of the program.
        action_shape: of one action.

    Raises:
        UserError: a quantity has another shape than was declared.
        UnknownNameError: the record lacks it.
    """

    def __init__(self, rollout: Rollout, anatomy: Anatomy, action_shape: tuple[int, ...]) -> None:
        self.anatomy = anatomy
        self.now: dict[str, np.ndarray] = {}
        self.before: dict[str, np.ndarray] = {}
        for quantity in anatomy.quantities:
            word = quantity.identifier
            key = quantity.name
            if key.partition(".")[0] == "observation":
                key = f"next_{key}"
                if anatomy.reads_previous:
                    self.before[word] = _array(rollout, quantity.name, quantity)
            self.now[word] = _array(rollout, key, quantity)
        action = rollout.action.detach().cpu().numpy()
        shape = (rollout.T, rollout.B, *action_shape)
        # Replay buffers of SB3 hand numbers out as [T, B, 1].
        self.action = action.reshape(shape) if action.size == math.prod(shape) else action
        self.terminated = rollout.terminated.cpu().numpy()
        self.truncated = rollout.truncated.cpu().numpy()

    @property
    def numbers_per_step(self) -> int:
        """How many numbers one step of one column sends."""
        sizes = [values[0, 0].size for values in (*self.now.values(), self.action) if values.size]
        return sum(sizes) + 2

    def inputs(self, group: list[Part], carried: Mapping[int, Carried]) -> dict[str, Any]:
        """Return what one call of the driver receives; see `reward_models.coded.driver`."""
        rows = _places(group)
        now = {word: self._plain(word, values[rows]) for word, values in self.now.items()}
        fresh: dict[str, dict[int, Any]] = {word: {} for word in self.now}
        firsts = np.cumsum([0, *map(len, group)])[:-1]
        if self.anatomy.reads_previous:
            for word in self.now:
                if word in self.before:
                    fresh[word] = self._fresh(word, rows, firsts)
                else:
                    # The record has no simulator's value from before an episode: nothing changed.
                    fresh[word] = {
                        at: now[word][at] if part.begins else carried[part.column].rows[word]
                        for at, part in zip(firsts.tolist(), group, strict=True)
                    }
        pieces = []
        for at, part in zip(firsts.tolist(), group, strict=True):
            known = _NOTHING if part.begins else carried[part.column]
            pieces.append((at, at + len(part), known.step, known.state))
        ends: list[Any] = []
        if self.anatomy.reads_info:
            flags = (self.terminated[rows].tolist(), self.truncated[rows].tolist())
            ends = list(zip(*flags, strict=True))
        return {
            "now": now, "fresh": fresh, "actions": self.action[rows].tolist(), "ends": ends,
            "pieces": pieces, "actions_are_arrays": self.action.ndim > 2,
        }  # fmt: skip

    def carried(self, part: Part, known: Carried, state: str) -> Carried:
        """Return what a part leaves for what follows it in its episode."""
        rows = {}
        if self.anatomy.reads_previous:
            for word, values in self.now.items():
                if word not in self.before:
                    last = values[part.stop - 1, part.column]
                    rows[word] = self._plain(word, last[None])[0]
        return Carried(known.step + len(part), state, rows)

    def _fresh(
        self, word: str, rows: tuple[np.ndarray, np.ndarray], firsts: np.ndarray
    ) -> dict[int, Any]:
        """Return the values before those steps where they are not those after the step before."""
        before, after = self.before[word][rows], self.now[word][rows]
        same = before[1:] == after[:-1]
        differs = np.ones(len(before), dtype=bool)
        differs[1:] = ~same.all(tuple(range(1, same.ndim)))
        differs[firsts] = True
        places = np.flatnonzero(differs)
        return dict(zip(places.tolist(), self._plain(word, before[places]), strict=True))

    def _plain(self, word: str, rows: np.ndarray) -> list[Any]:
        """Return rows as Python values; those of text as strings."""
        quantity = next((one for one in self.anatomy.quantities if one.identifier == word), None)
        if quantity is not None and quantity.is_text:
            return _strings(rows)
        return rows.tolist()


def _places(group: list[Part]) -> tuple[np.ndarray, np.ndarray]:
    """Return time step and column of all steps of some parts, in their order."""
    steps = np.concatenate([np.arange(part.start, part.stop) for part in group])
    columns = np.repeat([part.column for part in group], [len(part) for part in group])
    return steps, columns


def _array(rollout: Rollout, key: str, quantity: Quantity) -> np.ndarray:
    value = rollout[key]
    if not isinstance(value, torch.Tensor):
        raise UserError(f"{quantity.name!r} is a dict in this record; declare its entries instead.")
    array = value.detach().cpu().numpy()
    shape = (rollout.T, rollout.B, *quantity.shape)
    # Replay buffers of SB3 hand numbers out as [T, B, 1].
    array = array.reshape(shape) if array.shape[2:] == (1,) and quantity.shape == () else array
    if array.shape[2:] != quantity.shape:
        raise UserError(
            f"The program was written for {quantity.name!r} of shape {list(quantity.shape)}, this "
            f"record has {list(array.shape[2:])}. Use the program with the environment it was "
            "written for."
        )
    return array


def _strings(rows: np.ndarray) -> list[Any]:
    if rows.ndim > 2:
        return [_strings(row) for row in rows]
    return [bytes(row.astype(np.uint8)).split(b"\0")[0].decode("latin-1") for row in rows]
