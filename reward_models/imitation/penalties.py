"""Gradient penalties: how steep a discriminator may be, and where that is looked at.

The gradient is that of the logit (neither of its sigmoid nor of the reward) with respect to both
parts of the input together.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from reward_models.errors import UserError

POINTS = ("none", "wgan", "dragan", "nagard", "bare")
"""Where the gradient is looked at; ``none`` does not."""

# Inside the root: a locally constant function has the gradient 0, where a root has no derivative.
_TINY = 1e-12


def penalised_points(
    kind: str,
    *,
    policy: Float[Tensor, "N D"],
    expert: Float[Tensor, "N D"],
    split: int,
    generator: torch.Generator,
    noise_std: float = 10.0,
) -> Float[Tensor, "N D"]:
    """Return the points whose gradients are penalised, cut off from any graph.

    - ``wgan``: ``eps x_p + (1 - eps) x_e`` with ``eps ~ U(0, 1)`` for each pair, drawn separately
      for the two parts of the input (Gulrajani et al. 2017).
    - ``dragan``: ``x_e + N(0, noise_std^2)`` for every number (Kodali et al. 2017).
    - ``nagard``: ``x_p + N(0, noise_std^2)`` (Blondé et al. 2022).
    - ``bare``: ``x_p`` itself.

    Args:
        kind: one of `POINTS` but ``none``.
        policy: x_p.
        expert: x_e.
        split: size of the first part of the input.
        generator: draws on the CPU.
        noise_std: deviation of the noise, in units of the input. 10 is what the released code of
            Blondé et al. uses for inputs that are not normalised.
    """
    policy, expert = policy.detach(), expert.detach()
    if kind == "bare":
        return policy
    if kind == "wgan":
        drawn = torch.rand(len(policy), 2, generator=generator).to(policy)
        sizes = torch.tensor([split, policy.shape[1] - split], device=policy.device)
        return torch.lerp(expert, policy, drawn.repeat_interleave(sizes, dim=1))
    centre = expert if kind == "dragan" else policy
    return centre + noise_std * torch.randn(centre.shape, generator=generator).to(centre)


def gradient_norm(gradient: Float[Tensor, "*n D"]) -> Float[Tensor, "*n"]:
    """Return the Euclidean norm of each row, differentiable at 0 too."""
    return (gradient.square().sum(-1) + _TINY).sqrt()


def gradient_of(
    function: Callable[[Tensor], Tensor], points: Float[Tensor, "N D"], *, create_graph: bool
) -> Float[Tensor, "N D"]:
    """Return the gradient of a function of rows ``[N, D] -> [N]`` at each point.

    Args:
        function: each value may depend on its own row only.
        points: where.
        create_graph: make the gradient differentiable with respect to the function's parameters.
    """
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        total = function(points).sum()
        if not total.requires_grad:
            return torch.zeros_like(points)
        (found,) = torch.autograd.grad(
            total, points, create_graph=create_graph, allow_unused=True, materialize_grads=True
        )
    return found


def gradient_penalty(
    norms: Float[Tensor, "*n"], *, target: float = 1.0, one_sided: bool = True
) -> Float[Tensor, "*n"]:
    """Return ``(g - k)^2`` for each norm g, or ``max(0, g - k)^2`` when one-sided.

    Args:
        norms: g.
        target: k.
        one_sided: whether gradients below the target are left alone.

    Raises:
        UserError: the target is not positive.
    """
    if not target > 0.0:
        raise UserError(f"penalty_target must be positive, got {target}.")
    excess = norms - target
    return (excess.clamp_min(0.0) if one_sided else excess).square()
