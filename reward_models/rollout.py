"""The record that every policy leaves behind and every reward model reads.

Glossary, used in the whole project: ``T`` time (environment steps, tokens or turns), ``B``
parallel columns (environments, completions, or sampled transitions with ``T = 1``), ``D``
feature size, ``A`` action size. Time comes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from safetensors import safe_open
from safetensors.torch import save_file
from tensordict import TensorDict
from torch import Tensor

from reward_models.errors import UnknownNameError, UserError

CORE_KEYS = ("observation", "action", "next_observation", "reward", "terminated", "truncated")
"""Keys that every rollout has."""

OPTIONAL_KEYS = (
    "mask",
    "log_prob",
    "ref_log_prob",
    "entropy",
    "value",
    "hidden",
    "turn",
    "group",
    "segment",
    "success",
    "state",
)
"""Keys that a rollout has where its learner or environment provides them."""

_FLAGS = ("terminated", "truncated", "mask", "success")
_SCALARS = ("reward", "log_prob", "ref_log_prob", "entropy", "value")
_COUNTERS = ("turn", "group", "segment")
_FORMAT = "ctrl.rollout.v1"


@dataclass(frozen=True)
class Episode:
    """One contiguous piece of an episode inside a rollout.

    Attributes:
        column: index into ``B``.
        start: first time step.
        stop: one past the last time step.
        open_start: the episode began before this rollout.
        open_end: the episode was still running at the end of this rollout.
    """

    column: int
    start: int
    stop: int
    open_start: bool
    open_end: bool


class Rollout:
    """A batch of ``[T, B]`` steps under fixed names, over one ``tensordict.TensorDict``.

    Args:
        observation: what the policy saw, raw (never normalised); ``[T, B, ...]`` tensor, array or
            nested dict of them.
        action: what was executed, ``[T, B, ...]``; a token id for a language model.
        next_observation: the true successor, like ``observation``; at the end of an episode the
            final observation, never the first one of the next episode.
        reward: the task reward, raw: no bonus, no bootstrap value, no normalisation; ``[T, B]``.
        terminated: the task itself ended the episode here, ``[T, B]``.
        truncated: a limit outside the task cut the episode here, ``[T, B]``.
        mask: true where the step is real, ``[T, B]``; all true when None.
        continued: ``[B]``, true where the column's first step continues an episode that began
            before this rollout; all false when None.
        **optional: any of the keys in ``OPTIONAL_KEYS``; ``state`` is a nested dict of named
            simulator quantities measured together with ``next_observation``.

    Raises:
        UnknownNameError: a key outside the glossary.
        UserError: a value whose leading sizes are not ``[T, B]``.

    Example:
        >>> import torch
        >>> flags = torch.zeros(3, 2, dtype=torch.bool)
        >>> rollout = Rollout(
        ...     observation=torch.zeros(3, 2, 4), action=torch.zeros(3, 2, 1),
        ...     next_observation=torch.ones(3, 2, 4), reward=torch.ones(3, 2),
        ...     terminated=flags, truncated=flags)
        >>> rollout.T, rollout.B, tuple(rollout.observation.shape)
        (3, 2, (3, 2, 4))
    """

    __slots__ = ("continued", "data")

    def __init__(
        self,
        *,
        observation: Any,
        action: Any,
        next_observation: Any,
        reward: Any,
        terminated: Any,
        truncated: Any,
        mask: Any = None,
        continued: Any = None,
        **optional: Any,
    ) -> None:
        for key in optional:
            if key not in OPTIONAL_KEYS:
                raise UnknownNameError("rollout key", key, OPTIONAL_KEYS)
        reward = _tensor("reward", reward)
        if reward.ndim != 2:
            raise UserError(f"reward must be [T, B], got shape {tuple(reward.shape)}.")
        entries: dict[str, Any] = {
            "observation": observation,
            "action": action,
            "next_observation": next_observation,
            "reward": reward,
            "terminated": terminated,
            "truncated": truncated,
            "mask": torch.ones(reward.shape, dtype=torch.bool, device=reward.device)
            if mask is None
            else mask,
            **{key: value for key, value in optional.items() if value is not None},
        }
        size = tuple(reward.shape)
        tensors = {key: _checked(key, value, size) for key, value in entries.items()}
        self.data = TensorDict(tensors, batch_size=size)
        self.continued: Bool[Tensor, " B"] = (
            torch.zeros(size[1], dtype=torch.bool, device=reward.device)
            if continued is None
            else _tensor("continued", continued).to(torch.bool)
        )
        if tuple(self.continued.shape) != size[1:]:
            raise UserError(
                f"continued must be [B] = [{size[1]}], got shape {tuple(self.continued.shape)}."
            )

    @classmethod
    def _wrap(cls, data: TensorDict, continued: Tensor) -> Rollout:
        rollout = object.__new__(cls)
        rollout.data, rollout.continued = data, continued
        return rollout

    # -- reading ----------------------------------------------------------------------------

    @property
    def T(self) -> int:  # noqa: N802 - the glossary's letter
        """Number of time steps."""
        return int(self.data.batch_size[0])

    @property
    def B(self) -> int:  # noqa: N802 - the glossary's letter
        """Number of parallel columns."""
        return int(self.data.batch_size[1])

    @property
    def device(self) -> torch.device:
        """Device of the tensors."""
        return self.reward.device

    @property
    def observation(self) -> Any:
        """What the policy saw, raw: ``[T, B, ...]`` tensor or nested ``TensorDict``."""
        return self.data["observation"]

    @property
    def action(self) -> Tensor:
        """What was executed, ``[T, B, ...]``."""
        return self.data["action"]

    @property
    def next_observation(self) -> Any:
        """The true successor of ``observation``."""
        return self.data["next_observation"]

    @property
    def reward(self) -> Float[Tensor, "T B"]:
        """The raw task reward."""
        return self.data["reward"]

    @property
    def terminated(self) -> Bool[Tensor, "T B"]:
        """The task itself ended the episode here."""
        return self.data["terminated"]

    @property
    def truncated(self) -> Bool[Tensor, "T B"]:
        """A limit outside the task cut the episode here."""
        return self.data["truncated"]

    @property
    def done(self) -> Bool[Tensor, "T B"]:
        """The episode ended here, for either reason."""
        return self.terminated | self.truncated

    @property
    def mask(self) -> Bool[Tensor, "T B"]:
        """True where the step is real, false on padding."""
        return self.data["mask"]

    def keys(self) -> set[str]:
        """Names of all entries; nested ones are dotted, for example ``state.x_velocity``."""
        found: set[str] = set()
        for key in self.data.keys(include_nested=True):
            parts = (key,) if isinstance(key, str) else key
            found.update(".".join(parts[: depth + 1]) for depth in range(len(parts)))
        return found

    def __contains__(self, key: str) -> bool:
        return self.data.get(tuple(key.split(".")), None) is not None

    def __getitem__(self, key: str) -> Any:
        """Return an entry by name; dots reach into nested ones (``state.x_velocity``).

        Raises:
            UnknownNameError: no such entry, with the nearest one that exists.
        """
        value = self.data.get(tuple(key.split(".")), None)
        if value is None:
            raise UnknownNameError("rollout key", key, self.keys())
        return value

    def __repr__(self) -> str:
        return f"Rollout(T={self.T}, B={self.B}, keys={sorted(self.keys())})"

    # -- deriving ---------------------------------------------------------------------------

    def replace(self, **entries: Any) -> Rollout:
        """Return a rollout with some entries replaced or added; the others are shared."""
        merged: dict[str, Any] = dict(self.data.items())
        merged.update(entries)
        return Rollout(continued=self.continued, **merged)

    def episodes(self) -> list[Episode]:
        """Cut the real steps into episodes, by column and then by time.

        Padding (``mask`` false) belongs to no episode and ends one like the rollout's own end.
        """
        done, mask = self.done.cpu().numpy(), self.mask.cpu().numpy()
        continued = self.continued.cpu().numpy()
        found = []
        for column in range(self.B):
            real = np.flatnonzero(mask[:, column])
            if not len(real):
                continue
            # A new piece starts after an ended step and after a gap of padding.
            breaks = np.flatnonzero(done[real[:-1], column] | (np.diff(real) > 1))
            starts = real[np.concatenate(([0], breaks + 1))]
            lasts = real[np.concatenate((breaks, [len(real) - 1]))]
            for start, last in zip(starts.tolist(), lasts.tolist(), strict=True):
                open_start = bool(continued[column] and start == real[0])
                open_end = not bool(done[last, column])
                found.append(Episode(column, start, last + 1, open_start, open_end))
        return found

    def episode_numbers(self) -> Int[Tensor, "T B"]:
        """Number the pieces of episodes in each column, 0, 1, ... in time; -1 on padding.

        The pieces are those of ``episodes``; number 0 goes on from before this rollout where
        ``continued`` is true.
        """
        begins = self.mask.clone()
        begins[1:] &= self.done[:-1] | ~self.mask[:-1]
        return torch.where(self.mask, begins.cumsum(0) - 1, -1)

    def flatten(self) -> Rollout:
        """Return the real steps alone as a rollout ``[1, N]``, in time-major order."""
        if bool(self.mask.all()):
            flat = self.data.reshape(1, self.T * self.B)
        else:
            flat = self.data[self.mask].unsqueeze(0)
        continued = torch.zeros(flat.batch_size[1], dtype=torch.bool, device=self.device)
        return Rollout._wrap(flat, continued)

    def take(self, time: Int[Tensor, " N"], column: Int[Tensor, " N"]) -> Rollout:
        """Return single steps, in this order, as a rollout ``[1, N]``.

        Args:
            time: index into ``T`` of each.
            column: index into ``B`` of each.
        """
        flat = self.data[time, column].unsqueeze(0)
        continued = torch.zeros(flat.batch_size[1], dtype=torch.bool, device=self.device)
        return Rollout._wrap(flat, continued)

    def columns(self, chosen: Tensor) -> Rollout:
        """Return some of the columns, ``[T, N]``.

        Args:
            chosen: indices, or a bool mask ``[B]``.
        """
        return Rollout._wrap(self.data[:, chosen], self.continued[chosen])

    def first(self, steps: int) -> Rollout:
        """Return the first time steps of all columns."""
        return Rollout._wrap(self.data[:steps], self.continued)

    def discounted_sum(
        self,
        values: Float[Tensor, "T B"],
        *,
        gamma: float,
        bootstrap: Float[Tensor, "T B"] | None = None,
    ) -> Float[Tensor, "T B"]:
        """Sum ``values`` discounted to the end of each episode.

        ``G_t = v_t + gamma * G_{t+1}`` inside an episode. At a terminated step nothing follows. At
        a truncated step, and at the last step of an episode that is still open, ``bootstrap[t]``
        (the value of ``next_observation[t]``) stands for what follows, or nothing when None.

        Args:
            values: per-step quantity; padding counts as zero.
            gamma: discount in [0, 1].
            bootstrap: value of each step's successor.

        Returns:
            The discounted sums; zero on padding.
        """
        zeros = torch.zeros_like(values)
        tail = zeros if bootstrap is None else bootstrap
        follows = zeros.clone()
        follows[:-1] = (~self.done[:-1] & self.mask[:-1] & self.mask[1:]).to(values.dtype)
        # Selected, not multiplied: padding and unused bootstraps may hold anything, NaN too.
        cut = (follows == 0) & ~self.terminated & self.mask
        start = torch.where(self.mask, values, 0.0) + gamma * torch.where(cut, tail, 0.0)
        sums = zeros.clone()
        running = torch.zeros_like(values[0])
        for t in range(self.T - 1, -1, -1):
            running = start[t] + gamma * follows[t] * running
            sums[t] = running
        return sums

    def to(self, device: torch.device | str) -> Rollout:
        """Return this rollout on another device (itself when it is there already)."""
        return Rollout._wrap(self.data.to(device), self.continued.to(device))

    def detach(self) -> Rollout:
        """Return this rollout cut off from any autograd graph."""
        return Rollout._wrap(self.data.detach(), self.continued)

    # -- files ------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the rollout to one ``.safetensors`` file; nothing in it can execute."""
        arrays = {
            name: value.detach().cpu().contiguous().clone()
            for name, value in _leaves(self.data, ())
        }
        arrays["//continued"] = self.continued.cpu()
        save_file(arrays, str(path), metadata={"format": _FORMAT})

    @classmethod
    def load(cls, path: str | Path) -> Rollout:
        """Read a rollout that ``save`` wrote.

        Raises:
            UserError: the file is no rollout (only safetensors are read, never a pickle).
        """
        try:
            with safe_open(str(path), framework="pt") as file:
                if (file.metadata() or {}).get("format") != _FORMAT:
                    raise UserError(f"{path} is a safetensors file but not a saved rollout.")
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, ValueError) as error:
            raise UserError(f"Cannot read a rollout from {path}: {error}") from error
        except Exception as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{path} is not a safetensors file: {error}") from error
        continued = arrays.pop("//continued")
        nested: dict[str, Any] = {}
        for name, value in arrays.items():
            *parents, leaf = name.split("/")
            level = nested
            for parent in parents:
                level = level.setdefault(parent, {})
            level[leaf] = value
        return cls(continued=continued, **nested)


