"""Networks from what a record holds to features, so that one reward idea fits every simulator.

A reward model asks an encoder for its inputs in a rollout (``inputs``, ``next_inputs``), picks or
normalises them, and calls it: ``[..., *observation] -> [..., D]``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Float
from tensordict import TensorDict
from torch import Tensor, nn

from reward_models.errors import UnknownNameError, UserError
from reward_models.rollout import Rollout

_HIDDEN_UNITS = 256
_EMBEDDING = 16
_MOST_CODES = 2**16
_NATURE_SMALLEST_SIDE = 36


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from torch's CPU generator as seeded with ``seed``, then put it back as it was.

    Building a reward model inside leaves the random stream of the policy untouched. Weights are
    drawn on the CPU, so they do not depend on the machine's accelerator.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # torch.manual_seed would seed the accelerators too, which nothing here restores.
        torch.default_generator.manual_seed(seed)
        yield


class Encoder(nn.Module, ABC):
    """Features of an observation.

    Your own: write ``forward``, and end the constructor with ``with seeded(seed): self.redraw()``
    (or draw weights in any other way that leaves torch's global generator alone).

    Args:
        input_space: space of one input; a Dict space lists the keys that are read.
        output_size: number of features ``D``.

    Attributes:
        requires: record keys beyond the core ones that the inputs come from.
        replayable: the successor's input is in the same transition; false where it is the input
            of the next time step.
    """

    requires: ClassVar[frozenset[str]] = frozenset()
    replayable: ClassVar[bool] = True

    def __init__(self, *, input_space: spaces.Space, output_size: int) -> None:
        super().__init__()
        if output_size < 1:
            raise UserError(f"An encoder needs at least one feature, got size {output_size}.")
        self.input_space, self.output_size = input_space, output_size

    @abstractmethod
    def forward(self, inputs: Tensor | TensorDict) -> Float[Tensor, "*batch D"]:
        """Return the features of ``inputs`` of any leading sizes, ``[..., *observation]``."""

    def inputs(self, rollout: Rollout) -> Tensor | TensorDict:
        """Return what the encoder reads at every step, ``[T, B, *observation]``.

        Raises:
            UserError: the recorded observations do not fit ``input_space``.
        """
        return _fitted(rollout.observation, self.input_space, rollout, "observation")

    def next_inputs(self, rollout: Rollout) -> tuple[Tensor | TensorDict, Bool[Tensor, "T B"]]:
        """Return what the encoder reads after every step, and where that is known.

        The true successor is in every transition, also at the end of an episode, so it is known
        on every real step.
        """
        after = _fitted(rollout.next_observation, self.input_space, rollout, "next_observation")
        return after, rollout.mask

    def features(self, rollout: Rollout) -> Float[Tensor, "T B D"]:
        """Return the features of every step."""
        return self(self.inputs(rollout))

    def next_features(
        self, rollout: Rollout
    ) -> tuple[Float[Tensor, "T B D"], Bool[Tensor, "T B"]]:
        """Return the features after every step, and where they are known."""
        inputs, defined = self.next_inputs(rollout)
        return self(inputs), defined

    def redraw(self) -> None:
        """Draw all trainable weights anew from torch's global generator (see ``seeded``).

        Linear and convolution weights are orthogonal with gain sqrt(2), their biases zero; other
        layers draw their own default. Frozen parameters and buffers stay. An encoder with
        parameters outside of such layers overrides this.
        """
        for module in self.modules():
            own = list(module.parameters(recurse=False))
            if not any(parameter.requires_grad for parameter in own):
                continue
            if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
                nn.init.orthogonal_(module.weight, math.sqrt(2.0))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, Encoder) or not hasattr(module, "reset_parameters"):
                raise UserError(
                    f"{type(module).__name__} holds parameters of its own; its encoder must "
                    "override redraw() to say how they are drawn."
                )
            else:
                module.reset_parameters()


def mlp(inputs: int, outputs: int) -> nn.Sequential:
    """Return linear 256 - ReLU - linear."""
    return nn.Sequential(
        nn.Linear(inputs, _HIDDEN_UNITS), nn.ReLU(), nn.Linear(_HIDDEN_UNITS, outputs)
    )


class VectorEncoder(Encoder):
    """Linear 256 - ReLU - linear ``D`` on the flattened numbers of a Box or MultiBinary space."""

    def __init__(self, *, space: spaces.Space, size: int = 128, seed: int = 0) -> None:
        super().__init__(input_space=space, output_size=size)
        with seeded(seed):
            self.network = mlp(math.prod(_shape(space)), size)
            self.redraw()

    def forward(self, inputs: Tensor) -> Float[Tensor, "*batch D"]:
        """Return the features."""
        numbers, lead = _rows(inputs, self.input_space)
        return self.network(numbers.flatten(1).to(torch.float32)).reshape(*lead, -1)


class OneHot(nn.Module):
    """Numbers of a Discrete, MultiDiscrete or MultiBinary space as zeros and ones.

    Attributes:
        counts: number of values of each component.
        output_size: their sum.
    """

    lowest: Tensor
    count: Tensor
    offset: Tensor

    def __init__(self, space: spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary) -> None:
        super().__init__()
        if isinstance(space, spaces.Discrete):
            counts, lowest = [int(space.n)], [int(space.start)]
        elif isinstance(space, spaces.MultiDiscrete):
            counts, lowest = space.nvec.flatten().tolist(), space.start.flatten().tolist()
        else:
            counts, lowest = ([value] * math.prod(space.shape) for value in (2, 0))
        self.counts: tuple[int, ...] = tuple(counts)
        self.output_size = sum(counts)
        offsets = np.concatenate(([0], np.cumsum(counts)[:-1]))
        for name, values in (("lowest", lowest), ("count", counts), ("offset", offsets)):
            self.register_buffer(name, torch.as_tensor(values, dtype=torch.int64), persistent=False)

    def forward(self, values: Tensor) -> Float[Tensor, "N D"]:
        """Return one row of zeros and ones for each row of ``values [N, ...]``.

        Raises:
            UserError: a value outside of the space.
        """
        rows = values.reshape(len(values), len(self.counts)).to(torch.int64) - self.lowest
        outside = (rows < 0) | (rows >= self.count)
        if bool(outside.any()):
            row, component = outside.nonzero()[0].tolist()
            low, count = int(self.lowest[component]), int(self.count[component])
            raise UserError(
                f"A discrete value must lie in [{low}, {low + count - 1}] as its space says, "
                f"got {int(rows[row, component]) + low}."
            )
        hot = torch.zeros(len(rows), self.output_size, device=rows.device)
        return hot.scatter_(1, rows + self.offset, 1.0)


class DiscreteEncoder(Encoder):
    """One-hot, then linear 256 - ReLU - linear ``D``, of a Discrete or MultiDiscrete space."""

    def __init__(
        self, *, space: spaces.Discrete | spaces.MultiDiscrete, size: int = 128, seed: int = 0
    ) -> None:
        super().__init__(input_space=space, output_size=size)
        self.one_hot = OneHot(space)
        with seeded(seed):
            self.network = mlp(self.one_hot.output_size, size)
            self.redraw()

    def forward(self, inputs: Tensor) -> Float[Tensor, "*batch D"]:
        """Return the features."""
        values, lead = _rows(inputs, self.input_space)
        return self.network(self.one_hot(values)).reshape(*lead, -1)


class ImageEncoder(Encoder):
    """Convolutions of Mnih et al. (2015) on bytes / 255, then linear ``D`` - ReLU.

    Images with a side below 36 pixels, too small for those, get two 3x3 convolutions. The smaller
    of the first and the last axis holds the channels.
    """

    def __init__(self, *, space: spaces.Box, size: int = 128, seed: int = 0) -> None:
        super().__init__(input_space=space, output_size=size)
        shape = _shape(space)
        self.channels_last = shape[2] < shape[0]
        channels, *sides = (shape[2], *shape[:2]) if self.channels_last else shape
        with seeded(seed):
            self.network = _ending(self._convolutions(channels, min(sides)), (channels, *sides))
            self.network.extend([nn.LazyLinear(0)][:0])
            self.redraw()

    def forward(self, inputs: Tensor) -> Float[Tensor, "*batch D"]:
        """Return the features."""
        pixels, lead = _rows(inputs, self.input_space)
        if self.channels_last:
            pixels = pixels.permute(0, 3, 1, 2)
        return self.network(pixels.to(torch.float32) / 255.0).reshape(*lead, -1)
