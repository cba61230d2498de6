"""What rewards of progress share: a frozen hop model, its references, and where views are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor, nn

from reward_models.errors import UnknownNameError, UserError
from reward_models.progress.hop_files import load_hop_model
from reward_models.progress.hop_model import CallableHop, Hop, HopModel

HopSource = str | Path | Hop | Callable[..., Any]
"""A folder with a saved hop model, a model, or a function; see `hop_model`."""


@final
class HopObserver(nn.Module):
    """A hop model that looks at the observations of a record.

    Args:
        hop_model: folder, model or function. A model is used as it is and frozen.
        observation_space: of the environment.
        key: entry of a Dict observation that holds the views.
        reference_start: first moment of a demonstration; None takes the hop model's own.
        reference_goal: last moment, likewise.

    Attributes:
        hop: the model.
        space: space of what it reads.
        start: reference observation ``[*observation]``.
        goal: reference observation ``[*observation]``.

    Raises:
        UserError: a model for other observations, or a function without references.
        UnknownNameError: no such key.
    """

    start: Tensor
    goal: Tensor

    def __init__(
        self,
        hop_model: HopSource,
        *,
        observation_space: spaces.Space,
        key: str | None = None,
        reference_start: Any = None,
        reference_goal: Any = None,
    ) -> None:
        super().__init__()
        self.key, self.space = key, _read_space(observation_space, key)
        hop: Any = load_hop_model(hop_model) if isinstance(hop_model, str | Path) else hop_model
        self.hop: Hop = hop if isinstance(hop, Hop) else CallableHop(hop)
        self.hop.requires_grad_(False)
        reads = self.hop.observation_space
        if reads is not None and (
            reads.shape != self.space.shape
            or np.issubdtype(reads.dtype, np.integer) != np.issubdtype(self.space.dtype, np.integer)
        ):
            raise UserError(
                f"The hop model was trained on observations {reads}, the environment gives "
                f"{self.space}. Train one for it, or name the entry of a Dict with key."
            )
        references = (reference_start, reference_goal)
        if isinstance(self.hop, HopModel):
            own = (self.hop.reference_start, self.hop.reference_goal)
            references = tuple(  # type: ignore[assignment]
                mine if given is None else given
                for given, mine in zip(references, own, strict=True)
            )
        for name, value in zip(("start", "goal"), references, strict=True):
            if value is None:
                raise UserError(
                    "A hop function needs reference_start and reference_goal: the first and the "
                    "last observation of a demonstration."
                )
            tensor = torch.as_tensor(value).clone()
            if tuple(tensor.shape) != self.space.shape:
                raise UserError(
                    f"reference_{name} must be one observation {list(self.space.shape or ())}, "
                    f"got {list(tensor.shape)}."
                )
            self.register_buffer(name, tensor.to(self.row().dtype))

    def row(self) -> Tensor:
        """Return an observation of zeros, for its shape and dtype."""
        return torch.as_tensor(np.zeros(self.space.shape or (), dtype=self.space.dtype))

    def read(self, observation: Any) -> Tensor:
        """Return what the hop model reads of observations, ``[..., *observation]``.

        Raises:
            UserError: observations of another kind than the space says.
            UnknownNameError: the key is not there.
        """
        if self.key is None:
            if not isinstance(observation, Tensor):
                raise UserError(
                    "The hop model reads one array, and observations are dicts; name the entry "
                    "that holds the views with key."
                )
            return observation
        if not isinstance(observation, TensorDict | Mapping):
            raise UserError(f"key={self.key!r} needs dict observations, got one array.")
        if self.key not in observation.keys():  # noqa: SIM118 - a TensorDict iterates over its batch
            raise UnknownNameError("observation key", self.key, observation.keys())
        return observation[self.key]

    def encode(self, observation: Tensor) -> Tensor:
        """Return ``[..., F]`` for observations ``[..., *observation]``; what `hops` compares."""
        shape = self.space.shape or ()
        lead = observation.shape[: observation.ndim - len(shape)]
        rows = self.hop.encode(observation.reshape(-1, *shape))
        return rows.reshape(*lead, *rows.shape[1:])

    def hops(self, before: Tensor, after: Tensor) -> Float[Tensor, "*batch"]:
        """Return the hop ``[...]`` between encoded observations of equal leading sizes."""
        ends = self.encode(torch.stack([self.start, self.goal]))
        lead = after.shape[: after.ndim - ends.ndim + 1]
        rows = [each.reshape(-1, *ends.shape[1:]) for each in (before, after)]
        start, goal = (end.expand(len(rows[0]), *end.shape) for end in ends)
        return self.hop.compare(start, goal, *rows).reshape(lead)

    def set_references(self, start: Tensor, goal: Tensor) -> None:
        """Take other moments as references."""
        self.start.copy_(start)
        self.goal.copy_(goal)


def _read_space(space: spaces.Space, key: str | None) -> spaces.Box:
    if key is not None:
        if not isinstance(space, spaces.Dict):
            raise UserError(f"key={key!r} needs Dict observations, got {space}; leave it out.")
        if key not in space.spaces:
            raise UnknownNameError("observation key", key, space.spaces)
        space = space[key]
    if not isinstance(space, spaces.Box):
        hint = f" Choose one of {list(space)} with key." if isinstance(space, spaces.Dict) else ""
        raise UserError(f"A reward of progress reads a Box, got {space}.{hint}")
    return space
