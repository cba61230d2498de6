"""Shapers and loss terms reach SB3's PPO and A2C, and nothing else changes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, PPO
from torch import Tensor

import envs
from ctrl.objectives.entropy_bonus import EntropyBonus
from ctrl.objectives.hooks import AdvantageShaper, LossTerm, PolicyOutput
from ctrl.objectives.objective import Objective, ObjectiveError, Weighted
from ctrl.objectives.whitened import Whitened
from ctrl.sb3.model import make_model
from ctrl.sb3.objective_hooks import HookedPPO
from ctrl.sb3.vec_env import make_vec_env
from reward_models.errors import UserError
from reward_models.mix import RewardMix
from reward_models.rollout import Rollout

SETTINGS = {"n_steps": 32, "batch_size": 32, "n_epochs": 2, "ent_coef": 0.0}


def trained(
    objective: Objective | None, algorithm: type = PPO, env: str = "CartPole-v1", **settings
):
    model = make_model(
        algorithm, make_vec_env(env, n_envs=2, seed=3), mix=RewardMix(gamma=0.99), seed=3,
        objective=objective, **settings,
    )  # fmt: skip
    model.learn(128)
    return model


def weights(model) -> Tensor:
    return torch.cat([value.flatten() for value in model.policy.state_dict().values()])


class Zero(LossTerm):
    """Contributes nothing, with gradient."""

    def forward(self, rollout: Rollout, policy_output: PolicyOutput):
        return (policy_output.log_prob * 0.0).sum(), {"rows": float(rollout.B)}


class Same(AdvantageShaper):
    def forward(self, rollout: Rollout, advantage: Tensor) -> Tensor:
        return advantage.clone()


@pytest.mark.parametrize(
    ("algorithm", "settings"), [(PPO, SETTINGS), (A2C, {"n_steps": 16})], ids=["ppo", "a2c"]
)
def test_parts_that_change_nothing_leave_every_bit(algorithm: type, settings: dict) -> None:
    plain = trained(None, algorithm, **settings)
    hooked = trained(Objective({"zero": Zero(), "same": Same()}), algorithm, **settings)
    assert type(plain) is algorithm
    assert type(hooked).__name__ == f"Hooked{algorithm.__name__}"
    assert torch.equal(weights(plain), weights(hooked))


def test_an_entropy_term_equals_the_entropy_bonus_of_sb3() -> None:
    theirs = trained(None, **{**SETTINGS, "ent_coef": 2.0})
    ours = trained(Objective({"entropy": Weighted(EntropyBonus(), 2.0)}), **SETTINGS)
    without = trained(None, **SETTINGS)
    assert torch.allclose(weights(theirs), weights(ours), atol=1e-6)
    assert (weights(without) - weights(ours)).abs().max() > 1e-4


class Rows(LossTerm):
    """Checks that a minibatch's record, output and place in the rollout are of the same steps."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, int]] = []

    def forward(self, rollout: Rollout, policy_output: PolicyOutput):
        source = policy_output.source
        t, b = source.time, source.column
        assert policy_output.log_prob.shape == (1, rollout.B) == t.shape
        assert torch.equal(source.rollout.observation[t, b], rollout.observation)
        assert torch.equal(source.observation[t, b], rollout.observation)
        # The policy has not changed in the first minibatch: what it says is what was recorded.
        if not self.seen:
            assert torch.allclose(policy_output.log_prob, rollout["log_prob"], atol=1e-6)
            assert torch.allclose(policy_output.value, rollout["value"], atol=1e-6)
            taken = policy_output.logits.gather(-1, rollout.action.long().reshape(1, -1, 1))
            assert torch.allclose(taken.squeeze(-1), rollout["log_prob"], atol=1e-6)
            assert policy_output.hidden.shape == (1, rollout.B, 64)
        self.seen += list(zip(t.flatten().tolist(), b.flatten().tolist(), strict=True))
        return policy_output.log_prob.new_zeros(()), {}

    requires: ClassVar[frozenset[str]] = frozenset({"log_prob", "value"})


def test_every_step_is_seen_once_in_an_epoch() -> None:
    rows = Rows()
    trained(Objective({"rows": rows}), **{**SETTINGS, "n_steps": 64, "n_epochs": 1})
    assert sorted(rows.seen) == [(t, b) for t in range(64) for b in range(2)]


