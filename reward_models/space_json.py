"""Spaces of gymnasium as plain data, in the words that Minari uses in its metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from reward_models.errors import UserError

_SMALLEST_PICTURE = 32


def described_space(space: spaces.Space) -> dict[str, Any]:
    """Return a space as plain data.

    Raises:
        UserError: a space other than Box, Discrete, MultiDiscrete, MultiBinary and Dict of these,
            or one that Minari would store with losses.
    """
    if isinstance(space, spaces.Dict):
        parts = {key: described_space(part) for key, part in space.spaces.items()}
        return {"type": "Dict", "subspaces": parts}
    if isinstance(space, spaces.Discrete):
        start, n = int(space.start), int(space.n)
        return {"type": "Discrete", "dtype": "int64", "start": start, "n": n}
    if isinstance(space, spaces.MultiDiscrete):
        limits = {"nvec": space.nvec.tolist(), "start": space.start.tolist()}
        return {"type": "MultiDiscrete", "dtype": str(space.dtype), **limits}
    if isinstance(space, spaces.MultiBinary):
        return {"type": "MultiBinary", "n": space.n}
    if not isinstance(space, spaces.Box):
        raise UserError(f"A data set of demonstrations cannot describe the space {space}.")
    if _is_picture(space):
        raise UserError(
            f"Minari keeps pictures {list(space.shape)} with losses; give them an axis of views, "
            f"{[1, *space.shape]}, and they are kept exactly."
        )
    return {
        "type": "Box",
        "dtype": str(space.dtype),
        "shape": list(space.shape),
        "low": space.low.tolist(),
        "high": space.high.tolist(),
    }


def space_from(data: Mapping[str, Any]) -> spaces.Space:
    """Return the space that plain data describe; the inverse of `described_space`.

    Raises:
        UserError: another kind of space, or a description that is damaged.
    """
    kind = data.get("type")
    try:
        if kind == "Dict":
            return spaces.Dict({key: space_from(part) for key, part in data["subspaces"].items()})
        if kind == "Discrete":
            return spaces.Discrete(int(data["n"]), start=int(data.get("start", 0)))
        if kind == "MultiDiscrete":
            limits = np.array(data["nvec"])
            start = np.array(data.get("start", np.zeros_like(limits)))
            return spaces.MultiDiscrete(limits, dtype=np.dtype(data["dtype"]).type, start=start)
        if kind == "MultiBinary":
            return spaces.MultiBinary(data["n"])
        if kind == "Box":
            number = np.dtype(data["dtype"])
            low, high = (np.array(data[key], dtype=number) for key in ("low", "high"))
            return spaces.Box(low, high, tuple(data["shape"]), number.type)
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise UserError(f"The description of a {kind} space is damaged: {error}.") from error
    raise UserError(
        f"Spaces of the type {kind!r} are not read; only Box, Discrete, MultiDiscrete, MultiBinary "
        "and Dict are."
    )


def _is_picture(space: spaces.Box) -> bool:
    """Whether Minari takes a space for one picture, which it expects as JPEG."""
    large = len(space.shape) in (2, 3) and min(space.shape[:2]) >= _SMALLEST_PICTURE
    return bool(
        space.dtype == np.uint8 and large and (space.low == 0).all() and (space.high == 255).all()
    )