def _leaves(data: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
    for key, value in data.items():
        if "/" in key:
            raise UserError(f"A rollout key must not contain '/': {key!r}.")
        if isinstance(value, Tensor):
            yield "/".join((*path, key)), value
        else:
            yield from _leaves(value, (*path, key))


def _tensor(key: str, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"Rollout entry {key!r} must be a tensor, an array or a nested dict of them, "
            f"got {type(value).__name__}: {error}"
        ) from error


def _checked(key: str, value: Any, size: tuple[int, ...]) -> Tensor | TensorDict:
    """Bring one entry to its dtype and check that it starts with ``[T, B]``."""
    if isinstance(value, TensorDict | Mapping):
        return TensorDict(
            {name: _checked(f"{key}.{name}", item, size) for name, item in value.items()},
            batch_size=size,
        )
    tensor = _tensor(key, value)
    if tuple(tensor.shape[:2]) != size:
        raise UserError(
            f"Rollout entry {key!r} must start with [T, B] = {list(size)}, "
            f"got shape {tuple(tensor.shape)}."
        )
    if key in _FLAGS:
        return tensor.to(torch.bool)
    if key in _SCALARS:
        return tensor.to(torch.float32)
    if key in _COUNTERS:
        return tensor.to(torch.int64)
    return tensor
