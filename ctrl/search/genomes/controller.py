"""A small tanh network whose weights are the genome."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, final

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from ctrl.search.genomes.base import Actor, GenomeKind
from ctrl.search.genomes.inputs import controller_inputs
from reward_models.errors import UserError

HIDDEN = (5, 5)
"""Units of the hidden layers unless given."""


@final
class Controller(GenomeKind):
    """A fully connected network with tanh units, in float64.

    ``h_0`` are the inputs (see `ctrl.search.genomes.inputs`), ``h_k = tanh(h_(k-1) W_k + b_k)``.
    A Box action is ``low + (tanh(h W + b) + 1) / 2 * (high - low)``; a Discrete one the index of
    the largest of ``h W + b``, the first of equal ones. A genome holds, layer after layer, the
    weights ``W`` (``[inputs, units]``, row by row) and then the biases ``b``.

    Args:
        observation_space: of one column.
        action_space: of one column; a bounded Box, or Discrete.
        hidden: units of each hidden layer; may be empty.

    Attributes:
        sizes: units of every layer, from the inputs to the outputs.

    Raises:
        UserError: an unbounded or other action space, observations that are no vectors, or a
            layer without units.

    Example:
        >>> from gymnasium import spaces
        >>> square = spaces.Box(-1.0, 1.0, (2,))
        >>> Controller(square, square, hidden=(5,)).size
        27
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        hidden: Sequence[int] = HIDDEN,
    ) -> None:
        units = [int(count) for count in hidden]
        if any(count < 1 for count in units):
            raise UserError(f"Every hidden layer needs at least one unit, got {list(hidden)}.")
        inputs, self._encode = controller_inputs(observation_space)
        self._action_space = action_space
        self.sizes = (inputs, *units, _outputs(action_space))
        self.size = sum((a + 1) * b for a, b in pairwise(self.sizes))
        if isinstance(action_space, spaces.Box):
            self._low = action_space.low.reshape(-1, 1).astype(np.float64)
            self._range = action_space.high.reshape(-1, 1).astype(np.float64) - self._low

    @property
    def hidden(self) -> tuple[int, ...]:
        """Units of the hidden layers."""
        return self.sizes[1:-1]

    def describe(self) -> dict[str, Any]:
        """Return the kind and the units of the hidden layers."""
        return {"kind": "controller", "hidden": list(self.hidden)}

    def layers(
        self, genome: NDArray[np.float64]
    ) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return weights ``[inputs, units]`` and biases ``[units]`` of every layer of a genome."""
        parts, start = [], 0
        for rows, columns in pairwise(self.sizes):
            stop = start + rows * columns
            weights = genome[start:stop].reshape(rows, columns)
            parts.append((weights, genome[stop : stop + columns]))
            start = stop + columns
        return parts

    def actor(self, genomes: NDArray[np.float64]) -> Actor:
        """Return a function that acts for genomes ``[n, D]``, one per column."""
        genomes = self.checked(genomes)
        n = len(genomes)
        if n == 1:
            # A sum over the first axis adds row after row, except that numpy adds in pairs where
            # nothing else is left; a second column keeps that from happening.
            genomes = np.repeat(genomes, 2, axis=0)
        columns = np.ascontiguousarray(genomes.T)
        layers = [
            (np.ascontiguousarray(weights), np.ascontiguousarray(biases))
            for weights, biases in _split(columns, self.sizes)
        ]

        def act(observation: Any) -> NDArray[Any]:
            inputs = self._encode(observation)
            if n == 1:
                inputs = np.repeat(inputs, 2, axis=0)
            # The genomes are the last axis: every operation is elementwise along it.
            units = np.ascontiguousarray(inputs.T)
            for weights, biases in layers[:-1]:
                units = np.tanh((units[:, None] * weights).sum(axis=0) + biases)
            weights, biases = layers[-1]
            return self._actions(((units[:, None] * weights).sum(axis=0) + biases)[:, :n])

        return act

    def _actions(self, outputs: NDArray[np.float64]) -> NDArray[Any]:
        """Turn outputs ``[A, n]`` into actions ``[n, ...]``."""
        space: Any = self._action_space
        if isinstance(space, spaces.Discrete):
            return outputs.argmax(axis=0) + space.start
        outputs = np.ascontiguousarray(outputs)
        scaled = self._low + (np.tanh(outputs) + 1.0) / 2.0 * self._range
        actions = scaled.T.reshape(-1, *space.shape).astype(space.dtype)
        return np.clip(actions, space.low, space.high)


def _split(
    columns: NDArray[np.float64], sizes: Sequence[int]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Cut genomes ``[D, n]`` into weights ``[inputs, units, n]`` and biases ``[units, n]``."""
    parts, start = [], 0
    for rows, units in pairwise(sizes):
        stop = start + rows * units
        parts.append((columns[start:stop].reshape(rows, units, -1), columns[stop : stop + units]))
        start = stop + units
    return parts


def _outputs(space: spaces.Space) -> int:
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if not isinstance(space, spaces.Box):
        raise UserError(
            f"A controller gives Box or Discrete actions, not {type(space).__name__}. Search the "
            "parameters of a policy instead (genome.kind=policy)."
        )
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise UserError(
            "A controller scales its actions to the bounds of the action space, and this one is "
            "unbounded. Put a wrapper such as gymnasium's RescaleAction around the environment."
        )
    return int(np.prod(space.shape))
