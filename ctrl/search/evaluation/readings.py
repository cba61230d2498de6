"""Named numbers of the state after a step: quantities of the simulator, entries of observations."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from reward_models.errors import UnknownNameError, UserError

OBSERVATION = "observation"
"""Names the observation itself where it is one array."""

_PART = re.compile(
    r"\s*([A-Za-z_][\w./-]*)\s*(?:\[\s*(\d+(?:\s*,\s*\d+)*)\s*\])?\s*(?:,(?=\s*[A-Za-z_])|$)"
)
PLACES = ("position[0,1]", "x_position,y_position", "x,y", "achieved_goal[0,1]", "observation[0,1]")
"""Where an episode is taken to have ended unless the user says: the first that there is."""


@dataclass(frozen=True)
@final
class Reading:
    """Some numbers of every column after a step, side by side in one vector.

    Attributes:
        text: as the user wrote it, such as ``x_position,y_position`` or ``observation[0,1]``:
            names with commas between them, each with the indices of the entries that are meant
            (all of them without). A name is a quantity of ``info``, an entry of a Dict observation,
            or ``observation``; quantities come first.
        parts: name, and indices or None, of each.
    """

    text: str
    parts: tuple[tuple[str, tuple[int, ...] | None], ...]

    @classmethod
    def parse(cls, text: str) -> Reading:
        """Read the text.

        Raises:
            UserError: it has another form.
        """
        parts: list[tuple[str, tuple[int, ...] | None]] = []
        start = 0
        while start < len(text) or not parts:
            found = _PART.match(text, start)
            if found is None:
                raise UserError(
                    f"Expected names with indices, such as 'x_position,y_position' or "
                    f"'observation[0,1]', got {text!r}."
                )
            name, indices = found.groups()
            chosen = None if indices is None else tuple(int(i) for i in indices.split(","))
            parts.append((name, chosen))
            start = found.end()
        return cls(text, tuple(parts))

    @property
    def names(self) -> tuple[str, ...]:
        """The names, without indices."""
        return tuple(name for name, _ in self.parts)

    def read(self, observation: Any, quantities: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Return the numbers, float64 ``[n, O]``.

        Args:
            observation: of all columns, ``[n, ...]``, or a dict of such.
            quantities: of all columns by name, ``[n, ...]``.

        Raises:
            UnknownNameError: there is no such quantity.
            UserError: an index beyond the end.
        """
        rows = []
        for name, indices in self.parts:
            values = self._values(name, observation, quantities)
            values = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
            if indices is not None:
                if max(indices) >= values.shape[1]:
                    raise UserError(
                        f"{self.text!r}: {name!r} has {values.shape[1]} entries, there is no "
                        f"index {max(indices)}."
                    )
                values = values[:, indices]
            rows.append(values)
        return rows[0].copy() if len(rows) == 1 else np.concatenate(rows, axis=1)

    def _values(
        self, name: str, observation: Any, quantities: Mapping[str, NDArray[Any]]
    ) -> NDArray[Any]:
        if name in quantities:
            return quantities[name]
        if isinstance(observation, Mapping):
            if name in observation:
                return observation[name]
            raise UnknownNameError("quantity", name, {*quantities, *observation})
        if name == OBSERVATION:
            return observation
        raise UnknownNameError("quantity", name, {*quantities, OBSERVATION})


def default_place(observation: Any, quantities: Mapping[str, NDArray[Any]]) -> Reading:
    """Return the first of `PLACES` that can be read.

    Args:
        observation: of a step, as for `Reading.read`.
        quantities: of the same step.

    Raises:
        UserError: none can; the cure is to name one.
    """
    for text in PLACES:
        reading = Reading.parse(text)
        try:
            reading.read(observation, quantities)
        except UserError:
            continue
        return reading
    names = {*quantities, *(observation if isinstance(observation, Mapping) else (OBSERVATION,))}
    raise UserError(
        "It is not known where in the world an episode ends: there is none of "
        f"{', '.join(PLACES)}. Name two numbers as the place; there are "
        f"{', '.join(sorted(names))}."
    )


def default_observed(
    observation: Any, quantities: Mapping[str, NDArray[Any]], place: Reading
) -> Reading:
    """Return what describes behaviour unless the user says.

    It is the place where the simulator reports one (all of ``position`` where that is its name) or
    where observations are dicts, else the observation.
    """
    if "position" in quantities:
        return Reading.parse("position")
    if isinstance(observation, Mapping) or all(name in quantities for name in place.names):
        return place
    return Reading.parse(OBSERVATION)


def wanted(readings: Collection[Reading], *more: str) -> tuple[str, ...]:
    """Return all names that some reading asks for, and more names."""
    return (*dict.fromkeys([*(n for reading in readings for n in reading.names), *more]),)
