"""Training a hop model on demonstrations, and fitting it to a new goal by one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from reward_models.curiosity.training import Losses, MinibatchTrainer
from reward_models.errors import UserError
from reward_models.progress.discretisation import sampled_frames
from reward_models.progress.hop_model import HopModel
from reward_models.progress.sampling import reference_episodes, training_pairs


@final
@dataclass(frozen=True)
class HopTraining:
    """How a hop model learns: ``mean (H(before, after) - label)^2`` over pairs of moments.

    Attributes:
        epochs: passes over all pairs.
        batch_size: pairs in a minibatch.
        learning_rate: Adam's.
        factor: frames per sampled moment, see `sampled_frames`; 1 takes every frame.
        pairs: balanced pairs per demonstration; None takes all ordered pairs.
        zero_ratio: share of pairs without progress.
        swap_probability: how often references come from another demonstration of the same task.
        jitter: standard deviation of noise on the (standardised) numbers, drawn anew in every
            minibatch; makes a model of few demonstrations smooth. Not for pictures.
        seed: of everything drawn.

    Raises:
        UserError: a number out of its range.
    """

    epochs: int = 200
    batch_size: int = 256
    learning_rate: float = 1e-3
    factor: int = 1
    pairs: int | None = None
    zero_ratio: float = 0.05
    swap_probability: float = 0.75
    jitter: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what is not checked where it is used."""
        if not 0.0 <= self.jitter < float("inf"):
            raise UserError(f"jitter must not be negative, got {self.jitter}.")

    def fit(
        self,
        model: HopModel,
        demonstrations: Sequence[Any],
        *,
        segments: Sequence[Sequence[tuple[int, int]] | None] | None = None,
        tasks: Sequence[int] | None = None,
        standardise: bool = True,
    ) -> dict[str, float]:
        """Train the model; its references become the ends of the first demonstration.

        Args:
            model: what is trained.
            demonstrations: observations ``[L, *observation]`` of each, in order, reaching the goal.
            segments: annotated phases of each demonstration, see `sampled_frames`.
            tasks: number of the task of each; None means one task.
            standardise: take the scale of vectors from these demonstrations; False keeps the one
                that the model has, as when it is adapted.

        Returns:
            ``loss``, averaged over the last epoch, ``pairs``, their number, and ``frames``.

        Raises:
            UserError: no demonstration, or one that does not fit the model.
        """
        frames, pairs, references = self._samples(model, demonstrations, segments, tasks)
        if standardise:
            model.standardise(frames)
        if self.jitter and model.is_picture:
            raise UserError("jitter is for vectors; leave it out for pictures.")
        first = torch.as_tensor(demonstrations[0])
        model.reference_start.copy_(first[0])
        model.reference_goal.copy_(first[-1])
        generator = torch.Generator().manual_seed(self.seed)
        trainer = MinibatchTrainer(
            model.parameters(),
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            seed=self.seed + 1,
        )

        def losses(rows: Tensor, hops: Tensor) -> Losses:
            # Every frame of the minibatch passes the encoder once, whatever it is compared with.
            used, places = rows.unique(return_inverse=True)
            seen = model.scaled(frames[used])
            if self.jitter:
                seen = seen + self.jitter * torch.randn(seen.shape, generator=generator).to(seen)
            features = model.encode_scaled(seen)
            found = model.compare(*(features[place] for place in places.unbind(1)))
            return {"loss": (found - hops).square()}

        rows, hops = torch.cat([references, pairs[0]], 1), pairs[1]
        metrics: dict[str, float] = {}
        for _ in range(self.epochs):
            metrics = trainer.minimize((rows, hops), losses)
        return {**metrics, "pairs": float(len(hops)), "frames": float(len(frames))}

    def _samples(
        self,
        model: HopModel,
        demonstrations: Sequence[Any],
        segments: Sequence[Sequence[tuple[int, int]] | None] | None,
        tasks: Sequence[int] | None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        """Return all frames, pairs of their numbers with labels, and the numbers of references."""
        if not len(demonstrations):
            raise UserError("Expected at least one demonstration.")
        cuts = [None] * len(demonstrations) if segments is None else list(segments)
        labels = [0] * len(demonstrations) if tasks is None else list(tasks)
        if not len(cuts) == len(labels) == len(demonstrations):
            raise UserError(
                f"Expected segments and tasks for each of {len(demonstrations)} demonstrations, "
                f"got {len(cuts)} and {len(labels)}."
            )
        generator = np.random.default_rng(self.seed)
        arrays = [torch.as_tensor(each) for each in demonstrations]
        starts = np.cumsum([0, *(len(each) for each in arrays)])
        rows, hops, episodes = [], [], []
        for number, (array, cut) in enumerate(zip(arrays, cuts, strict=True)):
            if tuple(array.shape[1:]) != model.observation_space.shape:  # type: ignore[union-attr]
                raise UserError(
                    f"Demonstration {number} has frames of shape {tuple(array.shape[1:])}, the "
                    f"model reads {model.observation_space}."
                )
            sampled = sampled_frames(len(array), segments=cut, factor=self.factor)
            pairs = training_pairs(
                sampled, len(array), generator, count=self.pairs, zero_ratio=self.zero_ratio
            )
            rows.append(torch.stack([pairs.before, pairs.after], 1) + int(starts[number]))
            hops.append(pairs.hop)
            episodes.append(np.full(len(pairs), number))
        used = torch.as_tensor(
            reference_episodes(
                np.concatenate(episodes),
                np.array(labels),
                generator,
                swap_probability=self.swap_probability,
            )
        )
        ends = torch.as_tensor(np.stack([starts[:-1], starts[1:] - 1], 1))
        return torch.cat(arrays), (torch.cat(rows), torch.cat(hops)), ends[used]
