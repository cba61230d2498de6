"""Estimates of the divergence from a reference policy (Schulman 2020), as loss or as reward."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ctrl.objectives.masked import valid_only
from reward_models.errors import UnknownNameError

ESTIMATORS = ("k1", "k2", "k3", "k3+", "abs")


def kl_estimate(
    log_prob: Float[Tensor, "T B"],
    ref_log_prob: Float[Tensor, "T B"],
    mask: Bool[Tensor, "T B"],
    *,
    estimator: str = "k3",
) -> Float[Tensor, "T B"]:
    """Return an estimate per token of ``KL(pi || ref)`` from the sampled token alone.

    With ``x = log ref - log pi``, cut to [-20, 20]: ``k1 = -x``, ``k2 = x^2 / 2``, ``k3 = e^x - x -
    1`` (cut to at most 10), ``abs = |x|``. ``k3+`` has the value of k3 and the gradient of k2.

    As a loss, k1 does nothing on average, k2 pulls along the gradient of ``KL(pi || ref)``, k3
    along that of ``KL(ref || pi)``. The cut of k3 leaves tokens without any gradient that the
    reference finds more than 13.6 times as likely as the policy does; k2 and k3+ have no such hole.

    Args:
        log_prob: of the sampled tokens, with gradient where this is a loss, ``[T, B]``.
        ref_log_prob: of the same tokens under the fixed reference.
        mask: ``[T, B]``.
        estimator: one of ``ESTIMATORS``.

    Raises:
        UnknownNameError: no such estimator.
        UserError: shapes that differ, or numbers that are not finite where the mask is true.
    """
    if estimator not in ESTIMATORS:
        raise UnknownNameError("KL estimator", estimator, ESTIMATORS)
    log_prob, reference = valid_only(mask, log_prob, ref_log_prob)
    x = (reference.detach() - log_prob).clamp(-20.0, 20.0)
    if estimator == "k1":
        return -x
    if estimator == "abs":
        return x.abs()
    k2 = 0.5 * x.square()
    if estimator == "k2":
        return k2
    k3 = (x.exp() - x - 1.0).clamp(-10.0, 10.0)
    return k3 if estimator == "k3" else k2 + (k3 - k2).detach()


def kl_reward(
    rewards: Float[Tensor, "T B"],
    log_prob: Float[Tensor, "T B"],
    ref_log_prob: Float[Tensor, "T B"],
    mask: Bool[Tensor, "T B"],
    *,
    weight: float,
) -> Float[Tensor, "T B"]:
    """Return the rewards minus ``weight`` times k1, without gradient.

    Advantages that are divided by a group's deviation divide this penalty, too.
    """
    divergence = kl_estimate(log_prob.detach(), ref_log_prob, mask, estimator="k1")
    return torch.where(mask, rewards, 0.0) - weight * divergence
