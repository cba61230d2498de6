"""A solution that a search found, as a folder that a training run can start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctrl.checkpoint import load_tree, save_tree
from ctrl.config import EnvConfig
from reward_models.errors import UserError, nearest_name

ARRAYS = "elite.safetensors"
"""The genome; the rest lies beside it as text."""

_FORMAT = "ctrl.elite.v1"


@dataclass(frozen=True, eq=False)
class Elite:
    """One genome with everything that is needed to run it again.

    Attributes:
        genome: float64 ``[D]``.
        kind: what the genome is, see `ctrl.search.genomes.make_genome_kind`.
        env: the environment in which it was found.
        numbers: what is known about it, such as ``reward``, ``area`` or ``evaluation``.
    """

    genome: NDArray[np.float64]
    kind: Mapping[str, Any]
    env: EnvConfig
    numbers: Mapping[str, float | int] = field(default_factory=dict)


def save_elite(folder: Path, elite: Elite) -> Path:
    """Write an elite as a folder (safetensors and JSON) and return it; an old one is replaced.

    Raises:
        UserError: the folder cannot be written.
    """
    numbers = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in elite.numbers.items()
    }
    tree = {
        "format": _FORMAT,
        "genome": np.asarray(elite.genome, dtype=np.float64),
        "kind": dict(elite.kind),
        "env": asdict(elite.env),
        "numbers": numbers,
    }
    save_tree(tree, Path(folder), arrays_file=ARRAYS)
    return Path(folder)


def load_elite(folder: str | Path) -> Elite:
    """Read what `save_elite` wrote; nothing in it can run code.

    Raises:
        UserError: there is no such folder (with the nearest one), or it is something else.
    """
    path = Path(folder)
    if not path.is_dir():
        siblings = path.parent.iterdir() if path.parent.is_dir() else ()
        nearest = nearest_name(path.name, [p.name for p in siblings if p.is_dir()])
        hint = f" Did you mean {str(path.parent / nearest)!r}?" if nearest else ""
        raise UserError(f"There is no elite or run {str(path)!r}.{hint}")
    if not (path / ARRAYS).is_file():
        raise UserError(
            f"{path} is no elite: it has no {ARRAYS}. A search writes its elites into folders of "
            "their own; name one of these."
        )
    tree = load_tree(path)
    if tree.get("format") != _FORMAT:
        raise UserError(f"{path} was not written as an elite (format {_FORMAT} expected).")
    return Elite(
        genome=np.array(tree["genome"]),
        kind=tree["kind"],
        env=EnvConfig(**tree["env"]),
        numbers=tree["numbers"],
    )
