"""The two contracts for what acts on advantages or on the loss instead of on the reward.

Both branches call them: SB3's PPO through ``ctrl.sb3.objective_ppo``, transformers directly.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from ctrl.objectives.entropy import EntropyTag
from reward_models.errors import UserError
from reward_models.rollout import Rollout


@dataclass(frozen=True)
class Source:
    """Where the steps of a minibatch lie in the rollout that they were drawn from.

    Attributes:
        rollout: the whole rollout ``[T, B]``, in time order.
        observation: what the policy was given there, ``[T, B, ...]`` or a dict of such; differs
            from the rollout's, which is raw, where observations are normalised.
        total: the mix's reward, ``[T, B]``.
        time: index into its ``T`` of every step of the minibatch, int64 ``[T', B']``.
        column: index into its ``B``, likewise.
    """

    rollout: Rollout
    observation: Any
    total: Tensor
    time: Tensor
    column: Tensor


@dataclass(frozen=True)
class PolicyOutput:
    """What the policy says now, with gradient, about the steps of a minibatch.

    Shapes are those of the minibatch: ``[1, N]`` for shuffled steps (SB3), ``[T, B]`` for whole
    token sequences.

    Attributes:
        log_prob: of the actions that were taken, ``[T, B]``.
        entropy: of the distribution over actions, ``[T, B]``, or None where it has no closed form.
        tag: what ``entropy`` is of.
        value: of the critic, ``[T, B]``, or None without one.
        policy: the module that was asked; a term may send its own gradient into its layers.
        source: the whole rollout and where these steps lie in it.
        compute_logits: gives ``logits``; None where the policy has none.
        compute_hidden: gives ``hidden``; None where it has none.
    """

    log_prob: Tensor
    entropy: Tensor | None
    value: Tensor | None
    policy: torch.nn.Module
    source: Source
    tag: EntropyTag = field(default_factory=lambda: EntropyTag(gradient=True))
    compute_logits: Callable[[], Tensor] | None = None
    compute_hidden: Callable[[], Tensor] | None = None

    @cached_property
    def logits(self) -> Tensor:
        """Logits over the actions or the vocabulary, ``[T, B, V]``, made when first asked for.

        Raises:
            UserError: this policy has none.
        """
        return self._made("logits", self.compute_logits)

    @cached_property
    def hidden(self) -> Tensor:
        """Features of the policy, ``[T, B, D]``, made when first asked for.

        Raises:
            UserError: this policy has none.
        """
        return self._made("hidden features", self.compute_hidden)

    def _made(self, what: str, compute: Callable[[], Tensor] | None) -> Tensor:
        if compute is None:
            raise UserError(
                f"{type(self.policy).__name__} has no {what}, which a term of the objective reads. "
                "Take another policy or leave the term out."
            )
        return compute()

    def require_entropy(self, **wanted: str | float | bool) -> Tensor:
        """Return the entropy if it is of the wanted kind (see `EntropyTag`).

        Raises:
            UserError: there is none, or it is of another kind.
        """
        if self.entropy is None:
            raise UserError(
                f"The entropy of {type(self.policy).__name__} has no closed form, and a term of "
                "the objective reads it. Leave the term out."
            )
        self.tag.require(**wanted)
        return self.entropy


class AdvantageShaper(torch.nn.Module, abc.ABC):
    """Changes advantages before the loss sees them.

    A shaper is a pure function of the rollout, of advantages and of its own state; the state
    changes in ``update`` only and lies in ``state_dict()``. It is called once per rollout, so a
    statistic over all of it is over the whole batch, never over a micro-batch.

    Attributes:
        requires: record keys beyond the core ones that it reads; checked before training.
    """

    requires: ClassVar[frozenset[str]] = frozenset()

    @abc.abstractmethod
    def forward(self, rollout: Rollout, advantage: Tensor) -> Tensor:
        """Return the advantages to use.

        Args:
            rollout: the whole rollout, ``[T, B]``.
            advantage: ``[T, B]``, without gradient; 0 where the mask is false.

        Returns:
            ``[T, B]``, finite, without gradient.
        """

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Learn from a rollout whose advantages were shaped; return metrics. Nothing by default."""
        return {}


class LossTerm(torch.nn.Module, abc.ABC):
    """Adds a scalar to the loss of every minibatch.

    Its own parameters, if it has any, join the policy's optimiser, and its gradient may reach the
    policy's layers through ``policy_output``. Other state changes in ``update`` only.

    Attributes:
        requires: record keys beyond the core ones that it reads; checked before training.
    """

    requires: ClassVar[frozenset[str]] = frozenset()

    def bind(self, policy: torch.nn.Module) -> None:
        """Make what depends on the policy's sizes. Called once, before the optimiser takes over."""
        return None

    @abc.abstractmethod
    def forward(
        self, rollout: Rollout, policy_output: PolicyOutput
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the term and metrics.

        Args:
            rollout: the steps of the minibatch, in the shape of ``policy_output``.
            policy_output: fresh quantities of the policy on them.

        Returns:
            A scalar with gradient, to be minimised, and detached numbers to log.
        """

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Learn from a finished rollout; return metrics. Nothing by default."""
        return {}


def as_metrics(**numbers: Any) -> dict[str, float]:
    """Return scalars of tensors or numbers as plain floats."""
    return {name: float(value) for name, value in numbers.items()}
