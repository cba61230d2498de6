"""A turn of text: what a policy reads, and the record of what happened that rewards are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

INFO_KEYS: dict[str, str] = {
    "score": "points of the simulator so far, in its own unit",
    "max_score": "the most points there are; 1 where the simulator counts none",
    "won": "whether the task is solved",
    "lost": "whether the episode ended without a solution other than by a limit",
    "turn": "commands since the reset, invalid ones included",
    "progress": "how far the task is done, 0 to 1",
    "valid_command": "whether the simulator understood the command; True at a reset",
    "is_success": "the same as won",
    "task_id": "the number of the task; reset(task=...) with it begins the same episode",
    "state": "named quantities for reward functions; see `info_keys` of the environment",
}
"""What ``TextTurn.info`` holds, in every family."""

COMMON_STATE = {key: INFO_KEYS[key] for key in ("score", "max_score", "turn", "progress")} | {
    "valid_command": "1 if the simulator understood the command, else 0",
}
"""The quantities under ``info["state"]`` in every family but NetHack, which has its own."""


@dataclass(frozen=True)
class TextTurn:
    """What a reset or a command led to.

    Attributes:
        text: what the policy reads, without any chat template.
        admissible: commands that the simulator understands now; None where it does not say.
        observation: the raw observation, a member of ``observation_space``; new arrays.
        action: what was executed, a member of ``action_space``; None at a reset. Where
            ``info["valid_command"]`` is false nothing was executed in a simulator of numbered
            actions, and this is action 0: a model of the dynamics should not learn from it.
        reward: the task's reward of this turn alone, 0 at a reset.
        terminated: the task ended: solved, lost or answered.
        truncated: a limit cut the episode off.
        info: see `INFO_KEYS`.
    """

    text: str
    admissible: tuple[str, ...] | None
    observation: Any
    action: Any
    reward: float
    terminated: bool
    truncated: bool
    info: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a simulator said, from which `TextEnvironment` makes a turn.

    Attributes:
        text: see `TextTurn`.
        admissible: see `TextTurn`.
        observation: see `TextTurn`; None for the text itself as a row of bytes.
        action: see `TextTurn`; None for the command as a row of bytes.
        reward: see `TextTurn`.
        terminated: see `TextTurn`.
        truncated: a limit of the simulator itself was reached.
        valid: the command was understood.
        score: points so far.
        max_score: the most points there are.
        won: the task is solved.
        progress: how far the task is done; what lies outside of 0 to 1 is clipped.
        state: quantities of this family.
    """

    text: str
    admissible: tuple[str, ...] | None = None
    observation: Any = None
    action: Any = None
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    valid: bool = True
    score: float = 0.0
    max_score: float = 1.0
    won: bool = False
    progress: float = 0.0
    state: Mapping[str, Any] = field(default_factory=dict)
