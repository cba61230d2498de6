"""Steps as a model of embeddings learns from them, in shuffled minibatches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from reward_models.curiosity.training import MinibatchTrainer


class Experience(NamedTuple):
    """Steps to learn from or to reward, ``[T, B, ...]`` each.

    Attributes:
        before: what the encoder reads before each step, normalised.
        after: what the target encoder reads after it, normalised.
        action: as numbers.
        episode: number of the episode, -1 on padding.
        known: the step is real and what came after it is known.
    """

    before: Any
    after: Any
    action: Float[Tensor, "T B A"]
    episode: Int[Tensor, "T B"]
    known: Bool[Tensor, "T B"]

    def part(self, index: Any) -> Experience:
        """Return the steps that an index of the first sizes picks."""
        return Experience(*(entry[index] for entry in self))


def shuffled_minibatches(experience: Experience, trainer: MinibatchTrainer) -> Iterator[Experience]:
    """Return minibatches of the known steps as ``[1, n, ...]``, shuffled, each step once.

    Args:
        experience: ``[T, B, ...]``.
        trainer: whose generator shuffles, and whose ``batch_size`` is the most steps ``n``.
    """
    rows = experience.known.flatten().nonzero().squeeze(-1)
    flat = Experience(*(cast(Any, entry).flatten(0, 1) for entry in experience))
    generator = torch.Generator()
    generator.set_state(trainer.generator_state.cpu())
    order = torch.randperm(len(rows), generator=generator).to(rows.device)
    trainer.generator_state.copy_(generator.get_state())
    for picked in order.split(trainer.batch_size):
        yield flat.part(rows[picked].unsqueeze(0))


def without_padding(inputs: Any, real: Bool[Tensor, "T B"]) -> Any:
    """Put a real step's input where there is none: what lies there must not reach a gradient."""
    if bool(real.all()) or not bool(real.any()):
        return inputs
    cleaned = inputs.clone()
    first = inputs[real][:1]
    cleaned[~real] = first.expand(int((~real).sum()), *first.shape[1:])
    return cleaned
