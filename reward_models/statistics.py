"""Running mean and variance over batches."""

from __future__ import annotations

import torch
from jaxtyping import Real
from torch import Tensor


class RunningStatistics(torch.nn.Module):
    """Mean and variance of everything seen, merged batch by batch (Chan et al. 1979).

    Starts at mean 0, variance 1 with the weight of ``initial_count`` samples. A batch enters with
    its unbiased variance (a batch of one: 0).

    Args:
        shape: shape of one sample; ``()`` for scalars.
        initial_count: weight of the starting values.
    """

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, *, shape: tuple[int, ...] = (), initial_count: float = 1e-4) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("count", torch.tensor(initial_count, dtype=torch.float64))

    @torch.no_grad()
    def update(self, samples: Real[Tensor, "N ..."]) -> None:
        """Merge ``N`` samples; nothing happens when there are none."""
        size = samples.shape[0]
        if size == 0:
            return
        samples = samples.to(torch.float64)
        batch_mean = samples.mean(0)
        # Two plain passes are several times faster than torch's ``var`` over the rows.
        batch_variance = (samples - batch_mean).square_().sum(0) / max(size - 1, 1)
        total = self.count + size
        delta = batch_mean - self.mean
        squares = (
            self.variance * self.count
            + batch_variance * size
            + delta.square() * self.count * size / total
        )
        self.mean += delta * size / total
        self.variance.copy_(squares / total)
        self.count.copy_(total)

    @property
    def std(self) -> Tensor:
        """Standard deviation, never negative; divide by ``std.clamp_min(1e-8)``."""
        return self.variance.clamp_min(0).sqrt()

    def normalize(self, samples: Tensor, *, clip: float = 5.0) -> Tensor:
        """Return ``(samples - mean) / std`` in float32, clipped to ``[-clip, clip]``."""
        scale = self.std.clamp_min(1e-8)
        if samples.dtype != torch.float32:
            centred = (samples - self.mean) / scale
            return centred.clamp(-clip, clip).to(torch.float32)
        # A mean of two float32 numbers is as exact as float64 here, without passes in float64.
        mean = self.mean.to(torch.float32)
        rest = (self.mean - mean).to(torch.float32)
        centred = (samples - mean).sub_(rest).div_(scale.to(torch.float32))
        return centred.clamp_(-clip, clip)
