"""An expert's transitions from demonstrations, checked before anything learns from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool
from torch import Tensor

from reward_models.demonstrations import Demonstration, read_demonstrations
from reward_models.errors import UserError
from reward_models.imitation.pairs import PairCode, Pairs, join
from reward_models.rollout import OPTIONAL_KEYS, Rollout

Source = str | Path | Sequence[Demonstration] | Rollout
"""Folder of a data set, demonstrations, or a record of an expert."""

TOLERANCE = 1e-5
"""How far an action may lie beyond its bounds, in its own units."""


class Expert(NamedTuple):
    """What an expert showed.

    Attributes:
        pairs: one for each transition, with one of the absorbing state for each end where asked.
        lengths: steps of every whole episode.
        terminates: whether some episode ended by itself.
    """

    pairs: Pairs
    lengths: tuple[int, ...]
    terminates: bool


def read_expert(
    source: Source,
    *,
    code: PairCode,
    action_space: spaces.Space,
    count: int | None = None,
    every: int = 1,
    seed: int = 0,
) -> Expert:
    """Return the transitions of an expert.

    Args:
        source: where from; a demonstration's ``infos`` give the record keys that the encoder reads.
        code: turns records into pairs.
        action_space: of one action.
        count: how many episodes to use, the first ones; all when None.
        every: use every so many steps of each episode, from a random one of the first on. Whole
            episodes of few demonstrations are strongly correlated.
        seed: of where each episode begins to be read.

    Raises:
        UserError: no data set or no transition, a shape that does not fit the spaces, NaN or
            infinity, an action outside of its space, or numbers out of range.
    """
    if count is not None and count < 1:
        raise UserError(f"count must be at least 1 episode, got {count}.")
    if every < 1:
        raise UserError(f"every must be at least 1 step, got {every}.")
    random = np.random.default_rng(seed)
    found, lengths, terminates = [], [], False
    for number, record in enumerate(_records(source, code, count)):
        try:
            _check_actions(record, action_space)
            used = _used(record, count if isinstance(source, Rollout) else None, every, random)
            found.append(code.pairs(record, used))
        except (UserError, ValueError) as error:
            raise UserError(f"Demonstration {number} cannot be used: {error}") from error
        whole = [each for each in record.episodes() if not (each.open_start or each.open_end)]
        lengths += [each.stop - each.start for each in whole]
        terminates |= bool((record.terminated & record.mask).any())
    if not sum(map(len, found)):
        raise UserError("Expected demonstrations with at least one transition, got none.")
    return Expert(join(found), tuple(lengths), terminates)


def _records(source: Source, code: PairCode, count: int | None) -> Iterator[Rollout]:
    if isinstance(source, Rollout):
        yield source
        return
    if isinstance(source, str | Path):
        source = read_demonstrations(source)
    for each in source[:count]:
        if len(each):
            yield as_rollout(each, code.encoder.requires)


def as_rollout(demonstration: Demonstration, keys: frozenset[str] = frozenset()) -> Rollout:
    """Return a demonstration as a record ``[L, 1]``.

    Args:
        demonstration: of L steps.
        keys: further record keys, found in ``infos`` under their own name, such as ``hidden``.

    Raises:
        UserError: ``infos`` lack a key.
    """
    extras: dict[str, Any] = {}
    for key in keys:
        name = key.removeprefix("state.")
        if name not in demonstration.infos:
            raise UserError(
                f"The reward reads {key!r} of every step, and the demonstration's infos hold "
                f"{sorted(demonstration.infos)}; record them with it."
            )
        value = torch.as_tensor(demonstration.infos[name][:-1]).unsqueeze(1)
        extras.update({key: value} if key in OPTIONAL_KEYS else {"state": {name: value}})
    seen = demonstration.observations
    return Rollout(
        observation=_column(seen, slice(None, -1)),
        action=_column(demonstration.actions, slice(None)),
        next_observation=_column(seen, slice(1, None)),
        reward=_column(demonstration.rewards, slice(None)),
        terminated=_column(demonstration.terminations, slice(None)),
        truncated=_column(demonstration.truncations, slice(None)),
        **extras,
    )


def _column(values: Any, rows: slice) -> Any:
    if isinstance(values, Mapping):
        return {key: _column(value, rows) for key, value in values.items()}
    return torch.as_tensor(np.asarray(values)[rows]).unsqueeze(1)


def _used(
    record: Rollout, count: int | None, every: int, random: np.random.Generator
) -> Bool[Tensor, "T B"]:
    used = torch.zeros_like(record.mask)
    for episode in record.episodes()[:count]:
        begin = int(random.integers(every)) if every > 1 else 0
        # An episode that is shorter than where it would begin gives its first step.
        begin = min(begin, episode.stop - episode.start - 1)
        used[episode.start + begin : episode.stop : every, episode.column] = True
    return used


def _check_actions(record: Rollout, space: spaces.Space) -> None:
    if not isinstance(space, spaces.Box):
        return  # the one-hot code refuses what is no choice
    actions = record.action[record.mask].double()
    if tuple(actions.shape[1:]) != tuple(space.shape):
        raise UserError(
            f"its actions have the shape {list(actions.shape[1:])}, the action space "
            f"{list(space.shape)}."
        )
    low, high = (torch.as_tensor(bound).double() for bound in (space.low, space.high))
    beyond = torch.maximum(low - actions, actions - high).flatten(1).amax()
    if bool(beyond > TOLERANCE):
        raise UserError(
            f"an action lies {float(beyond):.3g} outside of its bounds {space}; actions have to be "
            "recorded as they were executed, in the environment's own units."
        )