class Pull(LossTerm):
    """A head of its own on the policy's features."""

    def bind(self, policy: torch.nn.Module) -> None:
        self.head = torch.nn.Linear(64, 1)
        torch.nn.init.constant_(self.head.weight, 0.1)

    def forward(self, rollout: Rollout, policy_output: PolicyOutput):
        return self.head(policy_output.hidden).square().mean(), {}


def test_own_parameters_join_the_optimiser_and_the_gradient_reaches_the_policy() -> None:
    term = Pull()
    model = trained(Objective({"pull": Weighted(term, 5.0)}), **SETTINGS)
    assert isinstance(model, HookedPPO)
    groups = model.policy.optimizer.param_groups
    assert [id(p) for p in groups[-1]["params"]] == [id(p) for p in term.head.parameters()]
    assert not torch.allclose(term.head.weight, torch.full_like(term.head.weight, 0.1))
    assert not torch.equal(weights(model), weights(trained(None, **SETTINGS)))
    # SB3's schedule of the learning rate drives the head, too.
    model._current_progress_remaining = 0.5
    model.lr_schedule = lambda progress: 0.123 * progress
    model._update_learning_rate(model.policy.optimizer)
    assert groups[-1]["lr"] == pytest.approx(0.0615)


def test_a_shaper_acts_on_the_whole_rollout() -> None:
    class Negated(AdvantageShaper):
        def forward(self, rollout: Rollout, advantage: Tensor) -> Tensor:
            assert advantage.shape == (32, 2) == (rollout.T, rollout.B)
            return -advantage

    straight, negated = trained(None, **SETTINGS), trained(Objective({"n": Negated()}), **SETTINGS)
    assert not torch.allclose(weights(straight), weights(negated), atol=1e-4)
    # Whitened once more in minibatches by PPO; alone it only rescales them.
    whitened = trained(Objective({"w": Whitened()}), **SETTINGS)
    assert torch.allclose(weights(straight), weights(whitened), atol=2e-3)


def test_a_broken_part_is_named() -> None:
    class Infinite(AdvantageShaper):
        def forward(self, rollout: Rollout, advantage: Tensor) -> Tensor:
            return advantage / 0.0

    class Row(LossTerm):
        def forward(self, rollout: Rollout, policy_output: PolicyOutput):
            return policy_output.log_prob, {}

    with pytest.raises(ObjectiveError, match=r"'wild' of the objective returned (inf|-inf|nan) at"):
        trained(Objective({"wild": Infinite()}), **SETTINGS)
    with pytest.raises(ObjectiveError, match=r"'row' .*expected a finite scalar"):
        trained(Objective({"row": Row()}), **SETTINGS)


def test_learners_without_the_hooks_are_refused() -> None:
    from stable_baselines3 import SAC

    env = make_vec_env("Pendulum-v1", n_envs=1, seed=0)
    with pytest.raises(UserError, match="ppo and a2c, not with SAC"):
        make_model(SAC, env, objective=Objective({"zero": Zero()}))
    env.close()


def test_logits_of_continuous_actions_are_refused() -> None:
    class Logits(LossTerm):
        def forward(self, rollout: Rollout, policy_output: PolicyOutput):
            return policy_output.logits.sum(), {}

    with pytest.raises(UserError, match="not one choice among several"):
        trained(Objective({"logits": Logits()}), env="Pendulum-v1", **SETTINGS)


def test_dict_observations_reach_the_terms() -> None:
    class Nested(LossTerm):
        def forward(self, rollout: Rollout, policy_output: PolicyOutput):
            source = policy_output.source
            blstats = source.observation["blstats"][source.time, source.column]
            assert np.array_equal(blstats, rollout.observation["blstats"])
            return policy_output.log_prob.sum() * 0.0, {}

    pytest.importorskip("nle")
    model = trained(
        Objective({"nested": Nested()}), env="MiniHack-Room-5x5-v0", n_steps=16, batch_size=16,
        n_epochs=1,
    )  # fmt: skip
    assert "MiniHack-Room-5x5-v0" in envs.names()
    model.env.close()
