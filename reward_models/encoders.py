"""Networks from what a record holds to features, so that one reward idea fits every simulator.

A reward model asks an encoder for its inputs in a rollout (``inputs``, ``next_inputs``), picks or
normalises them, and calls it: ``[..., *observation] -> [..., D]``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

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
    def forward(self, inputs: Any) -> Float[Tensor, "*batch D"]:
        """Return the features of ``inputs``, a tensor or nested dict of any leading sizes."""

    def inputs(self, rollout: Rollout) -> Any:
        """Return what the encoder reads at every step, ``[T, B, *observation]``.

        Raises:
            UserError: the recorded observations do not fit ``input_space``.
        """
        return _fitted(rollout.observation, self.input_space, rollout, "observation")

    def next_inputs(self, rollout: Rollout) -> tuple[Any, Bool[Tensor, "T B"]]:
        """Return what the encoder reads after every step, and where that is known.

        The true successor is in every transition, also at the end of an episode, so it is known
        on every real step.
        """
        after = _fitted(rollout.next_observation, self.input_space, rollout, "next_observation")
        return after, rollout.mask

    def features(self, rollout: Rollout) -> Float[Tensor, "T B D"]:
        """Return the features of every step."""
        return self(self.inputs(rollout))

    def next_features(self, rollout: Rollout) -> tuple[Float[Tensor, "T B D"], Bool[Tensor, "T B"]]:
        """Return the features after every step, and where they are known."""
        inputs, defined = self.next_inputs(rollout)
        return self(inputs), defined

    def redraw(self) -> None:
        """Draw all trainable weights anew from torch's global generator (see ``seeded``).

        Linear and convolution weights are orthogonal with gain sqrt(2), their biases zero; other
        layers draw their own default. Frozen parameters and buffers stay. An encoder with
        parameters outside of such layers overrides this.
        """
        initialize(self)


def initialize(network: nn.Module) -> None:
    """Draw trainable weights from torch's global generator, see ``Encoder.redraw``.

    Raises:
        UserError: parameters that belong to no layer that could draw them.
    """
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if not any(parameter.requires_grad for parameter in own):
            continue
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            nn.init.orthogonal_(module.weight, math.sqrt(2.0))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif callable(reset := getattr(module, "reset_parameters", None)):
            reset()
        else:
            raise UserError(
                f"{type(module).__name__} holds parameters of its own; an encoder with such "
                "parameters must override redraw() to say how they are drawn."
            )


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

    def columns(self, values: Tensor) -> Tensor:
        """Return which columns are one for each row of ``values [N, ...]``, int64 ``[N, parts]``.

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
        return rows + self.offset

    def forward(self, values: Tensor) -> Float[Tensor, "N D"]:
        """Return one row of zeros and ones for each row of ``values [N, ...]``.

        Raises:
            UserError: a value outside of the space.
        """
        columns = self.columns(values)
        hot = torch.zeros(len(columns), self.output_size, device=columns.device)
        return hot.scatter_(1, columns, 1.0)


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
            if min(sides) >= _NATURE_SMALLEST_SIDE:
                layers = nn.Sequential(
                    *(nn.Conv2d(channels, 32, 8, 4), nn.ReLU()),
                    *(nn.Conv2d(32, 64, 4, 2), nn.ReLU()),
                    *(nn.Conv2d(64, 64, 3, 1), nn.ReLU()),
                )
            else:
                layers = nn.Sequential(
                    *(nn.Conv2d(channels, 32, 3, 1, padding=1), nn.ReLU()),
                    *(nn.Conv2d(32, 64, 3, 2, padding=1), nn.ReLU()),
                )
            self.network = _with_linear(layers, (channels, *sides), size)
            self.redraw()

    def forward(self, inputs: Tensor) -> Float[Tensor, "*batch D"]:
        """Return the features."""
        pixels, lead = _rows(inputs, self.input_space)
        if self.channels_last:
            pixels = pixels.permute(0, 3, 1, 2)
        return self.network(pixels.to(torch.float32) / 255.0).reshape(*lead, -1)


