"""What a discriminator compares: pairs of what was seen with what was done, or with what followed.

Two forms of each pair are kept apart: as recorded (`Pairs`), which is what is remembered, and as
one row of numbers, which is what the network reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Float, Int
from tensordict import TensorDict
from torch import Tensor, nn

from reward_models.curiosity.counting.flat import FlatEncoder
from reward_models.curiosity.networks import (
    ActionCode,
    ObservationNormalizer,
    action_rows,
    chosen_encoder,
    flat_steps,
    require_finite,
)
from reward_models.encoders import DiscreteEncoder, Encoder, VectorEncoder
from reward_models.errors import UserError
from reward_models.novelty.newest import Newest
from reward_models.rollout import Rollout

_MOST_ROWS, _MOST_BYTES = 100_000, 2**28


@final
@dataclass(frozen=True)
class Pairs:
    """N pairs as they were recorded.

    Attributes:
        first: what was seen, rows ``[N, ...]``, a tensor or a ``TensorDict``.
        second: the action's numbers ``[N, A]``, or what was seen next, like ``first``.
        absorbing: ``[N, 2]``, true where a part stands for the absorbing state behind the end of
            an episode, whatever ``first`` and ``second`` hold there.
    """

    first: Any
    second: Any
    absorbing: Bool[Tensor, "N 2"]

    def __len__(self) -> int:
        """Return N."""
        return int(self.absorbing.shape[0])

    def pick(self, rows: Int[Tensor, " n"] | Bool[Tensor, " N"]) -> Pairs:
        """Return some of the pairs, on the device of ``rows``."""
        return Pairs(*(_rows(part, rows) for part in self._parts()))

    def to(self, device: torch.device) -> Pairs:
        """Return the pairs on a device."""
        return Pairs(*(part.to(device) for part in self._parts()))

    def with_ends(self, ended: Bool[Tensor, " N"]) -> Pairs:
        """Append one pair of the absorbing state for each ended one."""
        ends = self.pick(ended)
        return join([self, replace(ends, absorbing=torch.ones_like(ends.absorbing))])

    def _parts(self) -> tuple[Any, Any, Tensor]:
        return self.first, self.second, self.absorbing


def join(pairs: list[Pairs]) -> Pairs:
    """Return all pairs, one after the other."""
    return Pairs(
        torch.cat([each.first for each in pairs]),
        torch.cat([each.second for each in pairs]),
        torch.cat([each.absorbing for each in pairs]),
    )


@final
class PairCode(nn.Module):
    """From records to pairs, and from pairs to rows of numbers ``[N, D]``.

    A row is the encoded observation, then the action or the encoded successor; with ``absorbing``
    each of the two ends with an indicator, 1 where the part is the absorbing state, whose other
    numbers are 0 (Kostrikov et al. 2019).

    Args:
        encoder: of observations; what it reads decides what is remembered.
        action_space: of one action.
        state_only: pairs of observation and successor, without the action.
        absorbing: append the indicators.
        one_hot_actions: whether actions that are choices may become zeros and ones.
        normalize: observations by the mean and deviation that `learn_scale` was given, clipped to
            [-5, 5]; the same ones for everybody.
        clamp: the numbers of a row are kept in ``[-clamp, clamp]``; None for no bound.

    Attributes:
        size: D.
        split: size of the first part.

    Raises:
        UserError: discrete actions without ``one_hot_actions``, or a bound that is not positive.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        action_space: spaces.Space,
        state_only: bool = False,
        absorbing: bool = False,
        one_hot_actions: bool = False,
        normalize: bool = False,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        if clamp is not None and not clamp > 0.0:
            raise UserError(f"clamp must be positive, got {clamp}.")
        if not (isinstance(action_space, spaces.Box) or one_hot_actions or state_only):
            raise UserError(
                f"Actions of {action_space} are choices, not numbers, and between two choices "
                "there is nothing whose gradient could be penalised. Set one_hot_actions: true to "
                "treat them as zeros and ones all the same, or state_only: true to leave them out."
            )
        self.encoder = encoder
        self.actions = None if state_only else ActionCode(space=action_space)
        self.normalizer = ObservationNormalizer(space=encoder.input_space, enabled=normalize)
        self.state_only, self.absorbing, self.clamp = state_only, absorbing, clamp
        second = encoder.output_size if self.actions is None else self.actions.size
        self.split = encoder.output_size + int(absorbing)
        self.size = self.split + second + int(absorbing)

    def learn_scale(self, pairs: Pairs) -> None:
        """Take mean and deviation for ``normalize`` from the observations of these pairs."""
        self.normalizer.update(pairs.first)

    def steps(self, rollout: Rollout) -> tuple[Pairs, Bool[Tensor, "T B"]]:
        """Return the pairs of all ``T * B`` steps, and which steps are real and known."""
        first, known = self.encoder.inputs(rollout), rollout.mask
        if self.actions is None:
            after, defined = self.encoder.next_inputs(rollout)
            second, known = flat_steps(after), known & defined
        else:
            second = action_rows(self.actions, rollout)
        absorbing = torch.zeros(rollout.T * rollout.B, 2, dtype=torch.bool, device=rollout.device)
        if self.absorbing and self.state_only:
            # What follows the end of a task is the absorbing state, and that is always known.
            absorbing[:, 1] = rollout.terminated.flatten()
            known = known | (rollout.mask & rollout.terminated)
        return Pairs(flat_steps(first), second, absorbing), known

    def pairs(self, rollout: Rollout, picked: Bool[Tensor, "T B"] | None = None) -> Pairs:
        """Return the pairs of the real steps, with one of the absorbing state for each end.

        Ends are true terminations, never truncations.

        Args:
            rollout: the record.
            picked: which steps to take; all real ones when None.

        Raises:
            UserError: a number is NaN or infinite.
        """
        rows, known = self.steps(rollout.detach())
        chosen = (known if picked is None else known & picked).flatten()
        found = rows.pick(chosen)
        require_finite("observation", found.first)
        require_finite("next_observation" if self.state_only else "action", found.second)
        if self.absorbing:
            found = found.with_ends(rollout.terminated.flatten()[chosen])
        return found

    def forward(self, pairs: Pairs) -> Float[Tensor, "N D"]:
        """Return the rows that the discriminator reads, in float32."""
        first = self._part(self._encoded(pairs.first), pairs.absorbing[:, 0])
        second = pairs.second if self.actions is not None else self._encoded(pairs.second)
        second = self._part(second, pairs.absorbing[:, 1])
        return torch.cat([*first, *second], -1)

    def absorbing_row(self) -> Float[Tensor, "1 D"]:
        """Return the row of the absorbing state, whose indicators are the only numbers."""
        row = torch.zeros(1, self.size)
        row[0, [self.split - 1, -1]] = 1.0
        return row

    def memory_rows(self, memory: int | None) -> int:
        """Return how many pairs are remembered: as asked, else 100,000 or what fits 256 MiB."""
        if memory is not None:
            return memory
        size = sum(leaf.numel() * leaf.element_size() for leaf in self.templates())
        return max(min(_MOST_ROWS, _MOST_BYTES // size), 1)

    def templates(self) -> list[Tensor]:
        """Return one row of every tensor of a pair, as it is remembered."""
        seen = _templates(self.encoder.input_space)
        second = seen if self.actions is None else [torch.zeros(self.actions.size)]
        return [*seen, *second, torch.zeros(2, dtype=torch.bool)]

    def leaves(self, pairs: Pairs) -> list[Tensor]:
        """Return the tensors of pairs in the order of `templates`."""
        space = self.encoder.input_space
        second = _leaves(space, pairs.second) if self.actions is None else [pairs.second]
        return [*_leaves(space, pairs.first), *second, pairs.absorbing]

    def from_leaves(self, leaves: list[Tensor]) -> Pairs:
        """Return the pairs that `leaves` took apart."""
        *rest, absorbing = leaves
        rest = rest[::-1]
        first = _built(self.encoder.input_space, rest)
        second = _built(self.encoder.input_space, rest) if self.actions is None else rest.pop()
        return Pairs(first, second, absorbing)

    def _encoded(self, inputs: Any) -> Float[Tensor, "N E"]:
        return self.encoder(self.normalizer(inputs))

    def _part(self, numbers: Tensor, absorbing: Bool[Tensor, " N"]) -> list[Tensor]:
        numbers = numbers.to(torch.float32)
        if self.clamp is not None:
            numbers = numbers.clamp(-self.clamp, self.clamp)
        if not self.absorbing:
            return [numbers]
        indicator = absorbing.unsqueeze(-1)
        return [numbers.masked_fill(indicator, 0.0), indicator.to(torch.float32)]


@final
class PairMemory(nn.Module):
    """The newest pairs of a policy.

    Args:
        code: what pairs consist of.
        capacity: most pairs.
    """

    def __init__(self, *, code: PairCode, capacity: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(Newest(row=row, capacity=capacity) for row in code.templates())

    def add(self, code: PairCode, pairs: Pairs) -> Pairs:
        """Add pairs, the oldest first; return all that are kept."""
        for part, leaf in zip(self.parts, code.leaves(pairs), strict=True):
            part.add(leaf)  # type: ignore[operator]
        return code.from_leaves([part.rows for part in self.parts])  # type: ignore[misc]


def chosen_numbers(
    encoder: Encoder | None,
    space: spaces.Space,
    latent_size: int,
    keys: Sequence[str] | None,
    seed: int,
) -> Encoder:
    """Return an encoder; unless one is given, vectors and choices are read as they are."""
    found = chosen_encoder(encoder, space, latent_size, keys, seed)
    if encoder is None and isinstance(found, VectorEncoder | DiscreteEncoder):
        return FlatEncoder(space=found.input_space)
    return found


def _rows(part: Any, rows: Tensor) -> Any:
    if isinstance(part, Tensor) and rows.dtype != torch.bool:
        return part.index_select(0, rows)  # for tensors much faster than indexing
    return part[rows]


def _templates(space: spaces.Space) -> list[Tensor]:
    if isinstance(space, spaces.Dict):
        return [row for key in space for row in _templates(space[key])]
    row = torch.as_tensor(np.zeros(space.shape or (), space.dtype))
    return [row.float() if row.is_floating_point() else row]


def _leaves(space: spaces.Space, value: Any) -> list[Tensor]:
    if isinstance(space, spaces.Dict):
        return [leaf for key in space for leaf in _leaves(space[key], value[key])]
    return [value]


def _built(space: spaces.Space, reversed_leaves: list[Tensor]) -> Any:
    if isinstance(space, spaces.Dict):
        parts = {key: _built(space[key], reversed_leaves) for key in space}
        size = next(iter(parts.values())).shape[0]
        return TensorDict(parts, batch_size=[size])
    return reversed_leaves.pop()
