"""The contract of a genome: its length, how many of them act at once, and its description."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from reward_models.errors import UnknownNameError, UserError

Actor = Callable[[Any], NDArray[Any]]
"""Observations of ``n`` columns (an array ``[n, ...]`` or a dict of such) to actions ``[n, ...]``.

Column ``i`` is acted on by genome ``i``. Actors keep nothing from one call to the next.
"""

KINDS = ("controller", "policy")
"""What ``genome.kind`` can be."""


class GenomeKind(ABC):
    """What a flat float64 vector means, for one observation and one action space.

    What a genome does depends on its own numbers and its own observations only, to the last bit:
    never on how many genomes act beside it.

    Attributes:
        size: length of a genome, D.
    """

    size: int

    @abstractmethod
    def actor(self, genomes: NDArray[np.float64]) -> Actor:
        """Return a function that acts for genomes ``[n, D]``, one per column.

        Raises:
            UserError: not of the shape ``[n, D]`` with at least one row.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return plain data from which `make_genome_kind` makes an equal kind for equal spaces."""

    def checked(self, genomes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return genomes as float64 ``[n, D]``.

        Raises:
            UserError: another shape, no rows, or a number that is not finite.
        """
        genomes = np.asarray(genomes, dtype=np.float64)
        if genomes.ndim != 2 or genomes.shape[1] != self.size or not len(genomes):
            raise UserError(
                f"Expected genomes of shape [n, {self.size}] with n >= 1, got "
                f"{list(genomes.shape)}."
            )
        if not np.isfinite(genomes).all():
            row, gene = (int(index) for index in np.argwhere(~np.isfinite(genomes))[0])
            raise UserError(
                f"Gene {gene} of genome {row} is {genomes[row, gene]}; genes must be finite."
            )
        return genomes


def make_genome_kind(
    description: Mapping[str, Any],
    *,
    observation_space: spaces.Space,
    action_space: spaces.Space,
) -> GenomeKind:
    """Make the kind that a description names.

    Args:
        description: ``{"kind": "controller", "hidden": [5, 5]}`` or
            ``{"kind": "policy", "algo": "ppo", "policy_kwargs": {...}}``; everything but ``kind``
            may be left out.
        observation_space: of one column.
        action_space: of one column.

    Raises:
        UnknownNameError: an unknown kind or key, with the nearest valid one.
        UserError: spaces that the kind cannot act in, with the cure.
    """
    from ctrl.search.genomes.controller import Controller
    from ctrl.search.genomes.policy import PolicyGenome

    given = dict(description)
    kind = str(given.pop("kind", "controller"))
    if kind not in KINDS:
        raise UnknownNameError("kind of genome", kind, KINDS)
    valid = ("hidden",) if kind == "controller" else ("algo", "policy_kwargs")
    for key in given:
        if key not in valid:
            raise UnknownNameError(f"setting of the genome kind {kind!r}", str(key), valid)
    if kind == "controller":
        return Controller(observation_space, action_space, **given)
    return PolicyGenome(observation_space, action_space, **given)
