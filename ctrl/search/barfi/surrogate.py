"""The two objectives: what the policy climbs for a reward, and what the reward is judged by.

Both are score-function surrogates on whole episodes, one a column, padded to ``[T, B]``: their
gradients in the policy's parameters are policy gradients, and second derivatives through them exist
where the policy's log-probabilities have them.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor


def returns_to_go(
    rewards: Float[Tensor, "T B"], gamma: Tensor | float, mask: Bool[Tensor, "T B"]
) -> Float[Tensor, "T B"]:
    """Return ``G_t = sum_{k >= t} gamma^(k - t) r_k`` over the real steps of each column.

    Differentiable in the rewards and in ``gamma``. Sums over windows of doubling length take
    ``log2 T`` operations in place of ``T``, which keeps the graph of second derivatives short.

    Args:
        rewards: values on padding are ignored, whatever they are.
        gamma: discount in (0, 1].
        mask: true on real steps, which come first in each column.

    Returns:
        The sums, 0 on padding.
    """
    sums = rewards.masked_fill(~mask, 0.0)
    reach, factor = 1, gamma
    while reach < sums.shape[0]:
        later = sums.new_zeros(sums.shape)
        later[:-reach] = sums[reach:]
        sums = sums + factor * later
        reach, factor = 2 * reach, factor * factor
    return sums


def policy_surrogate(
    log_prob: Float[Tensor, "T B"],
    rewards: Float[Tensor, "T B"],
    gamma: Tensor | float,
    mask: Bool[Tensor, "T B"],
    *,
    horizon: int | None = None,
) -> Tensor:
    """Return ``1 / (B H) sum_b sum_t log pi(a_t | s_t) G_t`` over the real steps (to maximise).

    No power of the discount stands before the log-probability, and there are no importance weights:
    where the episodes are old ones, the reward is expected to absorb that (Gupta et al. 2023,
    section 4 and appendix). Detach rewards and discount for a step of the policy alone.

    Args:
        log_prob: of the actions taken.
        rewards: per step.
        gamma: discount.
        mask: true on real steps.
        horizon: ``H``; the padded length ``T`` when None.
    """
    steps, columns = log_prob.shape
    weighted = (log_prob * returns_to_go(rewards, gamma, mask)).masked_fill(~mask, 0.0)
    return weighted.sum() / (columns * (horizon or steps))


def mean_entropy(entropy: Float[Tensor, "T B"], mask: Bool[Tensor, "T B"]) -> Tensor:
    """Return the mean of the policy's entropy over the real steps, in nats."""
    return entropy.masked_fill(~mask, 0.0).sum() / mask.sum().clamp_min(1)
