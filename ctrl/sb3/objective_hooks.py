"""PPO and A2C of SB3 that call the hooks of an objective; the update itself stays SB3's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import Tensor

from ctrl.objectives.hooks import PolicyOutput, Source
from ctrl.objectives.objective import Objective
from reward_models.errors import UserError
from reward_models.rollout import Rollout

if TYPE_CHECKING:
    _Learner = OnPolicyAlgorithm
else:
    _Learner = object


class _WithLoss(torch.autograd.Function):
    """Pass a tensor through; on the way back, a scalar receives the gradient 1.

    So a scalar joins a loss that somebody else computes from the tensor, calling backward once.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, loss: Tensor) -> Tensor:
        ctx.like = loss.new_ones(())
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        return gradients[0], ctx.like


class _Listening:
    """The policy as SB3's update sees it while an objective adds its terms.

    Args:
        policy: the real one; everything not defined here is its own.
        objective: whose terms join the loss.
        learner: whose minibatches are evaluated.
        rollout: the rollout that they come from.
        observation: what the policy was given there, ``[T, B, ...]``.
    """

    def __init__(
        self, policy: Any, objective: Objective, learner: Any, rollout: Rollout, observation: Any
    ) -> None:
        self._policy, self._objective, self._learner = policy, objective, learner
        self._rollout, self._observation = rollout, observation
        self.metrics: dict[str, list[float]] = defaultdict(list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Those of the terms, too: their gradients are clipped together with the policy's."""
        return chain(self._policy.parameters(), self._objective.parameters())

    def evaluate_actions(
        self, observations: Any, actions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Evaluate a minibatch, and hang the objective's loss on its log-probabilities."""
        policy = self._policy
        values, log_prob, entropy = policy.evaluate_actions(observations, actions)
        buffer = self._learner.rollout_buffer
        rows = torch.as_tensor(buffer.rows)
        time, column = rows % self._rollout.T, rows // self._rollout.T

        def hidden() -> Tensor:
            features = policy.extract_features(observations)
            if isinstance(features, tuple):
                features = features[0]
            return policy.mlp_extractor.forward_actor(features).unsqueeze(0)

        def logits() -> Tensor:
            found = policy.get_distribution(observations).distribution
            if not isinstance(found, torch.distributions.Categorical):
                raise UserError(
                    "A term of the objective reads logits, and this policy's actions are not one "
                    "choice among several. Leave the term out."
                )
            return found.logits.unsqueeze(0)

        output = PolicyOutput(
            log_prob=log_prob.unsqueeze(0),
            entropy=None if entropy is None else entropy.unsqueeze(0),
            value=values.flatten().unsqueeze(0),
            policy=policy,
            source=Source(
                rollout=self._rollout, observation=self._observation, total=buffer.total,
                time=time.unsqueeze(0), column=column.unsqueeze(0),
            ),
            compute_logits=logits,
            compute_hidden=hidden,
        )  # fmt: skip
        loss, metrics = self._objective.loss(self._rollout.take(time, column), output)
        for name, number in metrics.items():
            self.metrics[name].append(number)
        if loss.requires_grad:
            log_prob = _WithLoss.apply(log_prob, loss)
        return values, log_prob, entropy


class _Hooked(_Learner):
    """Shape advantages before, add loss terms during, and let both learn after SB3's update."""

    objective: Objective

    def train(self) -> None:
        """Update the policy from the latest rollout."""
        buffer: Any = self.rollout_buffer
        rollout: Rollout = buffer.rollout
        advantage = torch.as_tensor(buffer.advantages)
        shaped = self.objective.shape(rollout, advantage)
        if shaped is not advantage:
            buffer.advantages = shaped.cpu().numpy().astype(np.float32)
        observation = _tensors(buffer.observations)
        policy = self.policy
        listening = _Listening(policy, self.objective, self, rollout, observation)
        self.objective.train()
        if len(self.objective.terms):
            self.policy = listening  # type: ignore[assignment]
        try:
            super().train()
        finally:
            self.policy = policy
        for name, numbers in listening.metrics.items():
            self.logger.record(f"objective/{name}", float(np.mean(numbers)))
        for name, number in self.objective.update(rollout).items():
            self.logger.record(f"objective/{name}", number)
        # A rollout of images is large; nothing reads it again.
        buffer.rollout = None


class HookedPPO(_Hooked, PPO):
    """PPO with an objective."""


class HookedA2C(_Hooked, A2C):
    """A2C with an objective."""


_HOOKED: dict[type, Any] = {PPO: HookedPPO, A2C: HookedA2C}


def with_hooks(algorithm: type[BaseAlgorithm]) -> type[BaseAlgorithm]:
    """Return the learner's form that calls the hooks.

    Raises:
        UserError: it has none.
    """
    if algorithm not in _HOOKED:
        raise UserError(
            f"An objective (advantage shapers, loss terms) works with ppo and a2c, not with "
            f"{algorithm.__name__}. Take one of them, or leave `objective` out."
        )
    return _HOOKED[algorithm]


def give_objective(model: Any, objective: Objective) -> None:
    """Attach an objective to a learner that `with_hooks` gave; its parameters join the optimiser.

    Raises:
        UserError: a part cannot work with this policy.
    """
    objective.bind(model.policy)
    objective.to(model.device)
    model.objective = objective
    own = list(objective.parameters())
    if own:
        model.policy.optimizer.add_param_group({"params": own})
    model.rollout_buffer.keeps = objective.requires


def _tensors(observations: Any) -> Any:
    if isinstance(observations, dict):
        return {key: torch.as_tensor(value) for key, value in observations.items()}
    return torch.as_tensor(observations)
