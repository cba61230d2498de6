"""Progress from hops in three ways: step by step, from the start, and from the goal."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def incremental_step(
    progress: Float[Tensor, "*batch"], hop: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """Return the progress after one step: ``P + (1 - P) h`` forwards and ``P + P h`` backwards.

    From ``P`` in [0, 1] every ``h`` in [-1, 1] leads into [0, 1].
    """
    return progress + torch.where(hop >= 0, 1.0 - progress, progress) * hop


def incremental(
    hops: Float[Tensor, "T ..."], start: float | Float[Tensor, "*batch"] = 0.0
) -> Float[Tensor, "T ..."]:
    """Return the progress after every step of hops ``h(s_{t-1}, s_t)``, errors adding up.

    Args:
        hops: in [-1, 1].
        start: progress before the first step.
    """
    progress = torch.as_tensor(start, dtype=hops.dtype).expand(hops.shape[1:])
    found = []
    for hop in hops:
        progress = incremental_step(progress, hop)
        found.append(progress)
    return torch.stack(found) if found else hops.clone()


def forward_anchored(hop: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Return the progress that hops ``h(s_init, s_t)`` say: the hops themselves."""
    return hop


def backward_anchored(hop: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Return the progress that hops ``h(s_goal, s_t)`` say: ``1 + h``."""
    return 1.0 + hop
