"""The hop model: how far one moment is ahead of another, seen from several sides."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor, nn

from reward_models.encoders import Encoder, make_encoder, seeded
from reward_models.errors import UserError

HopFunction = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""``hop(reference start, reference goal, before, after)``: each ``[N, ...] -> [N]`` in [-1, 1]."""

_ROWS_AT_ONCE = 4096
_SMALLEST_DEVIATION = 1e-3


class Hop(nn.Module, ABC):
    """Anything that says how far ``after`` is ahead of ``before``, given what the task is.

    Split in two, so that an observation which is compared many times is read once.

    Attributes:
        observation_space: space of one observation, or None where anything goes.
    """

    observation_space: spaces.Space | None = None

    @abstractmethod
    def encode(self, observation: Tensor) -> Tensor:
        """Return what `compare` needs of observations: ``[N, *observation] -> [N, ...]``."""

    @abstractmethod
    def compare(self, start: Tensor, goal: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Return the hop ``[N]`` in [-1, 1] from four encoded observations ``[N, ...]``."""

    def forward(self, start: Tensor, goal: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Return the hop ``[N]`` from four observations ``[N, *observation]``."""
        return self.compare(*(self.encode(each) for each in (start, goal, before, after)))


@final
class CallableHop(Hop):
    """A function of yours as a hop model: a formula, or a judge that is asked.

    Args:
        function: ``hop(start, goal, before, after)``, each observations ``[N, ...]``; returns
            ``[N]``. A language model that answers in text is read with
            `reward_models.progress.labels.ScoreParser`.

    Raises:
        UserError: it cannot be called.
    """

    def __init__(self, function: HopFunction) -> None:
        super().__init__()
        if not callable(function):
            raise UserError(f"A hop must be callable, got {type(function).__name__}.")
        self.function = function

    def encode(self, observation: Tensor) -> Tensor:
        """Return the observations themselves."""
        return observation

    def compare(self, start: Tensor, goal: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Call the function.

        Raises:
            UserError: it returned another shape, or a value that is not a hop.
        """
        found = torch.as_tensor(self.function(start, goal, before, after))
        if tuple(found.shape) != (len(after),):
            raise UserError(
                f"The hop function must return one number per pair, [{len(after)}], "
                f"got shape {tuple(found.shape)}."
            )
        found = found.to(torch.float32)
        if not bool((found.abs() <= 1.0).all()):
            raise UserError(
                "The hop function must return numbers in [-1, 1], got "
                f"[{float(found.min()):g}, {float(found.max()):g}]."
            )
        return found


@final
class HopModel(Hop):
    """A trainable regressor of the hop (the GRM of Robo-Dopamine, Tan et al. 2025, in small).

    Every view of the two references and of the moments before and after passes one encoder; the
    features of all views, and their differences, pass a network ``256 - 256 - 1`` with tanh, which
    keeps hops in [-1, 1].

    Args:
        observation_space: Box of one observation. With ``views`` its first axis lists them.
        views: number of views; None takes the whole observation as one.
        latent_size: features of a view, when no encoder is given.
        encoder: for one view, trained with the rest unless frozen; None takes the one that fits.
        hidden: units of each hidden layer.
        seed: of the weights.

    Attributes:
        reference_start: the first moment of a demonstration, ``[*observation]``.
        reference_goal: its last moment. Both are set by training and saved with the weights.
        view_space: space of one view.

    Raises:
        UserError: a space or a number that cannot work.

    Example:
        >>> space = spaces.Box(-1, 1, (3, 5), np.float32)
        >>> model = HopModel(observation_space=space, views=3)
        >>> seen = torch.zeros(7, 3, 5)
        >>> tuple(model(seen, seen, seen, seen).shape)
        (7,)
    """

    reference_start: Tensor
    reference_goal: Tensor
    center: Tensor
    deviation: Tensor

    def __init__(
        self,
        *,
        observation_space: spaces.Space,
        views: int | None = None,
        latent_size: int = 64,
        encoder: Encoder | None = None,
        hidden: int = 256,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(observation_space, spaces.Box):
            raise UserError(
                f"A hop model reads a Box, got {observation_space}; choose the key of a Dict "
                "observation that holds the views."
            )
        if hidden < 1:
            raise UserError(f"hidden must be at least 1, got {hidden}.")
        self.observation_space, self.views = observation_space, views
        self.hidden, self.seed = hidden, seed
        self.view_space = _view_space(observation_space, views)
        if encoder is None:
            encoder = make_encoder(self.view_space, size=latent_size, seed=seed)
        elif encoder.input_space.shape != self.view_space.shape:
            raise UserError(
                f"The encoder reads {encoder.input_space}, a view is {self.view_space}."
            )
        self.encoder = encoder
        self.is_picture = np.issubdtype(observation_space.dtype, np.integer)
        width = (views or 1) * encoder.output_size
        with seeded(seed + 1):
            self.head = nn.Sequential(
                *(nn.Linear(7 * width, hidden), nn.ReLU()),
                *(nn.Linear(hidden, hidden), nn.ReLU()),
                nn.Linear(hidden, 1),
            )
        shape = observation_space.shape
        kind = torch.as_tensor(np.zeros((), dtype=observation_space.dtype)).dtype
        for name in ("reference_start", "reference_goal"):
            self.register_buffer(name, torch.zeros(shape, dtype=kind))
        scaled = () if self.is_picture else shape
        self.register_buffer("center", torch.zeros(scaled))
        self.register_buffer("deviation", torch.ones(scaled))

    def set_trainable(self, trainable: bool) -> None:
        """Let training change the weights or not; a frozen backbone of the encoder stays frozen."""
        never = getattr(self.encoder, "never_trained", None)
        frozen = {f"encoder.{name}" for name in never()} if never is not None else set()
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(trainable and name not in frozen)

    def standardise(self, observations: Tensor) -> None:
        """Take mean and deviation of the numbers of observations ``[N, ...]`` as their scale.

        Pictures keep their own. Numbers that do not vary keep the deviation 1.
        """
        if self.is_picture:
            return
        numbers = observations.to(torch.float32)
        deviation = numbers.std(0, unbiased=False)
        self.center.copy_(numbers.mean(0))
        varies = deviation > _SMALLEST_DEVIATION
        self.deviation.copy_(torch.where(varies, deviation, torch.ones_like(deviation)))

    def scaled(self, observations: Tensor) -> Tensor:
        """Return vectors divided by their deviation in the demonstrations, pictures unchanged."""
        if self.is_picture:
            return observations
        return (observations.to(torch.float32) - self.center) / self.deviation

    def encode(self, observation: Tensor) -> Float[Tensor, "N F"]:
        """Return the features of all views side by side.

        Raises:
            UserError: the observations do not fit the space.
        """
        self._check(observation)
        parts = [self.encode_scaled(self.scaled(rows)) for rows in observation.split(_ROWS_AT_ONCE)]
        return torch.cat(parts) if parts else torch.zeros(0, self.width, device=self.center.device)

    def encode_scaled(self, scaled: Tensor) -> Float[Tensor, "N F"]:
        """Return the features of observations that were `scaled` already."""
        count = self.views or 1
        features = self.encoder(scaled.reshape(len(scaled) * count, *self.view_space.shape))
        return features.reshape(len(scaled), self.width)

    @property
    def width(self) -> int:
        """Number of features of an observation."""
        return (self.views or 1) * self.encoder.output_size

    def compare(
        self,
        start: Float[Tensor, "N F"],
        goal: Float[Tensor, "N F"],
        before: Float[Tensor, "N F"],
        after: Float[Tensor, "N F"],
    ) -> Float[Tensor, " N"]:
        """Return the hop in [-1, 1]."""
        differences = (after - before, goal - after, goal - before)
        inputs = torch.cat([start, goal, before, after, *differences], -1)
        return torch.tanh(self.head(inputs).squeeze(-1))

    def _check(self, observation: Any) -> None:
        shape = self.observation_space.shape  # type: ignore[union-attr]
        if tuple(observation.shape[1:]) != shape:
            raise UserError(
                f"The hop model was built for observations {self.observation_space}, i.e. "
                f"[N, {', '.join(map(str, shape or ()))}], got {list(observation.shape)}."
            )


def _view_space(space: spaces.Box, views: int | None) -> spaces.Box:
    if views is None:
        return space
    if views < 1 or len(space.shape) < 2 or space.shape[0] != views:
        raise UserError(
            f"views={views} must be the first axis of the observation, which is {space.shape}; "
            "leave views out where there is only one."
        )
    shape = space.shape[1:]
    low, high = float(space.low.min()), float(space.high.max())
    if not math.isfinite(low) or not math.isfinite(high):
        low, high = -math.inf, math.inf
    return spaces.Box(low, high, shape, space.dtype.type)  # type: ignore[arg-type,union-attr]
