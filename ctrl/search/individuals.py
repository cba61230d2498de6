"""Individuals: evaluated genomes with their descriptors and where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ctrl.search.descriptors import Descriptor
from ctrl.search.episodes import Episodes
from reward_models.errors import UserError

NOBODY = -1
"""Parent of an individual that was drawn; generation of one that was not stored."""


@final
@dataclass(frozen=True, eq=False)
class Individuals:
    """``n`` evaluated genomes in columns, so that a selection is a choice of rows.

    The number of its evaluation names an individual. Choosing rows copies them: what is kept in
    two places shares no memory.

    Attributes:
        episodes: what they did, ``n`` rows.
        descriptor: float64 ``[n, b]``, by the descriptor of the search in its present version.
        surprise: float64 ``[n]``, of a learned descriptor; 0 otherwise.
        parent: int64 ``[n]``, the evaluation of the genome it was mutated from, or ``NOBODY``.
        ancestor: int64 ``[n]``, the evaluation of the first of its line; its own when drawn.
        born: int64 ``[n]``, generation in which it was evaluated.
        stored: int64 ``[n]``, generation in which it came into an archive, or ``NOBODY``.
        spawned: bool ``[n]``, whether an emitter was started from it. Goes along with copies.
    """

    episodes: Episodes
    descriptor: NDArray[np.float64]
    surprise: NDArray[np.float64]
    parent: NDArray[np.int64]
    ancestor: NDArray[np.int64]
    born: NDArray[np.int64]
    stored: NDArray[np.int64]
    spawned: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.episodes)

    def __getitem__(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Individuals:
        """Return copies of some rows."""
        return Individuals(
            **{field.name: getattr(self, field.name)[rows] for field in fields(self)}
        )

    @property
    def evaluation(self) -> NDArray[np.int64]:
        """The name of each, int64 ``[n]``."""
        return self.episodes.evaluation

    @property
    def genomes(self) -> NDArray[np.float64]:
        """The genomes, ``[n, D]``."""
        return self.episodes.genomes

    @property
    def reward(self) -> NDArray[np.float64]:
        """The rewards of the episodes, ``[n]``."""
        return self.episodes.reward

    @staticmethod
    def of(
        episodes: Episodes,
        descriptor: Descriptor,
        *,
        generation: int,
        parents: Individuals | None = None,
    ) -> Individuals:
        """Return the individuals of new episodes.

        Args:
            episodes: of ``n`` genomes.
            descriptor: what describes them.
            generation: the one they are born in.
            parents: ``n`` rows, the parent of each; None when they were drawn.

        Raises:
            UserError: a reward or a descriptor is NaN or infinite, or of the wrong shape.
        """
        count = len(episodes)
        if not np.isfinite(episodes.reward).all():
            row = int(np.flatnonzero(~np.isfinite(episodes.reward))[0])
            raise UserError(
                f"The reward of an episode must be finite, got {episodes.reward[row]} for "
                f"evaluation {episodes.evaluation[row]}."
            )
        codes, surprise = _described(descriptor, episodes)
        nobody = np.full(count, NOBODY, dtype=np.int64)
        return Individuals(
            episodes=episodes,
            descriptor=codes,
            surprise=surprise,
            parent=nobody if parents is None else parents.evaluation.copy(),
            ancestor=(episodes.evaluation if parents is None else parents.ancestor).copy(),
            born=np.full(count, generation, dtype=np.int64),
            stored=nobody.copy(),
            spawned=np.zeros(count, dtype=bool),
        )

    @staticmethod
    def joined(parts: Sequence[Individuals]) -> Individuals:
        """Return several groups one after the other, copied.

        Raises:
            UserError: there are none, or their descriptors differ in length.
        """
        sizes = {part.descriptor.shape[1] for part in parts}
        if len(sizes) > 1:
            raise UserError(
                f"Descriptors of {sorted(sizes)} numbers cannot be compared: a descriptor that "
                "changes its size must count up its version, so that all are described again."
            )
        episodes = Episodes.joined([part.episodes for part in parts])
        return Individuals(
            episodes=episodes,
            **{
                field.name: np.concatenate([getattr(part, field.name) for part in parts])
                for field in fields(Individuals)
                if field.name != "episodes"
            },
        )

    def described_again(self, descriptor: Descriptor) -> Individuals:
        """Return the same individuals with the descriptor's present codes and surprises."""
        codes, surprise = _described(descriptor, self.episodes)
        return replace(self, descriptor=codes, surprise=surprise)

    def flagged(self, rows: NDArray[np.int64]) -> Individuals:
        """Return the same individuals, of which ``rows`` have spawned an emitter."""
        spawned = self.spawned.copy()
        spawned[rows] = True
        return replace(self, spawned=spawned)

    def archived(self, generation: int) -> Individuals:
        """Return the same individuals as stored in ``generation``."""
        return replace(self, stored=np.full(len(self), generation, dtype=np.int64))

    def state_dict(self) -> dict[str, Any]:
        """Return the columns as arrays."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**columns, "episodes": vars(self.episodes).copy()}

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> Individuals:
        """Return what `state_dict` was taken of."""
        columns = {name: value for name, value in state.items() if name != "episodes"}
        return Individuals(episodes=Episodes(**state["episodes"]), **columns)


def _described(
    descriptor: Descriptor, episodes: Episodes
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    codes = np.asarray(descriptor.describe(episodes), dtype=np.float64)
    surprise = np.asarray(descriptor.surprise(episodes), dtype=np.float64)
    for name, found, expected in (
        ("descriptors", codes, (len(episodes), descriptor.size)),
        ("surprises", surprise, (len(episodes),)),
    ):
        if found.shape != expected:
            raise UserError(
                f"{type(descriptor).__name__} must return {name} of shape {list(expected)}, got "
                f"{list(found.shape)}."
            )
        if not np.isfinite(found).all():
            raise UserError(
                f"{type(descriptor).__name__} returned {name} with NaN or infinity; a behaviour "
                "that cannot be described cannot be compared. Check the episodes' samples."
            )
    return codes, surprise
