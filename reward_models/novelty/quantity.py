"""What an episode is described by, read from a record: observations or a simulator quantity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Shaped
from torch import Tensor, nn

from reward_models.encoders import OneHot
from reward_models.errors import UnknownNameError, UserError
from reward_models.novelty.autoencoder import IMAGE_SHAPE
from reward_models.rollout import Rollout


@final
class Quantity(nn.Module):
    """Reads one vector or picture of every step.

    Observations are read as numbers: Discrete ones as zeros and ones, Box, MultiDiscrete and
    MultiBinary ones as they are, the keys of a Dict side by side.

    Args:
        observation_space: space of one observation.
        name: ``observation``, or a recorded quantity such as ``state.position``.
        shape: of one value of the recorded quantity; ``()`` is a single number. Not used for
            observations.
        keys: keys of a Dict observation to read; all when None.

    Attributes:
        shape: of one value: ``(d,)``, or that of a picture.
        has_pictures: whether pictures are among what is read, of whatever size.
        is_bytes: whether a picture comes as uint8; otherwise as numbers in [0, 1].
        requires: record keys beyond the core ones.

    Raises:
        UserError: a space or name that cannot be read.
        UnknownNameError: a key that the Dict space does not have.
    """

    def __init__(
        self,
        *,
        observation_space: spaces.Space,
        name: str = "observation",
        shape: Sequence[int] = (),
        keys: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.requires: frozenset[str] = frozenset()
        self.keys: tuple[str, ...] = ()
        if name != "observation":
            self._read_recorded(name, shape, keys)
            return
        if isinstance(observation_space, spaces.Dict):
            self.keys = tuple(observation_space) if keys is None else tuple(keys)
            for key in self.keys:
                if key not in observation_space.spaces:
                    raise UnknownNameError("observation key", key, observation_space.spaces)
            if not self.keys:
                raise UserError("keys must name at least one key of the observation.")
            parts = [_Numbers(observation_space[key], key) for key in self.keys]
        elif keys is not None:
            raise UserError(
                f"keys choose from a Dict observation, got {observation_space}; leave them out."
            )
        else:
            parts = [_Numbers(observation_space, "observation")]
        self.parts = nn.ModuleList(parts)
        self.has_pictures = any(part.is_image for part in parts)
        self.is_bytes = all(part.is_bytes for part in parts)
        alone = parts[0].shape if len(parts) == 1 else None
        self.shape = (
            IMAGE_SHAPE if alone == IMAGE_SHAPE else (sum(math.prod(part.shape) for part in parts),)
        )

    @property
    def is_image(self) -> bool:
        """Whether a value is a picture of 64 x 64 pixels."""
        return self.shape == IMAGE_SHAPE

    def after(self, rollout: Rollout) -> Shaped[Tensor, "T B ..."]:
        """Return the value after every step: of the true successor.

        Raises:
            UnknownNameError: the quantity is not in the record.
            UserError: it has another shape than was said.
        """
        if self.name == "observation":
            return self._numbers(rollout.next_observation)
        values = rollout[self.name]
        if not isinstance(values, Tensor) or math.prod(values.shape[2:]) != math.prod(self.shape):
            found = list(values.shape[2:]) if isinstance(values, Tensor) else "several quantities"
            raise UserError(
                f"{self.name} was said to have shape {list(self.shape)}, the record has {found}; "
                "pass quantity_shape as it is recorded."
            )
        return values.reshape(rollout.T, rollout.B, *self.shape)

    def before(self, rollout: Rollout) -> Shaped[Tensor, "T B ..."] | None:
        """Return the value before every step; None for quantities, which are recorded after it."""
        return self._numbers(rollout.observation) if self.name == "observation" else None

    def _read_recorded(self, name: str, shape: Sequence[int], keys: Sequence[str] | None) -> None:
        if keys is not None:
            raise UserError(f"keys choose from a Dict observation; {name!r} is read as a whole.")
        if not name.startswith("state."):
            raise UserError(
                "quantity must be 'observation' or a recorded quantity such as 'state.position', "
                f"got {name!r}."
            )
        if any(size < 1 for size in shape):
            raise UserError(f"quantity_shape must hold sizes of at least 1, got {list(shape)}.")
        self.shape = IMAGE_SHAPE if tuple(shape) == IMAGE_SHAPE else (math.prod(shape),)
        self.requires = frozenset({name})
        # Recorded as the simulator made them, like every picture here in bytes.
        self.has_pictures = self.is_bytes = self.is_image

    def _numbers(self, observation: Any) -> Tensor:
        chosen = [observation[key] for key in self.keys] if self.keys else [observation]
        read = [part(values) for part, values in zip(self.parts, chosen, strict=True)]
        if self.is_image:
            return read[0]
        return torch.cat([values.flatten(2).to(torch.float64) for values in read], -1)


class _Numbers(nn.Module):
    """Values ``[T, B, ...]`` of one space as numbers ``[T, B, *shape]``."""

    def __init__(self, space: spaces.Space, name: str) -> None:
        super().__init__()
        self.one_hot: OneHot | None = None
        if isinstance(space, spaces.Discrete):
            self.one_hot = OneHot(space)
            self.shape: tuple[int, ...] = (self.one_hot.output_size,)
        elif isinstance(space, spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary):
            self.shape = tuple(space.shape) or (1,)
        else:
            raise UserError(f"{name} cannot be read as numbers: its space is {space}.")
        # Grids of numbers with one channel, such as occupancy maps, count as vectors.
        self.is_image = (
            isinstance(space, spaces.Box) and len(space.shape) == 3 and min(space.shape) > 1
        )
        self.is_bytes = space.dtype == np.uint8

    def forward(self, values: Tensor) -> Tensor:
        steps, columns = values.shape[:2]
        if self.one_hot is not None:
            return self.one_hot(values.flatten(0, 1)).unflatten(0, (steps, columns))
        return values.reshape(steps, columns, *self.shape)
