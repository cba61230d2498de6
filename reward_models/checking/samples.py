"""Rollouts to check a reward with: drawn from spaces, and variants of any rollout."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from tensordict import TensorDict

from reward_models.errors import UserError
from reward_models.rollout import OPTIONAL_KEYS, Rollout

STEPS, COLUMNS = 16, 4
_HUGE = 1e6
_DEFAULT_HIDDEN = 16


def sampled_rollouts(
    *,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    rng: np.random.Generator,
    count: int = 3,
) -> list[Rollout]:
    """Draw successive rollouts ``[16, 4]`` from the spaces, in arrival order.

    Column 0 has a terminated, a truncated and a one-step episode in every rollout, column 1 one
    episode that is open at both ends; the others end at random. An episode's observations are
    linked: the successor of a step is what is seen next.

    Raises:
        UserError: a space whose values cannot be recorded.
    """
    size = (STEPS, COLUMNS)
    seed = int(rng.integers(2**31))
    observe, act = _drawer(observation_space, seed), _drawer(action_space, seed + 1)
    last, in_episode = observe((COLUMNS,)), np.zeros(COLUMNS, dtype=bool)
    found = []
    for _ in range(count):
        ended = rng.random(size) < 0.2
        ended[:, :2] = False
        ended[[3, 7, 8], 0] = True
        terminated = ended & (rng.random(size) < 0.5)
        terminated[[3, 7, 8], 0] = [True, False, True]
        seen = _mapped(
            lambda first, later: np.concatenate([first[None], later]), last, observe(size)
        )
        successors = _mapped(functools.partial(_successors, ended), seen, observe(size))
        found.append(
            Rollout(
                observation=_mapped(lambda rows: rows[:-1], seen),
                action=act(size),
                next_observation=successors,
                reward=rng.normal(size=size).astype(np.float32),
                terminated=terminated,
                truncated=ended & ~terminated,
                continued=in_episode.copy(),
            )
        )
        last, in_episode = _mapped(lambda rows: rows[-1], seen), ~ended[-1]
    return found


def reduced(
    rollout: Rollout,
    requires: Iterable[str],
    state: Mapping[str, spaces.Space],
    rng: np.random.Generator,
) -> Rollout:
    """Return the rollout with the core keys and ``requires`` alone, drawing what it lacks.

    Args:
        rollout: any rollout.
        requires: keys to have.
        state: space of a simulator quantity or of another optional key, by name; scalars without.
        rng: for the drawn values.
    """
    keys = set(requires)
    entries: dict[str, Any] = {key: None for key in OPTIONAL_KEYS if key != "mask"}
    for key in keys & set(OPTIONAL_KEYS) - {"mask", "state"}:
        entries[key] = rollout[key] if key in rollout else _drawn(key, rollout, state, rng)
    names = {key.removeprefix("state.") for key in keys if key.startswith("state.")}
    if "state" in keys:
        names |= set(state) - set(OPTIONAL_KEYS)
        names |= set(rollout["state"].keys()) if "state" in rollout else set()
    if names or "state" in keys:
        entries["state"] = {
            name: rollout[f"state.{name}"]
            if f"state.{name}" in rollout
            else _drawn(name, rollout, state, rng)
            for name in sorted(names)
        }
    return rollout.replace(**entries)


def without(rollout: Rollout, key: str) -> Rollout:
    """Return the rollout without one optional key; dots reach into ``state``."""
    parent, _, name = key.partition(".")
    if not name:
        return rollout.replace(**{parent: None})
    left = {other: value for other, value in rollout[parent].items() if other != name}
    return rollout.replace(**{parent: left or None})


def cut(rollout: Rollout, steps: Any, columns: Any) -> Rollout:
    """Return some steps (a slice) of some columns (a slice or indices)."""
    start = steps.start or 0
    before = rollout.continued if start == 0 else ~rollout.done[start - 1]
    entries: dict[str, Any] = {key: value[steps][:, columns] for key, value in rollout.data.items()}
    return Rollout(continued=before[columns], **entries)


def one_step_episodes(rollout: Rollout) -> Rollout:
    """Return the rollout with an end at every step, terminated and truncated in turn."""
    even = torch.arange(rollout.T)[:, None].expand(rollout.T, rollout.B) % 2 == 0
    return rollout.replace(terminated=even, truncated=~even)


def forced_ends(rollout: Rollout) -> Rollout:
    """Return the rollout with a truncated and a terminated end put into every column."""
    terminated, truncated = rollout.terminated.clone(), rollout.truncated.clone()
    for step, truncates in ((rollout.T // 3, True), (2 * rollout.T // 3, False)):
        truncated[step], terminated[step] = truncates, not truncates
    return rollout.replace(terminated=terminated, truncated=truncated)


def constant_observations(rollout: Rollout) -> Rollout:
    """Return the rollout with its first observation and action at every step."""
    first = {key: _repeated(rollout.data[key], rollout) for key in ("observation", "action")}
    return rollout.replace(next_observation=first["observation"], **first)


def padded(rollout: Rollout, *, groups: bool = False) -> Rollout:
    """Return the rollout with padding: the end of column 0, and all of the last column.

    Args:
        rollout: what is copied.
        groups: columns stay together: the end of every column, and nothing else.
    """
    mask = rollout.mask.clone()
    if groups:
        mask[rollout.T - rollout.T // 3 :] = False
        return rollout.replace(mask=mask)
    mask[rollout.T - rollout.T // 3 :, 0] = False
    if rollout.B > 1:
        mask[:, -1] = False
    return rollout.replace(mask=mask)


def scrambled_padding(rollout: Rollout, rng: np.random.Generator) -> Rollout:
    """Return the rollout with other values on padding: real ones from elsewhere, huge rewards."""
    real = rollout.mask.nonzero()
    chosen = real[torch.as_tensor(rng.integers(len(real), size=(rollout.T, rollout.B)))]
    elsewhere: Any = rollout.data[chosen[..., 0], chosen[..., 1]]
    entries = {
        key: _selected(rollout.mask, value, elsewhere[key])
        for key, value in rollout.data.items()
        if key != "mask"
    }
    flags = torch.as_tensor(rng.random((rollout.T, rollout.B)) < 0.5)
    return rollout.replace(
        **{
            **entries,
            "reward": torch.where(rollout.mask, rollout.reward, _HUGE),
            "terminated": torch.where(rollout.mask, rollout.terminated, flags),
            "truncated": torch.where(rollout.mask, rollout.truncated, ~flags),
        }
    )


def _drawn(
    key: str, rollout: Rollout, state: Mapping[str, spaces.Space], rng: np.random.Generator
) -> Any:
    size = (rollout.T, rollout.B)
    if key in state:
        return _drawer(state[key], int(rng.integers(2**31)))(size)
    if key == "success":
        return rollout.done & torch.as_tensor(rng.random(size) < 0.5)
    if key == "turn":
        return torch.arange(rollout.T)[:, None].expand(size)
    if key in ("group", "segment"):
        return torch.arange(rollout.B)[None].expand(size) // 2
    shape = (*size, _DEFAULT_HIDDEN) if key == "hidden" else size
    values = torch.as_tensor(rng.normal(size=shape), dtype=torch.float32)
    if key in ("log_prob", "ref_log_prob"):
        return -values.abs()
    return values.abs() if key == "entropy" else values


def _drawer(space: spaces.Space, seed: int) -> Any:
    """Return a function from leading sizes to drawn arrays."""
    if isinstance(space, spaces.Dict):
        parts = {
            key: _drawer(part, seed + index)
            for index, (key, part) in enumerate(space.spaces.items())
        }
        return lambda size: {key: part(size) for key, part in parts.items()}
    if not isinstance(
        space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary
    ):
        raise UserError(
            f"Values of {type(space).__name__} spaces cannot be recorded in a rollout; use Box, "
            "Discrete, MultiDiscrete, MultiBinary or a Dict of them."
        )
    own: Any = copy.deepcopy(space)
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        # Bounds like 3e38 mean "unbounded"; samples from there would overflow any reward.
        low = np.where(space.low < -_HUGE, -np.inf, space.low)
        high = np.where(space.high > _HUGE, np.inf, space.high)
        own = spaces.Box(low, high, dtype=own.dtype.type)
    own.seed(seed)

    def draw(size: tuple[int, ...]) -> np.ndarray:
        flat = np.stack([np.asarray(own.sample()) for _ in range(int(np.prod(size)))])
        return flat.reshape(*size, *flat.shape[1:])

    return draw


def _mapped(function: Any, first: Any, *others: Any) -> Any:
    if isinstance(first, dict):
        return {
            key: _mapped(function, value, *(other[key] for other in others))
            for key, value in first.items()
        }
    return function(first, *others)


def _successors(ended: np.ndarray, seen: np.ndarray, finals: np.ndarray) -> np.ndarray:
    return np.where(_wide(ended, seen[1:]), finals, seen[1:])


def _wide(flags: Any, values: Any) -> Any:
    return flags.reshape(*flags.shape, *[1] * (values.ndim - flags.ndim))


def _repeated(values: Any, rollout: Rollout) -> Any:
    if isinstance(values, TensorDict):
        return {key: _repeated(value, rollout) for key, value in values.items()}
    return values[:1, :1].expand(rollout.T, rollout.B, *values.shape[2:]).clone()


def _selected(mask: torch.Tensor, real: Any, padding: Any) -> Any:
    if isinstance(real, TensorDict):
        return {key: _selected(mask, value, padding[key]) for key, value in real.items()}
    return torch.where(_wide(mask, real), real, padding)
