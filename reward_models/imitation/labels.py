"""Smoothing of the labels that a discriminator learns: softer targets than zero and one."""

from __future__ import annotations

import math
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from reward_models.errors import UserError

KINDS = ("none", "random-uniform", "soft-labels", "disturb-label")


@final
class LabelSmoothing:
    """What becomes of labels 0 and 1, written as one text.

    ======================  ==========================================================
    text                    label
    ======================  ==========================================================
    ``none``                ``y``
    ``random-uniform_a_b``  a number of U(a, b), whatever ``y`` was; may exceed 1
    ``soft-labels_a``       ``(1 - a) y + a / 2``, a in [0, 1]
    ``disturb-label_a``     ``1 - y`` with the probability a in [0, 1], else ``y``
    ======================  ==========================================================

    Args:
        text: one of these.

    Raises:
        UserError: another text, or numbers out of their range.

    Example:
        >>> LabelSmoothing("soft-labels_0.2")(torch.ones(1), torch.Generator())
        tensor([0.9000])
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.kind, *numbers = text.split("_")
        counts = {"none": 0, "random-uniform": 2, "soft-labels": 1, "disturb-label": 1}
        try:
            self.numbers = tuple(float(number) for number in numbers)
        except ValueError:
            self.numbers = (math.nan,)
        if len(self.numbers) != counts.get(self.kind, -1) or not all(
            map(math.isfinite, self.numbers)
        ):
            raise UserError(
                "Label smoothing is written 'none', 'random-uniform_0.7_1.2', 'soft-labels_0.1' "
                f"or 'disturb-label_0.1', got {text!r}."
            )
        if self.kind == "random-uniform":
            if self.numbers[0] > self.numbers[1]:
                raise UserError(f"{text!r}: the first number must not exceed the second.")
        elif any(not 0.0 <= number <= 1.0 for number in self.numbers):
            raise UserError(f"{text!r}: the number must lie in [0, 1].")

    def __call__(
        self, labels: Float[Tensor, " N"], generator: torch.Generator
    ) -> Float[Tensor, " N"]:
        """Return the smoothed labels; the generator, on the CPU, draws what is random."""
        if self.kind == "none":
            return labels
        if self.kind == "soft-labels":
            return (1.0 - self.numbers[0]) * labels + self.numbers[0] / 2.0
        drawn = torch.rand(labels.shape, generator=generator).to(labels)
        if self.kind == "random-uniform":
            low, high = self.numbers
            return low + (high - low) * drawn
        return torch.where(drawn < self.numbers[0], 1.0 - labels, labels)
