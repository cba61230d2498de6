"""Path signatures of order 2: what a whole trajectory did, whatever time it took."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from reward_models.errors import UserError


def signature(path: Float[Tensor, "*batch S d"]) -> Float[Tensor, "*batch c"]:
    """Return the signature of piecewise linear paths, truncated at order 2.

    With ``x(t)`` the path, level 1 is ``S1_i = integral dx_i`` and level 2 is
    ``S2_ij = integral (x_i(t) - x_i(0)) dx_j(t)`` (Chen 1954; for trajectories Lyons 2014). For
    points ``x_0 ... x_S`` joined by straight lines of increments ``e_s`` that is
    ``S2 = sum_s ((x_s - x_0) + e_s / 2) e_s^T``.

    It is the same for the same path at another speed or another place, and satisfies the shuffle
    identity ``S2 + S2^T = S1 S1^T``. Append `with_time` to tell speeds apart.

    Args:
        path: at least two points of ``d`` numbers.

    Returns:
        ``[S1, S2]`` with ``c = d + d * d`` numbers, ``S2`` row by row.

    Raises:
        UserError: fewer than two points, or no number in a point.
    """
    first, second = _levels(path)
    return torch.cat([first, second.flatten(-2)], -1)


def log_signature(path: Float[Tensor, "*batch S d"]) -> Float[Tensor, "*batch c"]:
    """Return the logarithm of the signature, truncated at order 2.

    Level 1 is ``S1``; level 2 keeps what the shuffle identity does not tell from it already, the
    Levy areas ``A_ij = (S2_ij - S2_ji) / 2`` for ``i < j``: the signed areas between the path and
    its chord in every plane.

    Args:
        path: at least two points of ``d`` numbers.

    Returns:
        ``[S1, A]`` with ``c = d + d * (d - 1) / 2`` numbers, ``A`` row by row.

    Raises:
        UserError: fewer than two points, or no number in a point.
    """
    first, second = _levels(path)
    return torch.cat([first, levy_areas(second)], -1)


def levy_areas(second: Float[Tensor, "*batch d d"]) -> Float[Tensor, "*batch c"]:
    """Return ``(S2_ij - S2_ji) / 2`` for ``i < j``, row by row, of second levels."""
    size = second.shape[-1]
    row, column = torch.triu_indices(size, size, 1, device=second.device)
    return (second[..., row, column] - second[..., column, row]) / 2.0


def with_time(
    path: Float[Tensor, "*batch S d"], time: Float[Tensor, "*batch S"]
) -> Float[Tensor, "*batch S e"]:
    """Return the path with the time of each point as its last coordinate.

    Args:
        path: points of ``d`` numbers.
        time: of each point, as a fraction of the longest possible time: ``t / T_max``.
    """
    return torch.cat([path, time.unsqueeze(-1).to(path)], -1)


def _levels(path: Tensor) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch d d"]]:
    if path.ndim < 2 or path.shape[-2] < 2 or not path.shape[-1]:
        raise UserError(
            "A signature needs paths [..., S, d] of at least S = 2 points with d >= 1 numbers, "
            f"got shape {list(path.shape)}; sample the episode more often."
        )
    steps = path.diff(dim=-2)
    middle = path[..., :-1, :] - path[..., :1, :] + steps / 2.0
    return steps.sum(-2), middle.mT @ steps
