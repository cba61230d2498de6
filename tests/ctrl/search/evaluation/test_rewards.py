from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ctrl.config import EnvConfig, TermConfig
from ctrl.search.episodes import Episodes
from ctrl.search.evaluation import Evaluator, Setting
from reward_models.errors import UserError

REWARDS = '''
import torch
from reward_models.base import RewardModel, Scope
from reward_models.potential import Potential

def effort(action):
    return -action.square().sum(-1)

class Height(Potential):
    def potential(self, observation):
        return observation[..., 0]

class Longest(RewardModel):
    """How far from the origin the episode got, paid at its last step."""
    scope = Scope.EPISODE
    def forward(self, rollout):
        far = rollout.next_observation.norm(dim=-1)
        reward = torch.zeros_like(far)
        for e in rollout.episodes():
            reward[e.stop - 1, e.column] = far[e.start : e.stop, e.column].max()
        return reward

class Where(RewardModel):
    requires = frozenset({"state.position"})
    def forward(self, rollout):
        return rollout["state"]["position"][..., 1].float()

class Rank(RewardModel):
    batch_dependent = True
    def forward(self, rollout):
        return rollout.reward
'''


@pytest.fixture
def term(tmp_path):
    path = tmp_path / "rewards.py"
    path.write_text(REWARDS)
    return lambda name, **more: TermConfig(use=f"{path}:{name}", **more)


def _trace(setting, genomes):
    with Evaluator(replace(setting, samples=50, reward={})) as evaluator:
        return evaluator.evaluate(genomes, 0)


def test_the_reward_of_an_episode_is_the_sum_of_its_mix(walker, term, same):
    genomes = np.random.default_rng(0).normal(size=(9, 27))
    path = _trace(walker, genomes).samples
    setting = replace(
        walker,
        reward={
            "effort": term("effort", weight=0.01),
            "height": term("Height", weight=2.0),
            "longest": term("Longest"),
            "where": term("Where", weight=0.5),
        },
    )
    with Evaluator(setting) as evaluator:
        found = evaluator.evaluate(genomes, 0)
        parts = [evaluator.evaluate(genomes[a:b], a) for a, b in ((0, 1), (1, 4), (4, 9))]
        assert same(Episodes.joined(parts), found)
        before = np.concatenate([np.zeros((9, 1, 2)), path[:, :-1]], axis=1)
        act = [evaluator.genome.actor(np.repeat(g[None], 50, axis=0)) for g in genomes]
        actions = np.stack([a(b.astype(np.float32)) for a, b in zip(act, before, strict=True)])
    # The world ends its episode itself, so the potential is closed: its sum is -phi(start) = 0.
    expected = (
        found.task_reward
        - 0.01 * (actions.astype(np.float64) ** 2).sum(axis=(1, 2))
        + np.linalg.norm(path, axis=2).max(axis=1)
        + 0.5 * path[..., 1].sum(axis=1)
    )
    np.testing.assert_allclose(found.reward, expected, atol=1e-4)
    assert np.ptp(found.reward) > 1.0


def test_an_episode_that_ends_early_is_rewarded_for_its_own_steps():
    setting = Setting(
        env=EnvConfig("CartPole-v1"), reward={"task": TermConfig(use="task", weight=0.5)}
    )
    with Evaluator(setting) as evaluator:
        genomes = np.random.default_rng(1).normal(size=(8, evaluator.genome.size))
        found = evaluator.evaluate(genomes, 0)
    assert len(set(found.length.tolist())) > 2
    assert np.array_equal(found.task_reward, found.length)
    assert np.array_equal(found.reward, 0.5 * found.length)


def test_rewards_that_learn_or_compare_are_refused_with_the_reason(walker, term):
    with pytest.raises(UserError, match=r"(?s)- rnd: it learns from rollouts.*would drift apart"):
        Evaluator(replace(walker, reward={"rnd": TermConfig(use="rnd")}))
    with pytest.raises(UserError, match="- rank: its value depends on the episodes"):
        Evaluator(replace(walker, reward={"rank": term("Rank")}))


def test_scales_and_schedules_of_training_are_refused(walker, term):
    with pytest.raises(UserError, match="Set scale: none"):
        Evaluator(replace(walker, reward={"effort": term("effort", scale="return_std")}))
    schedule = {"linear": [1.0, 0.0, 1000]}
    with pytest.raises(UserError, match="Give a number"):
        Evaluator(replace(walker, reward={"effort": term("effort", weight=schedule)}))
