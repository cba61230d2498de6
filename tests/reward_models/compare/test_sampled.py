"""Sampled distances against exact ones on a finite world, and their errors and noise floor."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from envs.worlds.random_mdp import random_transition
from reward_models import Rollout
from reward_models.base import RewardModel, Scope, as_reward_model
from reward_models.compare.canonical import Canonical
from reward_models.compare.distance import Metric
from reward_models.compare.evaluate import check_comparable, reward_values
from reward_models.compare.features import FourierFeatures, flat_observations, random_potentials
from reward_models.compare.sampled import (
    SampledVal,
    Tried,
    Visits,
    fixed_form,
    sampled_distances,
)
from reward_models.errors import RewardError, UserError

GAMMA = 0.9
STATES, ACTIONS, GROUPS = 6, 3, 10


def finite_world(seed=0, rewards=3):
    random = np.random.default_rng(seed)
    transition = random_transition(random, STATES, ACTIONS, 0.0)
    return transition, random.standard_normal((rewards, *transition.shape)), random


def successor(transition, states, actions, random):
    bounds = transition[states, actions].cumsum(axis=-1)
    drawn = random.random((*states.shape, 1)) > bounds
    return np.minimum(drawn.sum(axis=-1), STATES - 1)


def samples(transition, rewards, random, *, visits, tried, actions, successors):
    """States uniform, actions uniform, next states from the dynamics; one-hot observations."""
    seen = np.eye(STATES)
    s, a = random.integers(STATES, size=visits), random.integers(ACTIONS, size=visits)
    t = successor(transition, s, a, random)
    on_policy = Visits(
        seen[s], seen[t], np.ones(visits), rewards[:, s, a, t].T, np.arange(visits) % GROUPS
    )
    s = np.repeat(random.integers(STATES, size=tried)[:, None, None], actions, axis=1)
    s = np.repeat(s, successors, axis=2)
    a = np.repeat(random.integers(ACTIONS, size=(tried, actions, 1)), successors, axis=2)
    t = successor(transition, s, a, random)
    paid = np.moveaxis(rewards[:, s, a, t], 0, -1)
    branches = Tried(
        seen[s[:, 0, 0]], seen[t], np.ones(t.shape), paid, np.arange(tried) * GROUPS // tried
    )
    return on_policy, branches


def exact(transition, rewards):
    metric = Metric(Canonical.VAL, "weighted_2", "weighted_2")
    return metric.matrix(transition, rewards, gamma=GAMMA)


def estimate(transition, rewards, random, *, successors, actions=4, tried=2000):
    size = {"visits": 20_000, "tried": tried, "actions": actions, "successors": successors}
    count = len(rewards)
    form = SampledVal(
        *samples(transition, rewards, random, **size), gamma=GAMMA, seed=0, features=16
    )
    return sampled_distances(
        form, np.eye(count), np.ones(count), np.full(count, 10.0), groups=GROUPS
    )


@pytest.mark.parametrize(("actions", "successors"), [(1, 8), (8, 4)])
def test_that_sampled_val_approaches_the_exact_one(actions, successors):
    transition, rewards, random = finite_world()
    found = estimate(transition, rewards, random, successors=successors, actions=actions)
    errors = np.abs(found.distance - exact(transition, rewards))
    assert (errors <= 3.5 * found.error + 1e-12).all()
    assert found.error.max() < 0.08
    assert not found.trivial.any()


def test_that_random_dynamics_do_not_push_rewards_apart():
    bias = {1: [], 4: []}
    for seed in range(8):
        transition, rewards, random = finite_world(seed, rewards=2)
        true = exact(transition, rewards)[0, 1]
        for successors, found in bias.items():
            result = estimate(transition, rewards, random, successors=successors, tried=500)
            found.append(result.distance[0, 1] - true)
    # One outcome per action: its noise is not told from the reward's own content.
    assert np.mean(bias[1]) > 0.05
    assert abs(np.mean(bias[4])) < 3 * np.std(bias[4]) / np.sqrt(8)


def test_that_standard_errors_are_as_large_as_the_errors_are():
    transition, rewards, random = finite_world(rewards=2)
    size = {"visits": 2000, "tried": 300, "actions": 6, "successors": 4}
    points, errors = [], []
    for seed in range(30):
        form = SampledVal(
            *samples(transition, rewards, random, **size), gamma=GAMMA, seed=seed, features=16
        )
        found = sampled_distances(form, np.eye(2), np.ones(2), np.full(2, 10.0), groups=GROUPS)
        points.append(found.distance[0, 1])
        errors.append(found.error[0, 1])
    ratio = np.mean(errors) / np.std(points, ddof=1)
    assert 0.6 < ratio < 1.7  # the deviation of 30 points is itself known to 13 %


def test_that_shaping_drops_out_of_any_number_of_samples():
    transition, rewards, random = finite_world(rewards=1)
    potential = 5.0 * random.standard_normal(STATES)
    shaped = rewards + GAMMA * potential - potential[:, None, None]
    both = np.concatenate([rewards, shaped, 3.0 * rewards, -rewards])
    size = {"visits": 400, "tried": 50, "actions": 4, "successors": 1}
    form = SampledVal(
        *samples(transition, both, random, **size), gamma=GAMMA, seed=0, features=32, ridge=1e-12
    )
    found = sampled_distances(form, np.eye(4), np.ones(4), np.full(4, 50.0), groups=GROUPS)
    assert found.distance[0, 1] < 1e-5
    assert found.distance[0, 2] < 1e-9
    assert found.distance[0, 3] == pytest.approx(2.0)


def test_the_floor_and_what_is_trivial():
    transition, rewards, random = finite_world(rewards=1)
    potential = random.standard_normal(STATES)
    shaping = GAMMA * potential - potential[:, None, None] + 0.0 * rewards[0]
    columns = np.stack([rewards[0], np.full_like(rewards[0], 2.0), shaping / shaping.std()])
    size = {"visits": 3000, "tried": 300, "actions": 4, "successors": 1}
    form = SampledVal(
        *samples(transition, columns, random, **size), gamma=GAMMA, seed=0, features=32, ridge=1e-12
    )
    found = sampled_distances(form, np.eye(2), np.ones(2), np.full(2, 20.0), groups=GROUPS)
    assert found.trivial.tolist() == [False, True]
    assert found.distance[0, 1] == pytest.approx(1.0)
    assert found.floor[0] < 1e-4
    assert found.floor[1] == 0.0
    # Without a canonical form the same copy is far away.
    raw = np.moveaxis(columns, 0, -1).reshape(-1, 3)
    groups = np.arange(len(raw)) % GROUPS
    plain = sampled_distances(
        fixed_form(raw, groups), np.eye(2), np.ones(2), np.full(2, 20.0), groups=GROUPS
    )
    assert plain.floor[0] > 0.3


def test_that_an_ended_task_is_worth_nothing():
    # Two states; action 1 in state 0 pays 1 and ends, action 0 stays. V(0) = (1 + 0.9 V(0)) / 2.
    seen = np.array([[0.0], [1.0]])
    s = np.tile([0, 1], 2000)
    a = np.tile([0, 0, 1, 1], 1000)
    paid = np.where((s == 0) & (a == 1), 1.0, 0.0)[:, None]
    ends = ((s == 0) & (a == 1)).astype(float)
    visits = Visits(seen[s], seen[s], 1.0 - ends, paid, np.arange(4000) // 40 % GROUPS)
    tried = Tried(
        seen[[0] * 20], seen[np.zeros((20, 2, 1), dtype=int)],
        np.tile([[1.0], [0.0]], (20, 1, 1)), np.tile([[[0.0]], [[1.0]]], (20, 1, 1, 1)),
        np.arange(20) % GROUPS,
    )  # fmt: skip
    form = SampledVal(visits, tried, gamma=GAMMA, seed=0, features=4, ridge=1e-10)()
    value = 0.5 / (1 - 0.45)
    expected = np.array([0.9 * value, 1.0])
    np.testing.assert_allclose(form[0, :, 0, 0], expected - expected.mean(), atol=1e-6)


def test_that_a_discount_of_one_is_refused():
    transition, rewards, random = finite_world()
    size = {"visits": 100, "tried": 20, "actions": 2, "successors": 1}
    with pytest.raises(UserError, match="gamma must lie"):
        SampledVal(*samples(transition, rewards, random, **size), gamma=1.0, seed=0)


def test_that_norms_are_means_over_samples():
    random = np.random.default_rng(0)
    values = random.standard_normal((500, 2))
    groups = np.arange(500) % GROUPS
    arguments = (fixed_form(values, groups), np.eye(2), np.ones(2), np.ones(2))
    one, other = values.T
    for norm, size in (("1", lambda x: np.abs(x).mean()), ("inf", lambda x: np.abs(x).max())):
        found = sampled_distances(*arguments, groups=GROUPS, norm=norm, distance=norm)
        assert found.distance[0, 1] == pytest.approx(size(one / size(one) - other / size(other)))
    pearson = sampled_distances(*arguments, groups=GROUPS, distance="pearson").distance[0, 1]
    assert pearson == pytest.approx(np.sqrt((1 - np.corrcoef(one, other)[0, 1]) / 2))
    with pytest.raises(UserError, match="only for the scaling"):
        sampled_distances(*arguments, groups=GROUPS, distance="0")


def test_that_observations_become_rows_of_numbers():
    space = spaces.Dict(
        {
            "a": spaces.Box(-1, 1, (2, 3)),
            "b": spaces.Discrete(4, start=1),
            "c": spaces.MultiBinary(2),
        }
    )
    seen = {"a": np.ones((5, 7, 2, 3)), "b": np.full((5, 7), 2), "c": np.zeros((5, 7, 2))}
    found = flat_observations(space, seen)
    assert found.shape == (5, 7, 12)
    np.testing.assert_array_equal(found[0, 0], [1, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0])
    with pytest.raises(UserError, match="Text cannot be turned into features"):
        flat_observations(spaces.Text(3), np.zeros(1))


def test_that_features_leave_out_what_never_varies():
    random = np.random.default_rng(0)
    seen = np.column_stack([random.standard_normal(200), np.full(200, 3.0)])
    features = FourierFeatures(seen, size=16, seed=0)
    changed = seen.copy()
    changed[:, 1] = -50.0
    np.testing.assert_array_equal(features(seen), features(changed))
    assert features(seen).shape == (200, 1 + 16 + 1)
    assert random_potentials(seen, count=3, seed=0)(seen[:5]).shape == (5, 3)


# -- reward models -------------------------------------------------------------------------------


def rollout(steps=4):
    flags = torch.zeros(1, steps, dtype=torch.bool)
    return Rollout(
        observation=torch.zeros(1, steps, 3), action=torch.zeros(1, steps, 1),
        next_observation=torch.ones(1, steps, 3), reward=torch.ones(1, steps),
        terminated=flags, truncated=flags,
    )  # fmt: skip


class Episodic(RewardModel):
    scope = Scope.EPISODE

    def forward(self, rollout):
        return rollout.reward


class Remembering(RewardModel):
    replayable = False

    def forward(self, rollout):
        return rollout.reward


def test_which_rewards_can_be_compared():
    with pytest.raises(UserError, match="has scope 'episode': its value depends on more"):
        check_comparable("late", Episodic())
    with pytest.raises(UserError, match="remembers the running episode"):
        check_comparable("memory", Remembering())
    with pytest.raises(UserError, match="needs 'log_prob', a quantity of a policy"):
        check_comparable("policy", as_reward_model(lambda log_prob: log_prob))
    check_comparable("speed", as_reward_model(lambda x_velocity, success: x_velocity + success))


def test_that_a_reward_over_another_space_is_refused_with_the_reason():
    with pytest.raises(UserError, match=r"on observations \[1, 4, 3\].*different spaces"):
        reward_values("far", as_reward_model(lambda observation: observation[..., 7]), rollout())
    with pytest.raises(RewardError, match="must be finite"):
        reward_values("nan", as_reward_model(lambda reward: reward * torch.nan), rollout())


def test_that_undefined_steps_pay_nothing():
    def half(reward):
        return reward * 2, {"defined": torch.tensor([[True, False, True, True]])}

    assert reward_values("half", as_reward_model(half), rollout()).tolist() == [[2, 0, 2, 2]]
