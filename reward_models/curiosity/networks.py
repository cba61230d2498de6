"""What the curiosity models share: prediction errors, actions as numbers, observation scaling."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from gymnasium import spaces
from jaxtyping import Bool, Float
from tensordict import TensorDict
from torch import Tensor, nn
from torch.nn import functional as F

from reward_models.encoders import Encoder, OneHot, VectorEncoder, encoder_class, make_encoder
from reward_models.errors import UserError
from reward_models.rollout import Rollout
from reward_models.statistics import RunningStatistics

# What a hidden layer of 256 numbers makes of so many rows stays in a processor's second cache.
_ROWS_AT_ONCE = 512


def prediction_error(
    prediction: Float[Tensor, "*batch D"], target: Float[Tensor, "*batch D"]
) -> Float[Tensor, "*batch"]:
    """Return the squared error of each row, averaged over its ``D`` features."""
    return F.mse_loss(prediction, target, reduction="none").mean(-1)


def in_chunks(function: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """Apply a function of rows ``[N, ...]`` to 512 rows at a time, which bounds its memory."""
    size = inputs[0].shape[0]
    if size <= _ROWS_AT_ONCE:
        return function(*inputs)
    chunks = zip(*(rows.split(_ROWS_AT_ONCE) for rows in inputs), strict=True)
    return torch.cat([function(*chunk) for chunk in chunks])


def over_transitions(
    function: Callable[..., Tensor],
    encode: Callable[[Any], Float[Tensor, "N D"]],
    before: Any,
    after: Any,
    *others: Tensor,
) -> Float[Tensor, " N"]:
    """Apply a function to the features before and after every step, in chunks of rows.

    Where what follows a step is what the next step begins with, it is encoded once for both. With
    gradients enabled nothing is shared, so that each entry receives its own gradient.

    Args:
        function: of rows of features before and after ``[n, D]`` and of ``others``; gives ``[n]``.
        encode: observations ``[n, ...]`` -> features ``[n, D]``.
        before: what every step begins with, ``[T, B, ...]`` tensor or ``TensorDict``.
        after: its successor, likewise.
        others: rows ``[T * B, ...]`` in the order of time.

    Returns:
        What ``function`` gives for all ``T * B`` rows.
    """
    steps, columns = before.shape[:2]
    follows = None if torch.is_grad_enabled() or steps == 1 else _equal_rows(before[1:], after[:-1])
    if follows is None or 2 * int(follows.sum()) < follows.numel():
        pairs = (flat_steps(before), flat_steps(after), *others)
        return in_chunks(lambda b, a, *rest: function(encode(b), encode(a), *rest), *pairs)
    # Backwards in time, so that the features of a chunk's last successors are known already.
    at_once, found, following = max(_ROWS_AT_ONCE // columns, 1), [], encode(after[-1])
    for start in range((steps - 1) // at_once * at_once, -1, -at_once):
        stop = min(start + at_once, steps)
        rows, size = slice(start * columns, stop * columns), (stop - start) * columns
        # The successors of the rollout's last step are encoded already, they are never apart.
        apart = (~follows[start:stop]).flatten().nonzero().squeeze(-1)
        inputs = flat_steps(before[start:stop])
        if len(apart):
            inputs = torch.cat([inputs, flat_steps(after[start:stop])[apart]])
        features = encode(inputs)
        successors = torch.cat([features[columns:size], following])
        successors.index_copy_(0, apart, features[size:])
        following = features[:columns]
        found.append(function(features[:size], successors, *(other[rows] for other in others)))
    return torch.cat(found[::-1])


def flat_steps(inputs: Any) -> Any:
    """Return ``[T, B, ...]`` as rows ``[T * B, ...]``."""
    return inputs.flatten(0, 1)


def real_steps(inputs: Any, real: Bool[Tensor, "T B"]) -> Any:
    """Return the steps of ``[T, B, ...]`` where ``real``, as rows ``[N, ...]``, cut off a graph."""
    rows = flat_steps(inputs) if bool(real.all()) else inputs[real]
    return rows.detach()


def require_finite(name: str, inputs: Any) -> None:
    """Refuse to learn from NaN or infinity, which no running statistic would recover from.

    Raises:
        UserError: names the entry and says how many values are not finite.
    """
    if isinstance(inputs, Tensor):
        if not inputs.is_floating_point() or bool(inputs.sum().isfinite()):
            return  # one pass in most cases: a sum is finite only when all its parts are
        if not bool(inputs.isfinite().all()):
            raise UserError(
                f"{name} must be finite to learn from, got {int((~inputs.isfinite()).sum())} "
                f"values of {inputs.numel()} that are NaN or infinite."
            )
        return
    for key in inputs.keys():  # noqa: SIM118 - a TensorDict iterates over its batch
        require_finite(f"{name}.{key}", inputs[key])


def _equal_rows(first: Any, second: Any) -> Bool[Tensor, "T B"]:
    """Return where two entries ``[T, B, ...]`` hold the same numbers."""
    if isinstance(first, Tensor):
        same = first == second
        return same.flatten(2).all(-1) if same.ndim > 2 else same
    parts = [_equal_rows(first[key], second[key]) for key in first.keys()]  # noqa: SIM118
    return torch.stack(parts).all(0)


class ObservationNormalizer(nn.Module):
    """Observation vectors as ``clip((x - mean) / std, -5, 5)`` with running mean and deviation.

    Per dimension. Images, codes and discrete values pass unchanged: their encoders bring them to
    scale. Before the first ``update`` the mean is 0 and the deviation 1.

    Args:
        space: space of one observation.
        enabled: when false, everything passes unchanged.
    """

    def __init__(self, *, space: spaces.Space, enabled: bool = True) -> None:
        super().__init__()
        self.keys: tuple[str, ...] = ()
        self.statistics: RunningStatistics | None = None
        if not enabled:
            return
        if isinstance(space, spaces.Dict):
            self.keys = tuple(space)
            self.parts = nn.ModuleList(ObservationNormalizer(space=space[key]) for key in self.keys)
        elif isinstance(space, spaces.Box) and encoder_class(space) is VectorEncoder:
            self.statistics = RunningStatistics(shape=space.shape)

    def update(self, inputs: Any) -> None:
        """Learn from the rows ``[N, ...]``."""
        if self.statistics is not None:
            self.statistics.update(inputs)
        for key, part in zip(self.keys, self._parts(), strict=True):
            part.update(inputs[key])

    def forward(self, inputs: Any) -> Any:
        """Return the inputs, vectors normalised to float32; any leading sizes."""
        if self.statistics is not None:
            return self.statistics.normalize(inputs)
        if not self.keys:
            return inputs
        scaled = {
            key: part(inputs[key]) for key, part in zip(self.keys, self._parts(), strict=True)
        }
        return TensorDict(scaled, batch_size=inputs.batch_size)

    def _parts(self) -> list[ObservationNormalizer]:
        return list(self.parts) if self.keys else []  # type: ignore[arg-type]


class ActionCode(nn.Module):
    """Actions as rows of numbers, and the loss of predicting them.

    Discrete actions become zeros and ones, one group for each component, and are predicted by
    logits with the cross-entropy averaged over components. Box actions are numbers as they are,
    predicted with the squared error averaged over the ``A`` numbers.

    Args:
        space: Discrete, MultiDiscrete, MultiBinary or Box space of one action.

    Attributes:
        size: length ``A`` of a row.

    Raises:
        UserError: another kind of space.
    """

    def __init__(self, *, space: spaces.Space) -> None:
        super().__init__()
        self.space = space
        self.one_hot: OneHot | None = None
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
            self.one_hot = OneHot(space)
            self.size = self.one_hot.output_size
        elif isinstance(space, spaces.Box):
            self.size = math.prod(space.shape)
        else:
            raise UserError(
                f"An inverse model needs a Discrete, MultiDiscrete, MultiBinary or Box action "
                f"space, got {space}."
            )

    def forward(self, action: Tensor) -> Float[Tensor, "N A"]:
        """Return the actions ``[N, ...]`` as rows.

        Raises:
            UserError: actions that do not belong to the space.
        """
        components = self.size if self.one_hot is None else len(self.one_hot.counts)
        if math.prod(action.shape[1:]) != components:
            raise UserError(
                f"action must hold {components} number(s) per step as its space {self.space} "
                f"says, got shape [N, ...] = {list(action.shape)}."
            )
        if self.one_hot is not None:
            return self.one_hot(action)
        return action.reshape(len(action), self.size).to(torch.float32)

    def loss(
        self, prediction: Float[Tensor, "N A"], code: Float[Tensor, "N A"]
    ) -> Float[Tensor, " N"]:
        """Return how badly each row was predicted."""
        if self.one_hot is None:
            return prediction_error(prediction, code)
        groups = self.one_hot.counts
        log_probs = [F.log_softmax(logits, -1) for logits in prediction.split(groups, dim=-1)]
        return -(torch.cat(log_probs, -1) * code).sum(-1) / len(groups)


def chosen_encoder(
    encoder: Encoder | None,
    observation_space: spaces.Space,
    latent_size: int,
    keys: Sequence[str] | None,
    seed: int,
) -> Encoder:
    """Return a copy of the user's encoder, or a new one that fits the space.

    Raises:
        UserError: ``keys`` together with an encoder, which has chosen its own inputs already.
    """
    if encoder is None:
        return make_encoder(observation_space, size=latent_size, seed=seed, keys=keys)
    if keys is not None:
        raise UserError(
            "Pass either keys or an encoder; with an encoder, choose keys where it is made: "
            "make_encoder(space, keys=[...])."
        )
    return copy.deepcopy(encoder)


def action_rows(actions: ActionCode, rollout: Rollout) -> Float[Tensor, "N A"]:
    """Return the actions of all steps as rows ``N = T * B``; zeros on padding, which says nothing.

    Raises:
        UserError: actions that do not belong to the space.
    """
    if bool(rollout.mask.all()):
        return actions(rollout.action.flatten(0, 1))
    rows = torch.zeros(rollout.T * rollout.B, actions.size, device=rollout.device)
    real = rollout.mask.flatten()
    return rows.index_put((real,), actions(rollout.action[rollout.mask]))
