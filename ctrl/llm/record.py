"""Episodes as records: with turns as steps, as a network would leave them, or with tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctrl.llm.episodes import Episode
from ctrl.llm.formats import PromptFormat
from ctrl.llm.sequences import Sequences
from reward_models.errors import UnknownNameError, UserError
from reward_models.rollout import Rollout

TURN_KEYS = frozenset({"log_prob", "entropy", "value", "hidden", "turn", "group", "success"})
"""Optional keys that a record of turns can have; ``state.<name>`` besides."""
TOKEN_KEYS = TURN_KEYS | {"ref_log_prob", "segment"}
"""Optional keys that a record of tokens can have."""


def check_requirements(
    requires: frozenset[str], *, tokens: bool, critic: bool, state: Mapping[str, Any], what: str
) -> None:
    """Refuse a record key that cannot be filled, before anything is generated.

    Args:
        requires: keys that are asked for.
        tokens: the record has tokens as steps.
        critic: the policy has a critic.
        state: quantities that the environment reports.
        what: who asks, for the error.

    Raises:
        UserError: such a key, with what there is.
        UnknownNameError: a quantity that the environment does not report.
    """
    provided = (TOKEN_KEYS if tokens else TURN_KEYS) - (frozenset() if critic else {"value"})
    for key in sorted(requires):
        if key == "state":
            continue
        if key.startswith("state."):
            name = key.removeprefix("state.")
            if tokens:
                raise UserError(
                    f"{what} reads {key}, which belongs to turns, and here steps are tokens. Leave "
                    "algo.score at turns."
                )
            if name not in state:
                raise UnknownNameError("quantity of this environment", name, state)
        elif key not in provided:
            raise UserError(
                f"{what} reads {key}, which a record of {'tokens' if tokens else 'turns'} does not "
                f"have. It can have: {', '.join(sorted(provided))}"
                f"{'' if tokens else ', state.<name>'}."
            )


def sequences_of(episodes: Sequence[Episode], *, padding: int) -> Sequences:
    """Return the whole token sequences of episodes, ``[L, B]``."""
    return Sequences.of([(e.ids, e.kinds, e.numbers) for e in episodes], padding=padding)


def turn_record(episodes: Sequence[Episode], requires: frozenset[str] = frozenset()) -> Rollout:
    """Return episodes with turns as steps, one column each: T turns, B episodes.

    Observations, actions, rewards, flags and quantities are those that the environment would give a
    network. ``log_prob`` is the sum over a turn's tokens, ``entropy`` their mean, ``value`` and
    ``hidden`` those before its first token.

    Args:
        episodes: finished ones.
        requires: optional keys to fill.
    """
    longest = max(len(episode.replies) for episode in episodes)

    def stacked(pick: Any) -> Any:
        """Stack pick(episode, n) over turns and episodes, with zeros where there is no turn."""
        return _stacked([[pick(e, n) for n in range(len(e.replies))] for e in episodes], longest)

    def of_turn(name: str, shift: int) -> Any:
        return stacked(lambda e, n: getattr(e.turns[n + shift], name))

    def last(e: Episode, n: int) -> bool:
        return e.cut_by_context and n + 1 == len(e.replies)

    optional: dict[str, Any] = {
        "turn": lambda: stacked(lambda e, n: n),
        "group": lambda: stacked(lambda e, n: e.group),
        "success": lambda: stacked(lambda e, n: bool(e.turns[n + 1].info["is_success"])),
        "log_prob": lambda: stacked(lambda e, n: e.replies[n].log_prob.sum().cpu().numpy()),
        "entropy": lambda: stacked(lambda e, n: e.replies[n].entropy.mean().cpu().numpy()),
        "value": lambda: stacked(lambda e, n: e.replies[n].value[0].cpu().numpy()),
        "hidden": lambda: stacked(lambda e, n: e.replies[n].hidden[0].float().cpu().numpy()),
    }
    filled = {key: make() for key, make in optional.items() if key in requires}
    names = [key.removeprefix("state.") for key in requires if key.startswith("state.")]
    if "state" in requires:
        names = list(episodes[0].turns[0].info["state"])
    if names:
        filled["state"] = {
            name: stacked(lambda e, n, name=name: e.turns[n + 1].info["state"][name])
            for name in sorted(names)
        }
    return Rollout(
        observation=of_turn("observation", 0),
        action=of_turn("action", 1),
        next_observation=of_turn("observation", 1),
        reward=of_turn("reward", 1).to(torch.float32),
        terminated=of_turn("terminated", 1),
        truncated=of_turn("truncated", 1) | stacked(last),
        mask=stacked(lambda e, n: True),
        **filled,
    )


def token_record(
    episodes: Sequence[Episode],
    sequences: Sequences,
    text: PromptFormat,
    *,
    hidden: bool = False,
    **optional: Tensor | None,
) -> Rollout:
    """Return episodes with the policy's tokens as steps, ``[T, B]``.

    ``observation`` is the token that stands before the step's own, ``action`` the step's token. The
    task's reward of a turn lies on the turn's last token, and so do the ends of episodes.

    Args:
        episodes: finished ones.
        sequences: theirs.
        text: finds where a turn's command begins, for ``segment``.
        hidden: fill ``hidden``.
        **optional: further keys, ``[T, B]``.
    """
    mask = sequences.mask
    action = torch.where(mask, sequences.at_steps(sequences.ids), 0)
    before = torch.where(mask, sequences.at_steps(sequences.ids, before=True), 0)
    turn = torch.where(mask, sequences.at_steps(sequences.turn), 0)
    ends = turn_ends(turn, mask)
    per_turn = turn_record(episodes)
    flags = {
        name: ends & getattr(per_turn, name).gather(0, turn) for name in ("terminated", "truncated")
    }

    def of_tokens(name: str) -> Tensor | None:
        if getattr(episodes[0].replies[0], name) is None:
            return None
        rows = [torch.cat([getattr(reply, name) for reply in e.replies]).cpu() for e in episodes]
        padded = torch.nn.utils.rnn.pad_sequence(rows)
        return padded.float()

    return Rollout(
        observation=before,
        action=action,
        next_observation=action,
        reward=torch.where(ends, per_turn.reward.gather(0, turn), 0.0),
        **flags,
        mask=mask,
        log_prob=of_tokens("log_prob"),
        entropy=of_tokens("entropy"),
        value=of_tokens("value"),
        hidden=of_tokens("hidden") if hidden else None,
        turn=turn,
        group=torch.tensor([e.group for e in episodes]).expand(mask.shape),
        segment=_segments(episodes, text, mask),
        success=ends & torch.tensor([e.success for e in episodes]) & _last(mask),
        **{name: value for name, value in optional.items() if value is not None},
    )


def turn_ends(turn: Tensor, mask: Tensor) -> Tensor:
    """Return where the last token of a turn is, bool ``[T, B]``."""
    follows = torch.zeros_like(mask)
    follows[:-1] = mask[1:] & (turn[1:] == turn[:-1])
    return mask & ~follows


def _last(mask: Tensor) -> Tensor:
    later = torch.zeros_like(mask)
    later[:-1] = mask[1:]
    return mask & ~later


def _segments(episodes: Sequence[Episode], text: PromptFormat, mask: Tensor) -> Tensor:
    segment = torch.zeros(mask.shape, dtype=torch.int64)
    if text.answer_marker is None:
        return segment
    for column, episode in enumerate(episodes):
        start = 0
        for reply in episode.replies:
            thought = text.thinking(reply.tokens)
            segment[start + thought : start + len(reply.tokens), column] = 1
            start += len(reply.tokens)
    return segment


def _stacked(columns: list[list[Any]], longest: int) -> Any:
    """Stack values by column and turn into ``[T, B, ...]`` tensors, zeros where none is."""
    first = columns[0][0]
    if isinstance(first, Mapping):
        return {
            key: _stacked([[value[key] for value in column] for column in columns], longest)
            for key in first
        }
    example = np.asarray(first)
    rows = np.zeros((longest, len(columns), *example.shape), example.dtype)
    for b, column in enumerate(columns):
        for t, value in enumerate(column):
            rows[t, b] = value
    return torch.from_numpy(rows)
