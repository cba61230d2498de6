"""How steep rewards are, and what that says about the steepness of values."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from reward_models.base import RewardModel, split_output
from reward_models.errors import UserError
from reward_models.imitation.penalties import gradient_norm
from reward_models.rollout import Rollout


def validity(norms: Float[Tensor, "*n"], k: float = 1.0) -> float:
    """Return the share of gradient norms that are at most k ("C-validity"), in [0, 1].

    Blondé et al. (2022) call a discriminator valid at a transition when ``||grad D|| <= k`` there.
    NaN when there are no norms.

    Raises:
        UserError: k is not positive.
    """
    if not k > 0.0:
        raise UserError(f"k must be positive, got {k}.")
    return float((norms <= k).float().mean())


def reward_gradient_norms(model: RewardModel, rollout: Rollout) -> Float[Tensor, "T B"]:
    """Return the norm of the reward's gradient with respect to observation and action together.

    Actions and observations that are whole numbers count as constants. Each reward must depend on
    its own transition only; a model whose value does not depend on these numbers has the norm 0.

    Args:
        model: any reward.
        rollout: where; observations must be one tensor.

    Raises:
        UserError: nested observations, or neither observations nor actions are real numbers.
    """
    if not isinstance(rollout.observation, Tensor):
        raise UserError(
            "Gradients with respect to nested observations are not defined here; use a model that "
            "measures its own (`gradient_norms`), or the gradients of a forward model."
        )
    parts = {
        name: value.detach().clone().requires_grad_()
        for name, value in (("observation", rollout.observation), ("action", rollout.action))
        if value.is_floating_point()
    }
    if not parts:
        raise UserError("Neither observations nor actions are real numbers: there is no gradient.")
    reward, _ = split_output(model(rollout.detach().replace(**parts), gradient=True))
    if not reward.requires_grad:
        return torch.zeros(rollout.T, rollout.B, device=rollout.device)
    with torch.enable_grad():
        total = reward[rollout.mask].sum()
    found = torch.autograd.grad(
        total, list(parts.values()), allow_unused=True, materialize_grads=True
    )
    rows = torch.cat([part.reshape(rollout.T, rollout.B, -1).float() for part in found], -1)
    return gradient_norm(rows)


def value_bound(
    delta: float, *, gamma: float, dynamics: float, policy: float, horizon: int | None = None
) -> float:
    """Return a bound on the Lipschitz constant of Q by the triangle inequality.

    ``delta sum_{k < T} c^k`` with ``c = gamma A sqrt(1 + B^2)``, which is ``delta / (1 - c)``
    without a horizon: a change of state and action changes the next state by A times as much, and
    the next state and action together by ``sqrt(1 + B^2)`` times that. It holds for deterministic
    dynamics and policies.

    Args:
        delta: Lipschitz constant of the reward in state and action.
        gamma: discount.
        dynamics: A, of the next state in state and action.
        policy: B, of the action in the state.
        horizon: T, rewards that count; None for all.

    Returns:
        The bound; infinite where the sum does not converge.

    Raises:
        UserError: a number out of its range.
    """
    rate = gamma * math.sqrt(_squared_rate(delta, gamma, dynamics, policy, 1.0 + policy**2))
    if horizon is not None:
        return delta * sum(rate**k for k in range(horizon))
    return delta / (1.0 - rate) if rate < 1.0 else math.inf


def value_bound_as_published(
    delta: float, *, gamma: float, dynamics: float, policy: float
) -> float:
    """Return the bound on the Lipschitz constant of Q as Blondé et al. (2022) state it.

    ``delta / sqrt(1 - gamma^2 C)`` with ``C = A^2 max(1, B^2)``. Reported beside `value_bound` and
    not to be relied on: with ``r = s``, ``s' = 0.9 s`` and ``gamma = 0.9`` it gives 1.705, and the
    slope of Q is 5.263.

    Args:
        delta: see `value_bound`; so are the others.
        gamma: discount.
        dynamics: A.
        policy: B.

    Returns:
        The bound; infinite where ``gamma^2 C >= 1``, of which the paper says nothing.
    """
    rest = 1.0 - gamma**2 * _squared_rate(delta, gamma, dynamics, policy, max(1.0, policy**2))
    return delta / math.sqrt(rest) if rest > 0.0 else math.inf


def _squared_rate(
    delta: float, gamma: float, dynamics: float, policy: float, factor: float
) -> float:
    if min(delta, dynamics, policy) < 0.0 or not 0.0 <= gamma <= 1.0:
        raise UserError(
            "Lipschitz constants must not be negative and gamma must lie in [0, 1], got "
            f"delta={delta}, gamma={gamma}, dynamics={dynamics}, policy={policy}."
        )
    return dynamics**2 * factor
