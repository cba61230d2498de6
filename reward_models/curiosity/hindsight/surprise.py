"""From raw prediction errors to the reward of BYOL-Explore: only above-average surprise counts."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reward_models.errors import UserError

_SMALLEST_DEVIATION = 1e-8
_ROUNDING = 1e-14


class SurpriseNormalizer(nn.Module):
    """``max((l - mu) / sigma, 0)`` with moving averages over batches (Guo et al. 2022).

    ``mu`` and ``sigma^2 = max(E[l^2] - mu^2, 0)`` come from exponential moving averages of the
    batches' mean and mean square, which start at 0 and are divided by ``1 - decay^n`` after ``n``
    batches. The batch that is normalised belongs to the averages already: ``forward`` computes
    them as if it did, and ``update`` makes it so. Where nothing varies the reward is 0.

    Args:
        decay: of the moving averages, in [0, 1).

    Raises:
        UserError: ``decay`` out of its range.
    """

    moments: Tensor
    batches: Tensor

    def __init__(self, *, decay: float = 0.99) -> None:
        super().__init__()
        if not 0.0 <= decay < 1.0:
            raise UserError(f"The decay of the reward's averages must lie in [0, 1), got {decay}.")
        self.decay = decay
        self.register_buffer("moments", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, errors: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Return the rewards of one batch of raw errors; nothing changes."""
        if not len(errors):
            return errors
        mean, deviation = self._read(self._merged(errors), int(self.batches) + 1)
        if deviation < _SMALLEST_DEVIATION:
            return torch.zeros_like(errors)
        return ((errors.to(torch.float64) - mean) / deviation).clamp_min(0.0).to(errors.dtype)

    @torch.no_grad()
    def update(self, errors: Float[Tensor, " N"]) -> None:
        """Merge one batch of raw errors; nothing happens when it is empty."""
        if len(errors):
            self.moments.copy_(self._merged(errors))
            self.batches += 1

    @property
    def mean(self) -> float:
        """Bias-corrected average of the raw errors, 0 before the first batch."""
        return self._read(self.moments, int(self.batches))[0]

    @property
    def deviation(self) -> float:
        """Their bias-corrected deviation, 0 before the first batch."""
        return self._read(self.moments, int(self.batches))[1]

    def _merged(self, errors: Tensor) -> Tensor:
        errors = errors.detach().to(torch.float64)
        new = torch.stack([errors.mean(), errors.square().mean()])
        return self.decay * self.moments + (1.0 - self.decay) * new

    def _read(self, moments: Tensor, batches: int) -> tuple[float, float]:
        if not batches:
            return 0.0, 0.0
        mean, square = (moments / (1.0 - self.decay**batches)).tolist()
        variance = square - mean * mean
        # The difference of two equal numbers: what is left of it is rounding.
        return mean, 0.0 if variance < _ROUNDING * square else variance**0.5
