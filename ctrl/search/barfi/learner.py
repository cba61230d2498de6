"""The two-level learner: a policy below, a blend of rewards and a discount above."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ctrl.search.barfi.baselines import BASELINES, baseline_rewards
from ctrl.search.barfi.discount import LearnedDiscount
from ctrl.search.barfi.episodes import EpisodeBatch, EpisodeCollector, EpisodeReplay
from ctrl.search.barfi.hypergradient import Solver, flat, hypergradient
from ctrl.search.barfi.policies import Policy
from ctrl.search.barfi.regulariser import Regulariser
from ctrl.search.barfi.schedule import Schedule
from ctrl.search.barfi.surrogate import mean_entropy, policy_surrogate
from reward_models.blend.coefficients import BlendCoefficients, blended
from reward_models.errors import UnknownNameError

_LOG = logging.getLogger(__name__)
_OPTIMIZERS: dict[str, Any] = {
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
}


@final
class AlignmentLearner:
    """Behaviour alignment via reward function optimisation (BARFI, Gupta et al. 2023).

    The policy climbs the blended reward under the learned discount, with an entropy bonus; blend
    and discount climb what the policy that results from them earns on the task.

    Args:
        policy: twice differentiable; its layers see the outer step in evaluation mode.
        coefficients: of the blend.
        discount: of the blended reward.
        collector: plays the episodes.
        schedule: order and sizes of the steps.
        solver: of the hypergradient; None leaves the outer level to the regulariser alone.
        regulariser: of the outer level; none when None.
        baseline: ``naive``, ``task`` or ``potential`` trains the policy alone, on that reward with
            ``gamma``, with as many inner steps; None for the two levels.
        gamma: discount of the task in the outer objective, and of the naive sum.
        entropy: weight of the policy's entropy in the inner objective.
        policy_rate: learning rate of the policy.
        reward_rate: learning rate of the coefficients.
        discount_rate: learning rate of the discount's logit; 0 keeps it.
        policy_optimizer: ``rmsprop``, ``adam`` or ``sgd``.
        reward_optimizer: likewise.
        seed: of the draws from the replay.

    Attributes:
        iteration: iterations done.
        no_signal: outer steps in which the newest episodes gave no gradient of the task, so that
            only the regulariser moved the blend.

    Raises:
        UnknownNameError: an unknown optimizer or baseline.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        coefficients: BlendCoefficients,
        discount: LearnedDiscount,
        collector: EpisodeCollector,
        schedule: Schedule,
        solver: Solver | None,
        regulariser: Regulariser | None = None,
        baseline: str | None = None,
        gamma: float = 0.99,
        entropy: float = 0.0,
        policy_rate: float = 1e-3,
        reward_rate: float = 5e-3,
        discount_rate: float = 0.0,
        policy_optimizer: str = "rmsprop",
        reward_optimizer: str = "rmsprop",
        seed: int = 0,
    ) -> None:
        if baseline is not None and baseline not in BASELINES:
            raise UnknownNameError("baseline", baseline, BASELINES)
        self.policy, self.coefficients, self.discount = policy, coefficients, discount
        self.collector, self.schedule, self.solver = collector, schedule, solver
        self.regulariser, self.baseline = regulariser or Regulariser(), baseline
        self.gamma, self.entropy = gamma, entropy
        self.horizon = schedule.horizon
        self.replay = EpisodeReplay(schedule.replay)
        self.random = np.random.default_rng(np.random.SeedSequence([seed, 1]))
        self._theta = list(policy.parameters())
        self._reward = list(coefficients.parameters())
        self.policy_optimizer = _optimizer(policy_optimizer, [(self._theta, policy_rate)])
        self.reward_optimizer = _optimizer(
            reward_optimizer, [(self._reward, reward_rate), ([discount.logit], discount_rate)]
        )
        self.iteration = self.no_signal = 0
        self._said_empty = False

    # -- one iteration ----------------------------------------------------------------------

    def learn(
        self,
        iterations: int,
        callback: Callable[[AlignmentLearner, dict[str, float]], bool | None] | None = None,
    ) -> AlignmentLearner:
        """Do iterations.

        Args:
            iterations: how many more.
            callback: called after each one with this learner and its numbers; False stops.
        """
        for _ in range(iterations):
            numbers = self.step()
            if callback is not None and callback(self, numbers) is False:
                break
        return self

    def step(self) -> dict[str, float]:
        """Do one iteration, see `Schedule`; return numbers to log."""
        batch, metrics = self.collector.collect(self.policy)
        self.replay.add(batch)
        numbers = {f"reward/{name}": value for name, value in metrics.items()}
        warm = self.iteration < self.schedule.warm_iterations
        if not warm and self.baseline is None:
            numbers.update(self.outer_step(batch))
        steps = self.schedule.warm_steps if warm else self.schedule.inner_steps
        for k in range(steps):
            sample = batch if warm and k == 0 else self._sampled()
            numbers.update(self.inner_step(sample, naive=warm))
        self.iteration += 1
        if self.iteration == self.schedule.warm_iterations:
            for _ in range(self.schedule.first_steps):
                self.inner_step(self._sampled())
        return {**self._measured(batch), **numbers}

    def inner_step(self, batch: EpisodeBatch, *, naive: bool = False) -> dict[str, float]:
        """Take one step of the policy; blend and discount stay as they are.

        Args:
            batch: episodes, also old ones.
            naive: use the naive sum in place of the blend (a baseline keeps its own reward).
        """
        with torch.no_grad():
            rewards, gamma = self._rewards(batch, naive=naive)
        objective, entropy = self._inner_objective(batch, rewards, gamma)
        gradients = torch.autograd.grad(objective, self._theta)
        _ascend(self.policy_optimizer, self._theta, gradients)
        return {"inner/objective": objective.item(), "inner/entropy": entropy.item()}

    def outer_step(self, newest: EpisodeBatch) -> dict[str, float]:
        """Take one step of blend and discount; the policy stays as it is.

        Args:
            newest: episodes of the present policy.
        """
        older = self.replay.sample(
            self.schedule.hessian, self.random, skip_newest=self.schedule.episodes
        )
        if older is None:
            if not self._said_empty:
                _LOG.warning("no older episodes for the Hessian yet; the outer step is left out")
            self._said_empty = True
            return {}
        training = self.policy.training
        # Noise of dropout or of batch statistics would be taken for curvature.
        self.policy.eval()
        outer = self._task_gradient(newest)
        phi = [*self._reward, self.discount.logit]
        gradients = [torch.zeros_like(parameter) for parameter in phi]
        if not bool(outer.any()):
            self.no_signal += 1
        elif self.solver is not None:
            gradients = hypergradient(
                self._inner_gradient(older), outer, theta=self._theta, phi=phi, solver=self.solver
            )
        penalty = self.regulariser(self.coefficients, self.discount)
        held = torch.autograd.grad(penalty, phi, allow_unused=True, materialize_grads=True)
        climb = [gradient - back for gradient, back in zip(gradients, held, strict=True)]
        _ascend(self.reward_optimizer, phi, climb)
        self.policy.train(training)
        return {
            "outer/task_gradient": outer.norm().item(),
            "outer/hypergradient": flat(gradients).norm().item(),
            "outer/penalty": penalty.item(),
            "outer/no_signal": float(self.no_signal),
        }

    # -- objectives -------------------------------------------------------------------------

    def _rewards(
        self, batch: EpisodeBatch, *, naive: bool = False
    ) -> tuple[Float[Tensor, "T B"], Tensor | float]:
        """Return what the policy climbs, and its discount."""
        if self.baseline is not None:
            return baseline_rewards(self.baseline, batch, self.gamma), self.gamma
        if naive:
            return baseline_rewards("naive", batch, self.gamma), self.gamma
        phi = self.coefficients(batch.observation)
        return blended(phi, batch.task, batch.auxiliary), self.discount()

    def _inner_objective(
        self, batch: EpisodeBatch, rewards: Tensor, gamma: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        log_prob, entropy = self.policy.evaluate(batch.observation, batch.action)
        mean = mean_entropy(entropy, batch.mask)
        surrogate = policy_surrogate(log_prob, rewards, gamma, batch.mask, horizon=self.horizon)
        return surrogate + self.entropy * mean, mean

    def _inner_gradient(self, batch: EpisodeBatch) -> Float[Tensor, " N"]:
        """Return ``grad_theta J_phi`` with a graph to policy, blend and discount."""
        objective, _ = self._inner_objective(batch, *self._rewards(batch))
        return flat(torch.autograd.grad(objective, self._theta, create_graph=True))

    def _task_gradient(self, batch: EpisodeBatch) -> Float[Tensor, " N"]:
        """Return ``v = grad_theta J_p``: the task alone, its own discount, no entropy."""
        log_prob, _ = self.policy.evaluate(batch.observation, batch.action)
        objective = policy_surrogate(
            log_prob, batch.task, self.gamma, batch.mask, horizon=self.horizon
        )
        found = torch.autograd.grad(
            objective, self._theta, allow_unused=True, materialize_grads=True
        )
        return flat(found)

    def _sampled(self) -> EpisodeBatch:
        found = self.replay.sample(self.schedule.batch, self.random)
        assert found is not None  # every iteration begins with new episodes
        return found

    @torch.no_grad()
    def _measured(self, batch: EpisodeBatch) -> dict[str, float]:
        """Return what the newest episodes earned, and the mean coefficients on their states."""
        names = self.collector.mix.names
        returns = batch.returns().mean(0).tolist()
        found = {f"return/{name}": value for name, value in zip(names, returns, strict=True)}
        found["return/length"] = float(batch.mask.sum(0).double().mean())
        if self.baseline is not None:
            return found
        means = self.coefficients(batch.observation)[batch.mask].mean(0).tolist()
        found.update({"blend/phi_1": means[0], "blend/phi_2": means[1]})
        found.update(
            {f"blend/phi_3/{name}": value for name, value in zip(names[1:], means[2:], strict=True)}
        )
        found["blend/discount"] = self.discount().item()
        return found

    # -- state ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, as plain data and tensors."""
        return {
            "iteration": self.iteration,
            "no_signal": self.no_signal,
            "policy": dict(self.policy.state_dict()),
            "coefficients": dict(self.coefficients.state_dict()),
            "discount": dict(self.discount.state_dict()),
            "policy_optimizer": self.policy_optimizer.state_dict(),
            "reward_optimizer": self.reward_optimizer.state_dict(),
            "replay": self.replay.state_dict(),
            "collector": self.collector.state_dict(),
            "random": self.random.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state, bit for bit."""
        self.iteration, self.no_signal = int(state["iteration"]), int(state["no_signal"])
        for name in ("policy", "coefficients", "discount", "policy_optimizer", "reward_optimizer",
                     "replay", "collector"):  # fmt: skip
            getattr(self, name).load_state_dict(state[name])
        self.random.bit_generator.state = state["random"]


def _optimizer(
    name: str, groups: Sequence[tuple[Sequence[Tensor], float]]
) -> torch.optim.Optimizer:
    if name not in _OPTIMIZERS:
        raise UnknownNameError("optimizer", name, _OPTIMIZERS)
    return _OPTIMIZERS[name]([{"params": list(params), "lr": rate} for params, rate in groups])


def _ascend(optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor], climb: Any) -> None:
    """Step uphill; no ``.grad`` is left behind."""
    for parameter, gradient in zip(parameters, climb, strict=True):
        parameter.grad = -gradient.detach()
    optimizer.step()
    for parameter in parameters:
        parameter.grad = None
