"""Episodes that begin in moments of play that were recorded before, read from a file.

A file holds plain arrays only (safetensors), one row for each moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from envs.rocket_league.arena_state import ArenaState
from envs.rocket_league.constants import BIG_PADS, MIRROR
from envs.rocket_league.starts import Start

SUFFIX = ".safetensors"
"""What the name of a file of recorded moments ends in."""
_FORMAT = "rocket_league.starts.v1"
_CAR_ARRAYS = (
    "car_position", "car_velocity", "car_angular_velocity", "car_rotation", "boost", "on_ground",
)  # fmt: skip


def moments(state: ArenaState, arenas: np.ndarray) -> list[Start]:
    """Return the present moment of some arenas, those with a demolished car left out.

    Args:
        state: of all arenas.
        arenas: indices, ``[M]``.
    """
    found = []
    for index in arenas.tolist():
        if state.is_demolished[index].any():
            continue
        start = Start(
            ball_position=state.ball_position[index],
            ball_velocity=state.ball_velocity[index],
            ball_angular_velocity=state.ball_angular_velocity[index],
            car_position=state.car_position[index],
            car_velocity=state.car_velocity[index],
            car_angular_velocity=state.car_angular_velocity[index],
            car_rotation=_angles(state.car_axes[index]),
            boost=state.boost[index],
            on_ground=state.on_ground[index],
            pad_timers=state.pad_timers[index],
        )
        found.append(start)
    return found


def save_moments(path: str | Path, starts: Sequence[Start], *, blue: int, orange: int) -> None:
    """Write moments of play to a file.

    Args:
        path: ends in ``.safetensors``.
        starts: at least one.
        blue: cars of blue in each.
        orange: cars of orange in each.

    Raises:
        ValueError: no moment, or another ending.
    """
    if not starts or not str(path).endswith(SUFFIX):
        raise ValueError(f"Expected moments and a file *{SUFFIX}, got {len(starts)} and {path}.")
    arrays = {}
    for field in fields(Start):
        kind = bool if field.name == "on_ground" else np.float32
        rows = np.stack([getattr(start, field.name) for start in starts])
        # safetensors writes memory as it lies, also where that is not row by row.
        arrays[field.name] = np.array(rows, dtype=kind, order="C")
    about = {"format": _FORMAT, "blue": str(blue), "orange": str(orange)}
    save_file(arrays, str(path), metadata=about)


@final
class RecordedStarts:
    """Draws recorded moments of play; half of the draws are turned, so that the teams change sides.

    Args:
        path: a file that `save_moments` wrote.
        blue: cars of blue that will play.
        orange: cars of orange that will play.

    Raises:
        ValueError: no such file, another kind of file, or moments with other teams.
    """

    def __init__(self, path: str | Path, blue: int, orange: int) -> None:
        try:
            with safe_open(str(path), framework="numpy") as file:
                about = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise ValueError(f"start: cannot read moments of play from {path}: {error}") from error
        expected = {field.name for field in fields(Start)}
        if about.get("format") != _FORMAT or set(arrays) != expected:
            raise ValueError(f"start: {path} holds no recorded moments of play.")
        teams = int(about["blue"]), int(about["orange"])
        if teams != (blue, orange):
            raise ValueError(
                f"start: {path} was recorded with {teams[0]} blue and {teams[1]} orange cars, "
                f"here play {blue} and {orange}. Record moments with the same teams."
            )
        self._arrays = arrays
        self._shapes_agree(path, blue + orange)
        self._turns = blue == orange

    def __len__(self) -> int:
        """Return how many moments there are."""
        return len(self._arrays["boost"])

    def __call__(self, random: np.random.Generator, blue: int, orange: int) -> Start:
        """Return one of the moments."""
        row = int(random.integers(len(self)))
        start = Start(**{name: np.array(values[row]) for name, values in self._arrays.items()})
        return turned(start, blue) if self._turns and random.random() < 0.5 else start

    def _shapes_agree(self, path: str | Path, cars: int) -> None:
        rows = len(self._arrays["boost"])
        for name, values in self._arrays.items():
            own = (rows, cars) if name in _CAR_ARRAYS else (rows,)
            if name == "pad_timers":
                own = (rows, len(BIG_PADS))
            last = () if name in ("boost", "on_ground", "pad_timers") else (3,)
            if not rows or values.shape != (*own, *last) or not np.isfinite(values).all():
                raise ValueError(f"start: {name} in {path} is damaged: shape {values.shape}.")


def turned(start: Start, blue: int) -> Start:
    """Return the moment as orange sees it, with the teams' cars in each other's places.

    Args:
        start: with as many orange cars as blue ones.
        blue: cars of blue.
    """
    swap = np.r_[blue : 2 * blue, 0:blue]
    rotation = start.car_rotation[swap]
    rotation[:, 0] = (rotation[:, 0] + 2 * np.pi) % (2 * np.pi) - np.pi
    return Start(
        ball_position=start.ball_position * MIRROR,
        ball_velocity=start.ball_velocity * MIRROR,
        ball_angular_velocity=start.ball_angular_velocity * MIRROR,
        car_position=start.car_position[swap] * MIRROR,
        car_velocity=start.car_velocity[swap] * MIRROR,
        car_angular_velocity=start.car_angular_velocity[swap] * MIRROR,
        car_rotation=rotation,
        boost=start.boost[swap],
        on_ground=start.on_ground[swap],
        pad_timers=start.pad_timers[::-1].copy(),
    )


def _angles(axes: np.ndarray) -> np.ndarray:
    """Return yaw, pitch and roll ``[C, 3]`` of unit vectors front, right and up ``[C, 3, 3]``."""
    front, right, up = axes[:, 0], axes[:, 1], axes[:, 2]
    yaw = np.arctan2(front[:, 1], front[:, 0])
    pitch = np.arctan2(front[:, 2], np.hypot(front[:, 0], front[:, 1]))
    roll = np.arctan2(-right[:, 2], up[:, 2])
    return np.stack((yaw, pitch, roll), axis=1)
