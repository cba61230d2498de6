"""Reading and writing HDF5 files as plain arrays, safe for files from strangers.

HDF5 can do more than hold arrays: links and virtual arrays make other files of the machine appear
inside of one, object types need a pickle or run a decoder, and an array can claim any size without
a byte behind it. All of that is refused here, with the name of the entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from reward_models.errors import MissingDependencyError, UserError

_DEEPEST = 16
# What compression can reach at most, and room for small arrays of equal values.
_MOST_COMPRESSED, _ALWAYS_ALLOWED = 1_100, 1 << 20
_PLAIN_KINDS = "biufc"


def write_arrays(group: Any, name: str, values: Any) -> None:
    """Write an array, or a mapping of arrays as a group, compressed without losses.

    Args:
        group: of h5py, open for writing.
        name: of the new entry.
        values: an array ``[N, ...]`` of numbers or flags, or nested mappings of such.
    """
    if isinstance(values, Mapping):
        part = group.create_group(name)
        for key, value in values.items():
            write_arrays(part, key, value)
        return
    array = np.asarray(values)
    group.create_dataset(
        name, data=array, chunks=True, maxshape=(None, *array.shape[1:]),
        compression="gzip", shuffle=True,
    )  # fmt: skip


def read_arrays(group: Any, name: str) -> Any:
    """Return the array, or the mapping of arrays, that a group holds under a name.

    Args:
        group: of h5py.
        name: of the entry, one step down.

    Returns:
        An array, or nested dicts of arrays.

    Raises:
        UserError: no such entry, or one that is not a plain array of this file.
    """
    return _read(group, name, 0)


def has_entry(group: Any, name: str) -> bool:
    """Whether a group holds an entry of this name itself, not through a link to elsewhere.

    Raises:
        UserError: it is a link.
    """
    if group.get(name, getlink=True) is None:
        return False
    _check_link(group, name)
    return True


def subgroup(group: Any, name: str) -> Any:
    """Return the group inside of a group.

    Raises:
        UserError: no such group, or one that is linked from elsewhere.
    """
    if not has_entry(group, name):
        raise UserError(f"{group.file.filename} has no {name!r}; was it cut short?")
    found = group[name]
    if not isinstance(found, _h5py().Group):
        raise UserError(f"{group.file.filename}: {name} is an array where a group must be.")
    return found


def open_hdf5(path: Any, mode: str) -> Any:
    """Open a file with h5py.

    Raises:
        UserError: it cannot be opened.
        MissingDependencyError: h5py is not installed.
    """
    h5py = _h5py()
    try:
        if mode == "w":
            # The layout of HDF5 1.10 takes a third of the room of the oldest one.
            return h5py.File(path, mode, track_order=True, libver="v110")
        return h5py.File(path, mode)
    except OSError as error:
        raise UserError(f"{path} cannot be opened as an HDF5 file: {error}.") from error


def _read(group: Any, name: str, depth: int) -> Any:
    place = f"{group.file.filename}: {group.name.rstrip('/')}/{name}"
    if not has_entry(group, name):
        raise UserError(f"{place} is missing; was the file cut short?")
    if depth > _DEEPEST:
        # Groups may hold each other, so this can be a circle.
        raise UserError(f"{place} is nested deeper than {_DEEPEST} groups.")
    entry = group[name]
    if isinstance(entry, _h5py().Group):
        return {key: _read(entry, key, depth + 1) for key in entry}
    _check_array(place, entry)
    return entry[()]


def _check_link(group: Any, name: str) -> None:
    h5py = _h5py()
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink | h5py.SoftLink):
        other = getattr(link, "filename", None)
        where = f"{other}:{link.path}" if other else link.path
        raise UserError(
            f"{group.file.filename}: {group.name.rstrip('/')}/{name} is a link to {where}; only "
            "what lies in the file itself is read."
        )


def _check_array(place: str, entry: Any) -> None:
    if entry.is_virtual or entry.external:
        raise UserError(f"{place} takes its numbers from other files; copy them into this one.")
    if entry.dtype.kind not in _PLAIN_KINDS or entry.dtype.subdtype is not None:
        raise UserError(
            f"{place} holds objects or text ({entry.dtype}); only arrays of numbers and flags are "
            "read."
        )
    held = entry.id.get_storage_size()
    if entry.nbytes > held * _MOST_COMPRESSED + _ALWAYS_ALLOWED:
        raise UserError(
            f"{place} claims {entry.nbytes} bytes and holds {held}, which no compression reaches."
        )


def _h5py() -> Any:
    try:
        import h5py  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise MissingDependencyError(
            'Demonstrations on disk need h5py: pip install "ctrl[demonstrations]".'
        ) from error
    return h5py