class CodeEncoder(Encoder):
    """Grids of codes (glyphs, characters, colours) and lines of bytes (messages).

    Every code has an embedding of 16 numbers. A grid passes two strided 3x3 convolutions, a line
    two layers over patches of 8 bytes and of 4 such patches; then linear ``D`` - ReLU. Positions
    count.
    """

    def __init__(self, *, space: spaces.Box, size: int = 128, seed: int = 0) -> None:
        super().__init__(input_space=space, output_size=size)
        self.lowest, self.highest = int(space.low.min()), int(space.high.max())
        shape = _shape(space)
        self.padding = -shape[0] % 32 if len(shape) == 1 else None
        with seeded(seed):
            self.embedding = nn.Embedding(self.highest - self.lowest + 1, _EMBEDDING)
            if self.padding is None:
                layers = nn.Sequential(
                    *(nn.Conv2d(_EMBEDDING, 32, 3, 2, padding=1), nn.ReLU()),
                    *(nn.Conv2d(32, 64, 3, 2, padding=1), nn.ReLU()),
                )
                embedded: tuple[int, ...] = (_EMBEDDING, *shape)
            else:
                # Patches that do not overlap are rows of a matrix: much faster than Conv1d.
                layers = nn.Sequential(
                    *(nn.Flatten(), nn.Unflatten(1, (-1, 8 * _EMBEDDING))),
                    *(nn.Linear(8 * _EMBEDDING, 32), nn.ReLU()),
                    *(nn.Flatten(), nn.Unflatten(1, (-1, 4 * 32))),
                    *(nn.Linear(4 * 32, 64), nn.ReLU()),
                )
                embedded = (shape[0] + self.padding, _EMBEDDING)
            self.network = _with_linear(layers, embedded, size)
            self.redraw()

    def forward(self, inputs: Tensor) -> Float[Tensor, "*batch D"]:
        """Return the features.

        Raises:
            UserError: a code outside of the space's bounds.
        """
        codes, lead = _rows(inputs, self.input_space)
        codes = codes.to(torch.int64)
        if codes.numel() and not (
            self.lowest <= int(codes.min()) and int(codes.max()) <= self.highest
        ):
            raise UserError(
                f"Codes must lie in [{self.lowest}, {self.highest}] as their space says, "
                f"got [{int(codes.min())}, {int(codes.max())}]."
            )
        embedded = self.embedding(codes - self.lowest)
        if self.padding is None:
            embedded = embedded.movedim(-1, 1)
        else:
            embedded = nn.functional.pad(embedded, (0, 0, 0, self.padding))
        return self.network(embedded).reshape(*lead, -1)


class DictEncoder(Encoder):
    """One encoder for each key of a Dict space; their features side by side, ReLU, linear ``D``."""

    def __init__(self, *, space: spaces.Space, size: int = 128, seed: int = 0) -> None:
        super().__init__(input_space=space, output_size=size)
        if not isinstance(space, spaces.Dict):
            raise UserError(f"DictEncoder needs a Dict space, got {space}.")
        self.keys = tuple(space)
        self.parts = nn.ModuleList(
            encoder_class(space[key], key)(space=space[key], size=size, seed=seed + 1 + index)
            for index, key in enumerate(self.keys)
        )
        with seeded(seed):
            self.network = nn.Sequential(nn.ReLU(), nn.Linear(size * len(self.keys), size))
            self.redraw()

    def forward(self, inputs: TensorDict | Mapping[str, Any]) -> Float[Tensor, "*batch D"]:
        """Return the features."""
        parts = [part(inputs[key]) for key, part in zip(self.keys, self.parts, strict=True)]
        return self.network(torch.cat(parts, dim=-1))


class HiddenEncoder(Encoder):
    """Linear 256 - ReLU - linear ``D`` on the policy's own features, the record's ``hidden``.

    What follows a step is the ``hidden`` of the next real step of the same episode. It is not
    known at the last step of an episode or of the rollout, nor on single replayed transitions.

    Args:
        hidden_size: number of the policy's features.
        size: number of features ``D``.
        seed: seed of the weights.
    """

    requires = frozenset({"hidden"})
    replayable = False

    def __init__(self, *, hidden_size: int, size: int = 128, seed: int = 0) -> None:
        super().__init__(
            input_space=spaces.Box(-np.inf, np.inf, (hidden_size,), np.float32), output_size=size
        )
        with seeded(seed):
            self.network = mlp(hidden_size, size)
            self.redraw()

    def forward(self, inputs: Tensor) -> Float[Tensor, "*batch D"]:
        """Return the features."""
        return self.network(inputs.to(torch.float32))

    def inputs(self, rollout: Rollout) -> Tensor:
        """Return ``hidden``, ``[T, B, hidden_size]``."""
        return _fitted(rollout["hidden"], self.input_space, rollout, "hidden")

    def next_inputs(self, rollout: Rollout) -> tuple[Tensor, Bool[Tensor, "T B"]]:
        """Return ``hidden`` of the next step (zero where there is none), and where there is one."""
        hidden, mask = self.inputs(rollout), rollout.mask
        after, defined = torch.zeros_like(hidden), torch.zeros_like(mask)
        defined[:-1] = mask[:-1] & mask[1:] & ~rollout.done[:-1]
        after[:-1] = hidden[1:]
        return after.masked_fill(~defined.unsqueeze(-1), 0), defined


