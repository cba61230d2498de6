"""Checkpoints: arrays in safetensors, the rest in JSON, nothing that could execute."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from reward_models.errors import UserError

ARRAYS, REST = "state.safetensors", "state.json"
POLICY = "policy.safetensors"
"""Name of the arrays of a folder that holds a policy alone."""

_FORMAT = "ctrl.checkpoint.v1"
_PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".zip", ".ckpt", ".joblib", ".npz", ".bin"}


def save_tree(tree: Mapping[str, Any], folder: Path, *, arrays_file: str = ARRAYS) -> None:
    """Write a tree of arrays, numbers, texts, lists and dicts as a folder, all or nothing.

    The folder is written under a temporary name, flushed to disk and renamed, so a crash or a full
    disk at any moment leaves either the complete new folder or none, and older ones untouched.

    Args:
        tree: what to write.
        folder: where; an existing folder of this name is replaced.
        arrays_file: name of the safetensors file in it.

    Raises:
        UserError: the disk is full or the folder cannot be written.
        TypeError: the tree holds an object that is no plain data (an error in the program).
    """
    folder = Path(folder)
    temporary = folder.with_name(f".{folder.name}.writing")
    arrays: dict[str, torch.Tensor] = {}
    plain = _pack(tree, arrays, "")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        save_file(arrays, str(temporary / arrays_file), metadata={"format": _FORMAT})
        document = {"format": _FORMAT, "file": arrays_file, "arrays": sorted(arrays), "tree": plain}
        text = json.dumps(document)
        (temporary / REST).write_text(text, encoding="utf-8")
        for name in (arrays_file, REST):
            _flush(temporary / name)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
        _flush(folder.parent)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise UserError(
            f"Cannot write the checkpoint {folder}: {error}. "
            "Earlier checkpoints are untouched; free some space and run `ctrl resume`."
        ) from error


def load_tree(folder: Path) -> dict[str, Any]:
    """Read what ``save_tree`` wrote.

    Raises:
        UserError: not a checkpoint, incomplete, or a file that would need a pickle.
    """
    folder = Path(folder)
    refuse_pickles(folder)
    if not (folder / REST).is_file():
        raise UserError(f"{folder} is not a checkpoint: it has no {REST}.")
    try:
        document = json.loads((folder / REST).read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.get("format") != _FORMAT:
            raise UserError(f"{folder} was not written by ctrl (format {_FORMAT} expected).")
        # Only the name counts: a path in the document must not lead out of the folder.
        arrays = load_file(str(folder / Path(str(document.get("file"))).name))
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"The checkpoint {folder} is damaged: {error}.") from error
    if document.get("arrays") != sorted(arrays):
        raise UserError(
            f"The checkpoint {folder} is damaged: its two files do not belong together."
        )
    return _unpack(document["tree"], arrays)


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete ``step_*`` folder below ``folder``, or None."""
    found = sorted(p for p in Path(folder).glob("step_*") if (p / REST).is_file())
    return found[-1] if found else None


def prune_checkpoints(folder: Path, keep: int) -> None:
    """Remove all but the newest ``keep`` checkpoints."""
    for old in sorted(Path(folder).glob("step_*"))[:-keep]:
        shutil.rmtree(old)


def refuse_pickles(path: Path) -> None:
    """Refuse a file, or a folder with a file, that only a pickle could read.

    Raises:
        UserError: such a file is there, whatever its name: its first bytes are looked at.
    """
    path = Path(path)
    files = [p for p in path.iterdir() if p.is_file()] if path.is_dir() else [path]
    for file in files:
        if not file.is_file():
            continue
        with file.open("rb") as stream:
            head = stream.read(9)
        # Pickle protocols 2 to 5 begin with 0x80 and the protocol; torch.save writes a zip.
        is_pickle = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
        # So does a safetensors file whose header has 0x480 bytes, say: its length comes first.
        length = int.from_bytes(head[:8], "little")
        is_safetensors = head[8:] == b"{" and 8 + length <= file.stat().st_size
        is_pickle = is_pickle and not is_safetensors
        if file.suffix in _PICKLES or is_pickle or head[:4] == b"PK\x03\x04":
            raise UserError(
                f"{file} is refused: reading it needs a pickle, and a pickle can run any code. "
                f"ctrl reads {ARRAYS} (arrays) and {REST} (text) only. If you trust the file, "
                "load it with the tool that wrote it and save the arrays as safetensors."
            )


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pack(value: Any, arrays: dict[str, torch.Tensor], path: str) -> Any:
    """Replace arrays by references and mark what JSON would lose."""
    if isinstance(value, torch.Tensor):
        arrays[path] = value.detach().cpu().contiguous().clone()
        return {"$tensor": path}
    if isinstance(value, np.ndarray):
        arrays[path] = torch.from_numpy(np.array(value, order="C"))
        return {"$array": path}
    if isinstance(value, np.generic):
        return _pack(np.asarray(value), arrays, path)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {
                key: _pack(item, arrays, f"{path}/{key}".lstrip("/")) for key, item in value.items()
            }
        pairs = enumerate(value.items())
        return {"$pairs": [[k, _pack(item, arrays, f"{path}/{i}")] for i, (k, item) in pairs]}
    if isinstance(value, list | tuple):
        items = [_pack(item, arrays, f"{path}/{i}") for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple": items}
    raise TypeError(f"A checkpoint holds plain data only; {path} is a {type(value).__name__}.")


def _unpack(value: Any, arrays: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return arrays[value["$tensor"]]
    if "$array" in value:
        return arrays[value["$array"]].numpy()
    if "$tuple" in value:
        return tuple(_unpack(item, arrays) for item in value["$tuple"])
    if "$pairs" in value:
        return {key: _unpack(item, arrays) for key, item in value["$pairs"]}
    return {key: _unpack(item, arrays) for key, item in value.items()}
