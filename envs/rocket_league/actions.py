"""What a driver can ask for: 90 combinations of controls, or eight numbers.

The 90 actions are those that the Rocket League community settled on, made from two rules. On the
ground: throttle and steering each back, none or forward; boost only with full throttle; handbrake
or not. In the air: pitch, yaw and roll each -1, 0 or 1; a jump only without yaw (a sideways flip
uses roll); not what the ground rule has already; the handbrake is held while flipping, which helps
landings.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from gymnasium import spaces

CONTROL_NAMES = ("throttle", "steer", "pitch", "yaw", "roll", "jump", "boost", "handbrake")
KINDS = ("discrete", "continuous")


def _ground() -> list[tuple[float, ...]]:
    rows: list[tuple[float, ...]] = []
    for throttle, steer, boost, handbrake in product((-1, 0, 1), (-1, 0, 1), (0, 1), (0, 1)):
        if boost and throttle != 1:
            continue
        rows.append((throttle, steer, 0, steer, 0, 0, boost, handbrake))
    return rows


def _air() -> list[tuple[float, ...]]:
    rows: list[tuple[float, ...]] = []
    for pitch, yaw, roll, jump, boost in product(
        (-1, 0, 1), (-1, 0, 1), (-1, 0, 1), (0, 1), (0, 1)
    ):
        if (jump and yaw) or pitch == roll == jump == 0:
            continue
        flips = bool(jump and (pitch or roll))
        rows.append((boost, yaw, pitch, yaw, roll, jump, boost, flips))
    return rows


ACTION_TABLE = np.array([*_ground(), *_air()], dtype=np.float32)
"""The controls of each of the 90 discrete actions, ``[90, 8]``, in the order of CONTROL_NAMES."""


def _name(row: np.ndarray) -> str:
    words = []
    for name, value in zip(CONTROL_NAMES, row.tolist(), strict=True):
        if value and not (name == "yaw" and value == row[1]):
            words.append(name if value > 0 else f"-{name}")
    return "+".join(words) or "idle"


ACTION_NAMES = tuple(_name(row) for row in ACTION_TABLE)
"""What each discrete action holds, such as ``"throttle+-steer+boost"``; yaw is steer's twin."""
IDLE = ACTION_NAMES.index("idle")
"""The discrete action that holds nothing."""


def action_space(kind: str) -> spaces.Space:
    """Return the action space of one car.

    Args:
        kind: ``"discrete"``: ``Discrete(90)``, see `ACTION_TABLE`. ``"continuous"``: a Box of eight
            numbers from -1 to 1 in the order of `CONTROL_NAMES`; jump, boost and handbrake are held
            above 0.

    Raises:
        ValueError: for another kind.
    """
    if kind == "discrete":
        return spaces.Discrete(len(ACTION_TABLE))
    if kind == "continuous":
        return spaces.Box(-1.0, 1.0, (len(CONTROL_NAMES),), np.float32)
    raise ValueError(f"actions must be 'discrete' or 'continuous', got {kind!r}.")


def to_controls(actions: np.ndarray, kind: str) -> np.ndarray:
    """Return the controls that actions stand for, float32 ``[..., 8]``.

    Args:
        actions: ``[...]`` whole numbers, or ``[..., 8]`` for the continuous kind; analogue controls
            beyond -1 or 1 count as -1 or 1.
        kind: see `action_space`.
    """
    if kind == "discrete":
        return ACTION_TABLE[actions]
    controls = np.clip(actions, -1.0, 1.0).astype(np.float32)
    controls[..., 5:] = controls[..., 5:] > 0
    return controls
