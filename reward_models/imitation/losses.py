"""Losses of a discriminator that tells an expert's pairs from those of a policy, per pair."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

LOSSES = ("pn", "purl")
_TINY = 1e-8


def cross_entropy(logits: Float[Tensor, "*n"], labels: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Return ``softplus(l) - y l``, the binary cross-entropy of logits.

    In this form it is defined for labels beyond [0, 1] too, which smoothing may draw.
    """
    return F.softplus(logits) - labels * logits


def bernoulli_entropy(logits: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Return the entropy in nats of a coin that shows heads with probability ``sigmoid(l)``.

    In [0, log 2]; the gradient flows through both places of the probability.
    """
    return F.softplus(logits) - torch.sigmoid(logits) * logits


def positive_negative_loss(
    policy: Float[Tensor, " N"],
    expert: Float[Tensor, " N"],
    policy_labels: Float[Tensor, " N"],
    expert_labels: Float[Tensor, " N"],
) -> Float[Tensor, " N"]:
    """Return the sum of both cross-entropies for each pair of logits."""
    return cross_entropy(policy, policy_labels) + cross_entropy(expert, expert_labels)


def positive_unlabelled_loss(
    policy: Float[Tensor, " N"], expert: Float[Tensor, " N"], eta: float
) -> Float[Tensor, " N"]:
    """Return the loss that takes the policy's pairs for unlabelled ones.

    ``-eta log(1 - s(l_e) + 1e-8) - max(0, log s(l_e) - eta log s(l_p))`` with the sigmoid ``s``:
    the form of the released code of Blondé et al. (2022), kept for ablations. Labels and their
    smoothing play no role in it.

    Args:
        policy: logits ``l_p`` of the policy's pairs.
        expert: logits ``l_e`` of the expert's.
        eta: share of positive ones among the unlabelled, in [0, 1].
    """
    positive = -eta * torch.log(torch.sigmoid(-expert) + _TINY)
    return positive - (F.logsigmoid(expert) - eta * F.logsigmoid(policy)).clamp_min(0.0)
