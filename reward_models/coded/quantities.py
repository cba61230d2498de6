"""What a generated program may read: the documented quantities of an environment."""

from __future__ import annotations

import keyword
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium import spaces

from reward_models.errors import UnknownNameError, UserError

TEXT = "text"
"""The ``dtype`` of a quantity that is stored as zero-padded bytes and read as a string."""

_ROOTS = ("observation", "state", "success")
_TAKEN = frozenset({"action", "info", "state", "self", "np", "math", "previous", "ACTIONS"})


@final
@dataclass(frozen=True)
class Quantity:
    """One documented quantity.

    Attributes:
        name: the record's key: ``observation``, ``observation.<entry>``, ``state.<name>`` or
            ``success``.
        dtype: numpy's name of it, or ``text`` for zero-padded latin-1 bytes ``[..., N]``.
        shape: of one step, without ``[T, B]``; that of the string's bytes for ``text``.
        unit: for example ``m/s``; may be empty.
        meaning: one line of documentation.

    Raises:
        UserError: a name that is no key of the record or cannot become an identifier.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    unit: str = ""
    meaning: str = ""

    def __post_init__(self) -> None:
        root, dot, _ = self.name.partition(".")
        if root not in _ROOTS or (root == "state" and not dot) or (root == "success" and dot):
            raise UserError(
                f"A quantity is named like the record's keys: observation, observation.NAME, "
                f"state.NAME or success; got {self.name!r}."
            )
        word = self.identifier
        if not word.isidentifier() or keyword.iskeyword(word) or word.startswith("_"):
            raise UserError(f"{self.name!r} gives no usable identifier ({word!r}); rename it.")

    @property
    def identifier(self) -> str:
        """What the quantity is called inside a program: the key without its first part."""
        return self.name.partition(".")[2].replace(".", "_") or self.name

    @property
    def is_text(self) -> bool:
        """Whether programs read it as a string."""
        return self.dtype == TEXT


@final
@dataclass(frozen=True)
class ProgramInputs:
    """All that a program may read, and what it is told about the task.

    Attributes:
        task: the task in words; data, never an instruction to anybody but the author.
        quantities: in the order in which they are shown to an author.
        actions: names of the actions of a discrete action space, or None.
        action_shape: of one action: ``()`` for a discrete one.
        max_steps: of an episode, or None without a limit.

    Raises:
        UserError: two quantities with one identifier, one that hides a parameter, or no name per
            action.
    """

    task: str
    quantities: tuple[Quantity, ...]
    actions: tuple[str, ...] | None = None
    action_shape: tuple[int, ...] = ()
    max_steps: int | None = None

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for quantity in self.quantities:
            word = quantity.identifier
            if word in _TAKEN or word.startswith("prev_"):
                raise UserError(
                    f"The quantity {quantity.name!r} would be called {word!r} inside programs, "
                    "which means something else there; rename it."
                )
            if word in seen:
                raise UserError(
                    f"{seen[word]!r} and {quantity.name!r} would both be called {word!r} inside "
                    "programs; leave one out or rename it."
                )
            seen[word] = quantity.name
        if self.actions is not None and self.action_shape:
            raise UserError("Actions have names only where the action is one number.")

    def __getitem__(self, identifier: str) -> Quantity:
        """Return the quantity of that identifier.

        Raises:
            UnknownNameError: no such quantity, with the nearest one.
        """
        for quantity in self.quantities:
            if quantity.identifier == identifier:
                return quantity
        raise UnknownNameError("quantity", identifier, self.identifiers)

    @property
    def identifiers(self) -> tuple[str, ...]:
        """What the quantities are called inside programs."""
        return tuple(quantity.identifier for quantity in self.quantities)

    @classmethod
    def from_spaces(
        cls,
        observation_space: gymnasium.Space,
        action_space: gymnasium.Space,
        *,
        task: str = "",
        state: Mapping[str, Any] | None = None,
        meanings: Mapping[str, str] | None = None,
        units: Mapping[str, str] | None = None,
        actions: Iterable[str] | None = None,
        max_steps: int | None = None,
    ) -> ProgramInputs:
        """Describe spaces, and examples of the simulator's ``state``, as quantities.

        Args:
            observation_space: of one environment; nested dicts become one quantity per entry.
            action_space: of one environment: Discrete, MultiDiscrete, MultiBinary or Box.
            task: in words.
            state: name -> a space, or an example value of one step (number or array).
            meanings: identifier -> documentation.
            units: identifier -> unit.
            actions: names of a discrete space's actions.
            max_steps: of an episode.

        Raises:
            UserError: a space that a rollout cannot hold, or as many action names as not needed.
        """
        found = [("observation", space) for space in (observation_space,)]
        quantities: list[Quantity] = []
        while found:
            name, space = found.pop(0)
            if isinstance(space, spaces.Dict):
                found[:0] = [(f"{name}.{key}", part) for key, part in space.spaces.items()]
                continue
            quantities.append(_quantity(name, _dtype_and_shape(name, space), meanings, units))
        for name, example in (state or {}).items():
            key = f"state.{name}"
            quantities.append(_quantity(key, _dtype_and_shape(key, example), meanings, units))
        names = None if actions is None else tuple(actions)
        count = int(action_space.n) if isinstance(action_space, spaces.Discrete) else None
        if names is not None and len(names) != count:
            raise UserError(f"{len(names)} action names for {count or 'no'} discrete actions.")
        shape = _dtype_and_shape("action", action_space)[1]
        return cls(task, tuple(quantities), names, shape, max_steps)

    def to_json(self) -> dict[str, Any]:
        """Return plain data that ``from_json`` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProgramInputs:
        """Read what ``to_json`` returned.

        Raises:
            UserError: something is missing or of the wrong kind.
        """
        try:
            quantities = tuple(
                Quantity(**{**entry, "shape": tuple(entry["shape"])})
                for entry in data["quantities"]
            )
            names = data["actions"]
            return cls(
                str(data["task"]),
                quantities,
                None if names is None else tuple(str(name) for name in names),
                tuple(int(size) for size in data["action_shape"]),
                None if data["max_steps"] is None else int(data["max_steps"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"This is no description of a program's inputs: {error}.") from error


def _quantity(
    name: str,
    found: tuple[str, tuple[int, ...]],
    meanings: Mapping[str, str] | None,
    units: Mapping[str, str] | None,
) -> Quantity:
    dtype, shape = found
    word = Quantity(name, dtype).identifier
    return Quantity(name, dtype, shape, (units or {}).get(word, ""), (meanings or {}).get(word, ""))


def _dtype_and_shape(name: str, example: Any) -> tuple[str, tuple[int, ...]]:
    if isinstance(example, gymnasium.Space):
        if example.shape is None or example.dtype is None:
            raise UserError(
                f"{name}: a program cannot read a {type(example).__name__} space; use Box, "
                "Discrete, MultiDiscrete, MultiBinary or Dict."
            )
        return np.dtype(example.dtype).name, tuple(int(size) for size in example.shape)
    if isinstance(example, str):
        return TEXT, (len(example),)
    array = np.asarray(example)
    if array.dtype.kind not in "biuf":
        raise UserError(f"{name}: expected numbers, got {array.dtype.name}.")
    return array.dtype.name, array.shape


def size(quantity: Quantity) -> int:
    """Return how many numbers one step of a quantity has."""
    return math.prod(quantity.shape)
