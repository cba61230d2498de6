"""Losses per token from fresh log-probabilities and fixed advantages; all are minimised."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ctrl.objectives.masked import masked_mean, valid_only
from reward_models.errors import UserError

_LARGEST = 20.0
_LARGEST_SEQUENCE = 10.0

TokenLoss = tuple[Float[Tensor, "T B"], dict[str, Tensor]]
"""A loss per token, 0 under a false mask, and detached metrics (scalars)."""


def log_ratio(
    log_prob: Float[Tensor, "T B"], old_log_prob: Float[Tensor, "T B"]
) -> Float[Tensor, "T B"]:
    """Return ``log pi - log pi_old``, cut to [-20, 20]."""
    return (log_prob - old_log_prob.detach()).clamp(-_LARGEST, _LARGEST)


def reinforce_loss(
    log_prob: Float[Tensor, "T B"], advantage: Float[Tensor, "T B"], mask: Bool[Tensor, "T B"]
) -> TokenLoss:
    """Return ``-A log pi`` (Williams 1992)."""
    log_prob, advantage = _checked(mask, advantage, log_prob)
    return -advantage * log_prob, {}


def clipped_loss(
    log_prob: Float[Tensor, "T B"],
    old_log_prob: Float[Tensor, "T B"],
    advantage: Float[Tensor, "T B"],
    mask: Bool[Tensor, "T B"],
    *,
    low: float = 0.2,
    high: float = 0.2,
    dual: float | None = None,
) -> TokenLoss:
    """Return ``max(-A rho, -A clip(rho, 1 - low, 1 + high))``: PPO (Schulman et al. 2017).

    A greater ``high`` is clip-higher (DAPO: 0.2 and 0.28). ``dual`` bounds the loss of bad actions
    that have become likely: ``min(loss, -A dual)`` where ``A < 0`` (Ye et al. 2020).

    Args:
        log_prob: of the sampled tokens under the present policy, with gradient, ``[T, B]``.
        old_log_prob: under the policy that sampled, at the same temperature.
        advantage: without gradient.
        mask: ``[T, B]``.
        low: in [0, 1).
        high: at least 0.
        dual: above 1, or None.

    Returns:
        The loss per token, and ``clipped_high`` (share of valid tokens with A > 0 above the clip),
        ``clipped_low`` (with A < 0 below it), ``clipped_dual``, ``approximate_kl`` (mean of old
        minus new log-probability) and ``largest_ratio``.

    Raises:
        UserError: a number out of its range, shapes that differ, an advantage with gradient, or
            numbers that are not finite where the mask is true.
    """
    _check_clip(low, high)
    if dual is not None and dual <= 1.0:
        raise UserError(f"dual must be above 1, got {dual}.")
    log_prob, old, advantage = _checked(mask, advantage, log_prob, old_log_prob)
    ratio = log_ratio(log_prob, old).exp()
    loss = _clipped(ratio, advantage, low, high)
    metrics = _metrics(ratio, log_prob - old, advantage, mask, (low, high))
    if dual is not None:
        bounded = torch.minimum(loss, -advantage * dual)
        loss = torch.where(advantage < 0, bounded, loss)
        metrics["clipped_dual"] = _share((advantage < 0) & (ratio > dual), mask)
    return loss, metrics


def sequence_clipped_loss(
    log_prob: Float[Tensor, "T B"],
    old_log_prob: Float[Tensor, "T B"],
    advantage: Float[Tensor, "T B"],
    mask: Bool[Tensor, "T B"],
    *,
    low: float = 3e-4,
    high: float = 4e-4,
) -> TokenLoss:
    """Return the clipped loss with one ratio per sequence: GSPO (Zheng et al. 2025).

    ``s = exp(mean_t log rho_t)``, at most ``exp(10)``; the value on every token is the sequence's,
    the gradient goes through the token's own log-probability. To be aggregated as
    ``seq-mean-token-mean``.

    Args:
        log_prob: see `clipped_loss`; the same for what follows.
        old_log_prob: likewise.
        advantage: likewise.
        mask: ``[T, B]``.
        low: likewise; published widths are far smaller than those per token.
        high: likewise.
    """
    _check_clip(low, high)
    log_prob, old, advantage = _checked(mask, advantage, log_prob, old_log_prob)
    length = mask.sum(0).clamp_min(1)
    sequence = log_ratio(log_prob, old).detach().sum(0) / length
    ratio = (sequence + log_prob - log_prob.detach()).clamp_max(_LARGEST_SEQUENCE).exp()
    ratio = torch.where(mask, ratio, 1.0)
    loss = _clipped(ratio, advantage, low, high)
    return loss, _metrics(ratio, log_prob - old, advantage, mask, (low, high))


def clipped_weight_loss(
    log_prob: Float[Tensor, "T B"],
    old_log_prob: Float[Tensor, "T B"],
    advantage: Float[Tensor, "T B"],
    mask: Bool[Tensor, "T B"],
    *,
    low: float | None = None,
    high: float = 0.2,
) -> TokenLoss:
    """Return ``-sg[clip(rho, 1 - low, 1 + high)] A log pi``: CISPO (MiniMax 2025).

    No token loses its gradient: only the weight is clipped.

    Args:
        log_prob: see `clipped_loss`; the same for what follows.
        old_log_prob: likewise.
        advantage: likewise.
        mask: ``[T, B]``.
        low: None leaves the lower side open.
        high: at least 0.
    """
    below = 1.0 if low is None else low
    _check_clip(0.0 if low is None else low, high)
    log_prob, old, advantage = _checked(mask, advantage, log_prob, old_log_prob)
    ratio = log_ratio(log_prob, old).exp().detach()
    loss = -ratio.clamp(1.0 - below, 1.0 + high) * advantage * log_prob
    return loss, _metrics(ratio, log_prob - old, advantage, mask, (below, high))


def sampler_correction(
    loss: Float[Tensor, "T B"],
    trainer_log_prob: Float[Tensor, "T B"],
    sampler_log_prob: Float[Tensor, "T B"],
    mask: Bool[Tensor, "T B"],
    *,
    cap: float = 3.0,
) -> Float[Tensor, "T B"]:
    """Weigh a loss by ``min(pi_trainer / pi_sampler, cap)``, for a sampler of other precision.

    Args:
        loss: per token, ``[T, B]``.
        trainer_log_prob: of the old policy, computed where it is trained.
        sampler_log_prob: of the same policy, computed where it sampled.
        mask: ``[T, B]``.
        cap: above 0.

    Raises:
        UserError: ``cap`` out of its range, or shapes that differ.
    """
    if cap <= 0.0:
        raise UserError(f"cap must be above 0, got {cap}.")
    loss, trainer, sampler = valid_only(mask, loss, trainer_log_prob, sampler_log_prob)
    return loss * log_ratio(trainer, sampler).exp().clamp_max(cap).detach()


def clipped_value_loss(
    value: Float[Tensor, "T B"],
    old_value: Float[Tensor, "T B"],
    returns: Float[Tensor, "T B"],
    mask: Bool[Tensor, "T B"],
    *,
    clip: float | None = 0.2,
) -> Float[Tensor, "T B"]:
    """Return ``max((V - G)^2, (clip(V, V_old +- clip) - G)^2) / 2`` per token.

    Args:
        value: of the present critic, with gradient, ``[T, B]``.
        old_value: when the tokens were sampled.
        returns: targets.
        mask: ``[T, B]``.
        clip: above 0; None gives the plain squared error.
    """
    if clip is not None and clip <= 0.0:
        raise UserError(f"clip must be above 0, got {clip}.")
    value, old_value, returns = valid_only(mask, value, old_value, returns)
    error = (value - returns).square()
    if clip is not None:
        near = old_value.detach() + (value - old_value.detach()).clamp(-clip, clip)
        error = torch.maximum(error, (near - returns).square())
    return 0.5 * error


def _clipped(ratio: Tensor, advantage: Tensor, low: float, high: float) -> Tensor:
    return torch.maximum(-advantage * ratio, -advantage * ratio.clamp(1.0 - low, 1.0 + high))


def _checked(mask: Tensor, advantage: Tensor, *log_probs: Tensor) -> tuple[Tensor, ...]:
    """Return log-probabilities and the advantage, in this order, with zeros under a false mask."""
    if advantage.requires_grad:
        raise UserError("Expected an advantage without gradient: detach it.")
    return valid_only(mask, *log_probs, advantage)


def _check_clip(low: float, high: float) -> None:
    if not 0.0 <= low < 1.0 or high < 0.0:
        raise UserError(
            f"Expected clip widths with low in [0, 1) and high at least 0, got {low} and {high}."
        )


def _share(chosen: Tensor, mask: Tensor) -> Tensor:
    return masked_mean(chosen.to(torch.float32), mask).detach()


def _metrics(
    ratio: Tensor, change: Tensor, advantage: Tensor, mask: Tensor, clip: tuple[float, float]
) -> dict[str, Tensor]:
    low, high = clip
    return {
        "clipped_high": _share((advantage > 0) & (ratio > 1.0 + high), mask),
        "clipped_low": _share((advantage < 0) & (ratio < 1.0 - low), mask),
        "approximate_kl": masked_mean(-change, mask).detach(),
        "largest_ratio": torch.where(mask, ratio, 0.0).max().detach(),
    }
