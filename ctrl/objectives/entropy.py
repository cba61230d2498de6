"""Entropy of the policy over the vocabulary, as a tagged quantity and as a bonus."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from reward_models.errors import UserError


@dataclass(frozen=True)
class EntropyTag:
    """What an entropy is of; two that differ must not be compared or mixed.

    Attributes:
        support: ``full`` vocabulary, or ``nucleus``.
        temperature: the logits were divided by this.
        policy: ``behaviour`` (that sampled) or ``current`` (that is trained).
        gradient: it can be differentiated.
    """

    support: str = "full"
    temperature: float = 1.0
    policy: str = "current"
    gradient: bool = False

    def require(self, **wanted: str | float | bool) -> None:
        """Refuse an entropy of another kind.

        Raises:
            UserError: an attribute differs; names all that do.
        """
        other = {
            name: (value, getattr(self, name))
            for name, value in wanted.items()
            if getattr(self, name) != value
        }
        if other:
            listed = ", ".join(f"{name} {want!r} and got {got!r}" for name, (want, got) in
                               other.items())  # fmt: skip
            raise UserError(f"Expected an entropy with {listed}.")


def entropy_of(logits: Float[Tensor, "*batch V"]) -> Float[Tensor, "*batch"]:
    """Return ``logsumexp(z) - sum softmax(z) z`` in nats, over the last axis, in float32.

    Differentiable: ``dH / dz_j = -p_j (log p_j + H)``. A logit of minus infinity counts as a token
    that cannot be chosen.
    """
    log_p = torch.log_softmax(logits.float(), dim=-1)
    # 0 log 0 = 0: a forbidden token must not turn the sum into NaN.
    finite = torch.where(log_p.isinf(), 0.0, log_p)
    return -(log_p.exp() * finite).sum(-1)


class AdaptiveEntropyWeight:
    """A weight of the entropy bonus that grows while the entropy is at or below a target.

    It is used only while the entropy is at or below the target, and grows by ``step`` each time;
    above the target it shrinks by ``step``.

    Args:
        target: in nats.
        step: by which the weight changes.
        smallest: of the weight.
        largest: of the weight.
        initial: weight to start from.

    Raises:
        UserError: ``step`` below 0, or limits out of order.
    """

    def __init__(
        self,
        *,
        target: float,
        step: float = 5e-3,
        smallest: float = 0.0,
        largest: float = 1.0,
        initial: float = 0.0,
    ) -> None:
        if step < 0.0 or not smallest <= initial <= largest:
            raise UserError(
                "Expected step of at least 0 and smallest <= initial <= largest, got "
                f"{step}, {smallest}, {initial}, {largest}."
            )
        self.target, self.step = target, step
        self.smallest, self.largest, self.weight = smallest, largest, initial

    def update(self, entropy: float) -> float:
        """Take over the mean entropy of a batch and return the weight to use for it."""
        change = self.step if entropy <= self.target else -self.step
        self.weight = min(max(self.weight + change, self.smallest), self.largest)
        return self.weight if entropy <= self.target else 0.0

    def state_dict(self) -> dict[str, float]:
        """Return what a checkpoint needs."""
        return {"weight": self.weight}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Take it over again."""
        self.weight = float(state["weight"])
