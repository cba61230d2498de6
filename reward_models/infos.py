"""Reading the observations and the ``info`` of gymnasium's environments as arrays ``[B, ...]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from reward_models.errors import UnknownNameError, UserError

Arrays = Any
"""One array ``[B, ...]``, or a nested dict of them where observations are dicts."""

_BOOKKEEPING = {
    "episode",
    "is_success",
    "success",
    "TimeLimit.truncated",
    "final_obs",
    "final_info",
}


@runtime_checkable
class Outcome(Protocol):
    """What ``info`` says about one step."""

    def quantity(self, name: str) -> np.ndarray:
        """Return a quantity of the simulator, ``[B, ...]``."""
        ...

    def success(self) -> np.ndarray:
        """Return the task's success flag, ``[B]``; false where ``info`` says nothing."""
        ...

    def quantities(self) -> list[str]:
        """Return the names of all numeric quantities."""
        ...


class InfoOutcome:
    """The ``info`` of a single environment, ``B = 1``."""

    def __init__(self, info: Mapping[str, Any]) -> None:
        self.info = info

    def quantity(self, name: str) -> np.ndarray:
        """Return ``info["state"][name]`` or ``info[name]``, ``[1, ...]``.

        Raises:
            UnknownNameError: neither is there.
        """
        for source in (_state(self.info), self.info):
            if name in source:
                return np.array(source[name])[None]
        raise _unknown(name, self.quantities())

    def success(self) -> np.ndarray:
        """Return the success flag, ``[1]``."""
        return np.array([bool(self.info.get("is_success", self.info.get("success", False)))])

    def quantities(self) -> list[str]:
        """Return the names of all numeric quantities."""
        return _numeric(_state(self.info) or self.info)


class VectorOutcome:
    """The ``infos`` of a vector environment.

    Args:
        infos: name -> array ``[B, ...]``, with ``_name`` masks where not every column has it.
        ended: ``[B]``, columns whose step is described by ``infos["final_info"]``; where there is
            none, as in environments that report the step itself with it, by ``infos``.
        real: ``[B]``, columns that took a step.
    """

    def __init__(self, infos: Mapping[str, Any], ended: np.ndarray, real: np.ndarray) -> None:
        self.infos, self.ended, self.real = infos, ended, real

    def quantity(self, name: str) -> np.ndarray:
        """Return a quantity of every column's own step, ``[B, ...]``.

        Raises:
            UnknownNameError: no column has it.
            UserError: some real columns lack it.
        """
        values, has = self._found(name)
        if values is None or not (has & self.real).any():
            raise _unknown(name, self.quantities())
        missing = np.flatnonzero(self.real & ~has)
        if len(missing):
            raise UserError(
                f"A reward asked for the simulator quantity {name!r}, but columns "
                f"{missing.tolist()} of the vector environment do not have it in infos."
            )
        return values

    def success(self) -> np.ndarray:
        """Return the success flag, ``[B]``."""
        flags = np.zeros(len(self.real), dtype=bool)
        for name in ("success", "is_success"):
            values, has = self._found(name)
            if values is not None:
                flags = np.where(has, values.astype(bool), flags)
        return flags

    def quantities(self) -> list[str]:
        """Return the names of all numeric quantities."""
        return _numeric(_state(self.infos) or self.infos)

    def _found(self, name: str) -> tuple[np.ndarray | None, np.ndarray]:
        """Return the values and which columns have them, each from its own step."""
        values, has = _column(self.infos, name, len(self.real))
        if self.ended.any() and "final_info" in self.infos:
            final, final_has = _column(self.infos.get("final_info"), name, len(self.real))
            has = np.where(self.ended, final_has, has)
            if final is not None:
                values = final if values is None else merged(values, final, self.ended)
        return values, has


def merged(old: Arrays, new: Arrays, which: np.ndarray) -> Arrays:
    """Return ``old`` with the columns ``which`` taken from ``new``."""
    if isinstance(old, Mapping):
        return {key: merged(value, new[key], which) for key, value in old.items()}
    return np.where(which.reshape(-1, *[1] * (old.ndim - 1)), new, old)


def copied(values: Any) -> Arrays:
    """Return a copy, as arrays.

    Raises:
        UserError: a tuple, for which a rollout has no place.
    """
    if isinstance(values, Mapping):
        return {key: copied(value) for key, value in values.items()}
    if isinstance(values, tuple):
        raise UserError("Tuple observations cannot be recorded; use a Dict space.")
    return np.array(values)


def rows(value: Any) -> Arrays:
    """Return the arrays of one environment as those of one column, ``[1, ...]``."""
    return time_first(copied(value))


def time_first(arrays: Arrays) -> Arrays:
    """Return arrays ``[B, ...]`` as those of one time step, ``[1, B, ...]``."""
    if isinstance(arrays, Mapping):
        return {key: time_first(value) for key, value in arrays.items()}
    return arrays[None]


def _state(info: Mapping[str, Any]) -> Mapping[str, Any]:
    state = info.get("state")
    return state if isinstance(state, Mapping) else {}


def _column(
    infos: Mapping[str, Any] | None, name: str, columns: int
) -> tuple[np.ndarray | None, np.ndarray]:
    for source in (_state(infos or {}), infos or {}):
        if name in source:
            has = source.get(f"_{name}", np.ones(columns, dtype=bool))
            return np.array(source[name]), np.array(has, dtype=bool)
    return None, np.zeros(columns, dtype=bool)


def _numeric(source: Mapping[str, Any]) -> list[str]:
    return sorted(
        name
        for name, value in source.items()
        if not name.startswith("_")
        and name not in _BOOKKEEPING
        and np.asarray(value).dtype.kind in "biuf"
    )


def _unknown(name: str, valid: list[str]) -> UnknownNameError:
    return UnknownNameError("simulator quantity (a reward asked for it by this name)", name, valid)
