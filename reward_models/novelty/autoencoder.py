"""Autoencoders: a short code for what was seen, and how badly it is rebuilt from that code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reward_models.encoders import seeded
from reward_models.errors import UserError

IMAGE_SHAPE = (64, 64, 3)
"""Height, width and colours of the pictures that `ImageAutoencoder` reads."""

# Always so many, the last ones filled up: then what a row gives does not depend, to the last bit,
# on what it is looked at with. On one core as fast as larger batches.
_ROWS_AT_ONCE = 16
_CHANNELS = (3, 32, 64, 32, 16)
_SMALLEST = (16, 4, 4)


class Autoencoder(nn.Module, ABC):
    """Learns to rebuild its inputs from codes of a few numbers.

    Attributes:
        code_size: numbers in a code.
        encoder: prepared inputs -> codes.
        decoder: codes -> rebuilt inputs.
    """

    code_size: int
    encoder: nn.Sequential
    decoder: nn.Sequential

    @abstractmethod
    def prepared(self, inputs: Any) -> Float[Tensor, "N ..."]:
        """Return rows of inputs as the networks read them, float32.

        Raises:
            UserError: they are not what this autoencoder was made for.
        """

    def forward(self, prepared: Float[Tensor, "N ..."]) -> Float[Tensor, "N ..."]:
        """Return what is rebuilt of `prepared` inputs."""
        return self.decoder(self.encoder(prepared))

    def losses(self, prepared: Float[Tensor, "N ..."]) -> Float[Tensor, " N"]:
        """Return the squared error of each rebuilt input, averaged over its numbers."""
        return (self(prepared) - prepared).square().flatten(1).mean(1)

    @torch.no_grad()
    def codes(self, inputs: Any) -> Float[Tensor, "N code"]:
        """Return the codes of rows of inputs; equal rows have equal codes, whatever is beside."""
        return self._in_blocks(self.encoder, inputs, torch.zeros(0, self.code_size))

    @torch.no_grad()
    def errors(self, inputs: Any) -> Float[Tensor, " N"]:
        """Return the `losses` of rows of inputs, likewise; not negative."""
        return self._in_blocks(self.losses, inputs, torch.zeros(0))

    def _in_blocks(
        self, function: Callable[[Tensor], Tensor], inputs: Any, nothing: Tensor
    ) -> Tensor:
        if not len(inputs):
            return nothing
        found = []
        for rows in inputs.split(_ROWS_AT_ONCE):
            prepared = self.prepared(rows)
            missing = _ROWS_AT_ONCE - len(rows)
            if missing:
                prepared = torch.cat([prepared, prepared[:1].expand(missing, *prepared.shape[1:])])
            found.append(function(prepared)[: len(rows)])
        return torch.cat(found)


@final
class ImageAutoencoder(Autoencoder):
    """The autoencoder of TAXONS (Paolo et al. 2020) for pictures of 64 x 64 pixels.

    Encoder: convolutions 3 - 32 - 64 - 32 - 16 (kernel 4, stride 2, padding 1, each followed by
    SELU), which leave 4 x 4 pixels, then linear 256 - ``code_size`` and SELU. Decoder: the same
    backwards, with ReLU as the last activation.

    Args:
        code_size: numbers in a code, at least 1.
        seed: of the weights.

    Raises:
        UserError: no number in a code.
    """

    def __init__(self, *, code_size: int = 10, seed: int = 0) -> None:
        super().__init__()
        self.code_size = _code_size(code_size)
        numbers = _SMALLEST[0] * _SMALLEST[1] * _SMALLEST[2]
        with seeded(seed):
            down = [_convolution(*sizes) for sizes in pairwise(_CHANNELS)]
            up = [_convolution(*sizes, back=True) for sizes in pairwise(_CHANNELS[::-1])]
            inner, outer = nn.Linear(numbers, code_size), nn.Linear(code_size, numbers)
        self.encoder = nn.Sequential(*_with_selu(down), nn.Flatten(), inner, nn.SELU())
        self.decoder = nn.Sequential(
            *(outer, nn.SELU(), nn.Unflatten(1, _SMALLEST)),
            *_with_selu(up)[:-1],
            nn.ReLU(),
        )
        # A third faster on a processor, with the same numbers up to rounding.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def prepared(self, inputs: Tensor) -> Float[Tensor, "N 3 64 64"]:
        """Return pictures ``[N, 64, 64, 3]``, bytes or numbers in [0, 1], channels first.

        Raises:
            UserError: another size or kind, or a number outside of [0, 1].
        """
        if tuple(inputs.shape[1:]) != IMAGE_SHAPE:
            raise UserError(
                f"The autoencoder reads pictures [N, {', '.join(map(str, IMAGE_SHAPE))}] (height, "
                f"width, colours), got shape {list(inputs.shape)}; scale them to 64 x 64 pixels."
            )
        if inputs.dtype == torch.uint8:
            scaled = inputs.to(torch.float32) / 255.0
        elif inputs.is_floating_point():
            scaled = inputs.to(torch.float32)
            # Written so that NaN is refused too.
            if not bool(((scaled >= 0.0) & (scaled <= 1.0)).all()):
                raise UserError(
                    "Pictures must be uint8 or numbers in [0, 1], got numbers from "
                    f"{float(scaled.min())} to {float(scaled.max())}; divide by their maximum."
                )
        else:
            raise UserError(f"Pictures must be uint8 or numbers in [0, 1], got {inputs.dtype}.")
        return scaled.permute(0, 3, 1, 2)


@final
class VectorAutoencoder(Autoencoder):
    """An autoencoder for vectors: linear 64 - SELU - linear ``code_size`` - SELU, and backwards.

    Args:
        size: numbers in an input, at least 1; of about unit scale.
        code_size: numbers in a code, at least 1.
        seed: of the weights.

    Raises:
        UserError: a size below 1.
    """

    def __init__(self, *, size: int, code_size: int = 10, seed: int = 0) -> None:
        super().__init__()
        if size < 1:
            raise UserError(f"An autoencoder needs at least one number, got size {size}.")
        self.size, self.code_size = size, _code_size(code_size)
        hidden = 64
        with seeded(seed):
            self.encoder = nn.Sequential(
                *(nn.Linear(size, hidden), nn.SELU()), *(nn.Linear(hidden, code_size), nn.SELU())
            )
            self.decoder = nn.Sequential(
                *(nn.Linear(code_size, hidden), nn.SELU()), nn.Linear(hidden, size)
            )

    def prepared(self, inputs: Tensor) -> Float[Tensor, "N d"]:
        """Return vectors ``[N, size]`` in float32.

        Raises:
            UserError: another length.
        """
        if tuple(inputs.shape[1:]) != (self.size,):
            raise UserError(
                f"The autoencoder reads vectors [N, {self.size}], got shape {list(inputs.shape)}."
            )
        return inputs.to(torch.float32)


def _code_size(value: int) -> int:
    if value < 1:
        raise UserError(f"code_size must be at least 1, got {value}.")
    return value


def _convolution(inputs: int, outputs: int, *, back: bool = False) -> nn.Module:
    kind = nn.ConvTranspose2d if back else nn.Conv2d
    return kind(inputs, outputs, kernel_size=4, stride=2, padding=1)


def _with_selu(layers: list[nn.Module]) -> list[nn.Module]:
    return [part for layer in layers for part in (layer, nn.SELU())]
