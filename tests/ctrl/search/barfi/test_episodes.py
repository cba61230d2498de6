from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy.stats import chisquare

from ctrl.search.barfi.episodes import EpisodeBatch, EpisodeReplay, joined
from ctrl.search.barfi.policies import GaussianPolicy, SoftmaxPolicy, make_policy
from reward_models.blend import make_features
from reward_models.errors import UserError


def _episode(length, value):
    full = torch.full((length, 1), float(value), dtype=torch.float64)
    return EpisodeBatch(
        observation=full.long(),
        action=full.long(),
        rewards=torch.stack([full, -full], -1),
        mask=torch.ones(length, 1, dtype=torch.bool),
        terminated=torch.tensor([value % 2 == 0]),
    )


def test_joining_and_splitting_are_inverse():
    episodes = [_episode(length, k) for k, length in enumerate((3, 1, 5))]
    batch = joined(episodes)
    assert batch.mask.sum(0).tolist() == [3, 1, 5]
    assert batch.returns().tolist() == [[0, 0], [1, -1], [10, -10]]
    for before, after in zip(episodes, batch.split(), strict=True):
        for name, tensor in before.as_dict().items():
            assert torch.equal(tensor, after.as_dict()[name])


def test_the_replay_keeps_the_newest():
    replay = EpisodeReplay(3)
    for k in range(5):
        replay.add(_episode(2, k))
    random = np.random.default_rng(0)
    found = replay.sample(10, random)
    assert sorted(found.observation[0].tolist()) == [2, 3, 4]
    assert sorted(replay.sample(9, random, skip_newest=1).observation[0].tolist()) == [2, 3]
    assert replay.sample(1, random, skip_newest=3) is None
    with pytest.raises(UserError, match="at least 1"):
        EpisodeReplay(0)


def test_draws_are_uniform_and_without_repeats():
    replay, random = EpisodeReplay(6), np.random.default_rng(0)
    for k in range(6):
        replay.add(_episode(1, k))
    counts = np.zeros(6)
    for _ in range(600):
        drawn = replay.sample(3, random).observation[0].tolist()
        assert len(set(drawn)) == 3
        counts[drawn] += 1
    assert chisquare(counts).pvalue > 1e-3


def test_collected_episodes_are_whole_and_padded(make_learner):
    learner = make_learner(schedule={"episodes": 8})
    batch, _ = learner.collector.collect(learner.policy)
    lengths = batch.mask.sum(0)
    assert len(batch) == 8
    assert int(lengths.max()) == len(batch.mask) <= 20
    for column, length in enumerate(lengths.tolist()):
        assert batch.mask[:length, column].all()
        assert not batch.mask[length:, column].any()
        # Every episode starts in the middle; it is short exactly where it reached the goal.
        assert int(batch.observation[0, column]) == 4
        assert bool(batch.terminated[column]) == (batch.task[:length, column].sum() == 1.0)
        assert length == 20 or bool(batch.terminated[column])
    assert learner.collector.steps == 8 * len(batch.mask)


def test_batches_depend_on_seed_and_number_alone(make_learner):
    first, second, other = make_learner(), make_learner(), make_learner(seed=1)
    one, _ = first.collector.collect(first.policy)
    two, _ = first.collector.collect(first.policy)
    second.collector.number = 1
    again, _ = second.collector.collect(second.policy)
    elsewhere, _ = other.collector.collect(other.policy)
    assert torch.equal(two.action, again.action)
    assert torch.equal(two.observation, again.observation)
    assert not all(torch.equal(one.action[:5], batch.action[:5]) for batch in (two, elsewhere))


def test_terms_are_weighted_and_kept_apart(make_learner):
    learner = make_learner(reward={"hint": {"use": "constant", "value": 0.5, "weight": 3.0}})
    batch, _ = learner.collector.collect(learner.policy)
    assert batch.rewards.shape[-1] == 2
    assert batch.auxiliary[batch.mask].unique().tolist() == [1.5]
    assert set(batch.task[batch.mask].unique().tolist()) <= {0.0, 1.0}


def test_softmax_is_the_categorical_distribution():
    features = make_features(None, spaces.Discrete(3))
    policy = SoftmaxPolicy(features, action_space=spaces.Discrete(4, start=2))
    with torch.no_grad():
        policy.weight.copy_(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
    observation, action = torch.tensor([0, 1, 2]), torch.tensor([3, 0, 1])
    expected = torch.distributions.Categorical(logits=policy.head(observation))
    log_prob, entropy = policy.evaluate(observation, action)
    torch.testing.assert_close(log_prob, expected.log_prob(action))
    torch.testing.assert_close(entropy, expected.entropy())
    assert policy.executed(action).tolist() == [5, 2, 3]
    generator = torch.Generator().manual_seed(0)
    drawn = policy.sample(torch.zeros(4000, dtype=torch.int64), generator)
    counts = torch.bincount(drawn, minlength=4).numpy()
    probabilities = expected.probs[0].detach().numpy()
    assert chisquare(counts, probabilities * 4000).pvalue > 1e-3


def test_gaussian_is_the_normal_distribution():
    box = spaces.Box(-1.0, 1.0, (3,), np.float32)
    actions = spaces.Box(np.array([-2.0, 0.0]), np.array([2.0, 1.0]), dtype=np.float64)
    policy = GaussianPolicy(
        make_features(None, box), action_space=actions, hidden=(4,), deviation=0.3
    )
    with torch.no_grad():
        policy.bias.copy_(torch.tensor([0.2, -0.4]))
    observation, action = (
        torch.zeros(5, 3),
        torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
    )
    expected = torch.distributions.Normal(policy.head(observation), policy.log_deviation.exp())
    log_prob, entropy = policy.evaluate(observation, action)
    torch.testing.assert_close(log_prob, expected.log_prob(action).sum(-1))
    torch.testing.assert_close(entropy, expected.entropy().sum(-1))
    far = torch.tensor([[-9.0, 9.0], [0.0, 0.0]], dtype=torch.float64)
    assert policy.executed(far).tolist() == [[-2.0, 1.0], [0.0, 0.5]]


@pytest.mark.parametrize("hidden", [(), (3,)])
def test_second_derivatives_exist(hidden):
    box = spaces.Box(-1.0, 1.0, (2,), np.float32)
    for actions in (spaces.Discrete(2), spaces.Box(-1.0, 1.0, (1,), np.float32)):
        policy = make_policy(make_features(None, box), actions, hidden=hidden, seed=3)
        observation = torch.full((4, 2), 0.7)
        action = torch.zeros(4, dtype=torch.int64)
        if isinstance(actions, spaces.Box):
            action = torch.full((4, 1), 0.5, dtype=torch.float64)
        objective = policy.evaluate(observation, action)[0].sum()
        theta = list(policy.parameters())
        first = torch.autograd.grad(objective, theta, create_graph=True)
        total = sum(gradient.square().sum() for gradient in first)
        second = torch.autograd.grad(total, theta, allow_unused=True)
        assert any(gradient is not None and bool(gradient.any()) for gradient in second)


def test_other_actions_are_refused():
    features = make_features(None, spaces.Discrete(2))
    with pytest.raises(UserError, match="Discrete or Box"):
        make_policy(features, spaces.MultiBinary(2))
    with pytest.raises(UserError, match="bounded actions"):
        make_policy(features, spaces.Box(-np.inf, np.inf, (1,)))
    with pytest.raises(UserError, match="deviation"):
        make_policy(features, spaces.Box(-1.0, 1.0, (1,)), deviation=0.0)