def make_encoder(
    observation_space: spaces.Space,
    *,
    size: int = 128,
    seed: int = 0,
    keys: Sequence[str] | None = None,
) -> Encoder:
    """Return the encoder that fits a space.

    ======================================  ==============================================
    space                                   encoder
    ======================================  ==============================================
    Box, uint8, three axes                  ``ImageEncoder``
    Box, integers, two axes; uint8, one     ``CodeEncoder`` (up to 65536 different codes)
    any other Box; MultiBinary              ``VectorEncoder``
    Discrete, MultiDiscrete                 ``DiscreteEncoder``
    Dict of these                           ``DictEncoder``
    ======================================  ==============================================

    Args:
        observation_space: space of one observation.
        size: number of features ``D``.
        seed: seed of the weights; torch's global generator is left alone.
        keys: the keys of a Dict space to read; all when None.

    Raises:
        UserError: no encoder for this space, or ``keys`` for a space without keys.
        UnknownNameError: a key that the space does not have.

    Example:
        >>> space = spaces.Dict({"blstats": spaces.Box(-9, 9, (27,)), "action": spaces.Discrete(4)})
        >>> encoder = make_encoder(space, size=32, keys=["blstats"])
        >>> tuple(encoder({"blstats": torch.zeros(5, 2, 27)}).shape)
        (5, 2, 32)
    """
    if keys is not None:
        if not isinstance(observation_space, spaces.Dict):
            raise UserError(
                f"keys={list(keys)} choose entries of a Dict observation, but the observation "
                f"space is {observation_space}; leave keys out."
            )
        for key in keys:
            if key not in observation_space.spaces:
                raise UnknownNameError("observation key", key, observation_space.spaces)
        if not keys:
            raise UserError("keys is empty; name at least one key, or leave it out to read all.")
        observation_space = spaces.Dict({key: observation_space[key] for key in keys})
    return encoder_class(observation_space)(space=observation_space, size=size, seed=seed)


def encoder_class(space: spaces.Space, key: str | None = None) -> Callable[..., Encoder]:
    """Return the class of encoder for a space (found under ``key``, for the message).

    Raises:
        UserError: there is none.
    """
    if isinstance(space, spaces.Dict) and len(space.spaces):
        return DictEncoder
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return DiscreteEncoder
    if isinstance(space, spaces.MultiBinary):
        return VectorEncoder
    if isinstance(space, spaces.Box):
        axes = len(space.shape)
        if np.issubdtype(space.dtype, np.integer):
            if axes == 3 and space.dtype == np.uint8:
                return ImageEncoder
            codes = float(space.high.max()) - float(space.low.min()) + 1
            if codes <= _MOST_CODES and (axes == 2 or (axes == 1 and space.dtype == np.uint8)):
                return CodeEncoder
        return VectorEncoder
    where = "" if key is None else f" under key {key!r} (leave it out with keys=[...])"
    raise UserError(
        f"There is no encoder for the observation space {space}{where}; there is one for Box, "
        "Discrete, MultiDiscrete, MultiBinary and Dict spaces of these. "
        "Flatten the observation, or pass an Encoder of your own."
    )


def _shape(space: spaces.Space) -> tuple[int, ...]:
    return () if space.shape is None else tuple(space.shape)


def _rows(inputs: Tensor, space: spaces.Space) -> tuple[Tensor, tuple[int, ...]]:
    """Bring the leading sizes into one, ``[N, *shape]`` (``[N, 1]`` for numbers)."""
    shape = _shape(space)
    lead = tuple(inputs.shape[: inputs.ndim - len(shape)])
    return inputs.reshape(math.prod(lead), *(shape or (1,))), lead


def _with_linear(layers: nn.Sequential, shape: Sequence[int], size: int) -> nn.Sequential:
    """Append the linear layer that fits what ``layers`` return for one input of ``shape``."""
    with torch.no_grad():
        width = layers(torch.zeros(1, *shape)).numel()
    return nn.Sequential(layers, nn.Flatten(), nn.Linear(width, size), nn.ReLU())


def _fitted(value: Any, space: spaces.Space, rollout: Rollout, name: str) -> Any:
    """Return the part of a recorded entry that a space describes, ``[T, B, *shape]``."""
    if isinstance(space, spaces.Dict):
        if isinstance(value, Tensor):
            raise UserError(
                f"{name} must be a dict with keys {list(space)}, got one tensor of shape "
                f"{tuple(value.shape)}; build the model for the space of the recorded observations."
            )
        for key in space:
            if key not in value.keys():  # noqa: SIM118 - a TensorDict iterates over its batch
                raise UnknownNameError(f"{name} key", key, value.keys())
        fitted = {
            key: _fitted(value[key], sub, rollout, f"{name}.{key}") for key, sub in space.items()
        }
        return TensorDict(fitted, batch_size=value.batch_size)
    if not isinstance(value, Tensor):
        raise UserError(
            f"{name} must be one tensor, got a dict with keys {sorted(value.keys())}; "
            "build the model for the Dict space (choose keys with keys=[...])."
        )
    shape = _shape(space)
    if tuple(value.shape[2:]) == shape:
        return value
    # Some buffers store a number as a vector of one.
    if [size for size in value.shape[2:] if size != 1] == [size for size in shape if size != 1]:
        return value.reshape(rollout.T, rollout.B, *shape)
    raise UserError(
        f"{name} must have shape [T, B, ...] = {[rollout.T, rollout.B, *shape]} as its space "
        f"{space} says, got {list(value.shape)}."
    )
