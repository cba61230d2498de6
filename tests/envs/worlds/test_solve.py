"""Exact solutions against numbers worked out by hand and against each other."""

import numpy as np
import pytest

from envs.worlds.chains import goal_chain, progress_chain
from envs.worlds.grids import lava_grid, open_grid
from envs.worlds.mdp import FiniteMDP, from_outcomes
from envs.worlds.random_mdp import random_mdp
from envs.worlds.solve import (
    evaluate_policy,
    finite_horizon,
    finite_horizon_value,
    occupancy,
    value_iteration,
)

# Two states, two actions; values under a uniform policy are known fractions.
SMALL = FiniteMDP(
    transition=np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.0, 1.0]]]),
    reward=np.array([[[1.0, 0.0], [0.0, 2.0]], [[0.0, -1.0], [3.0, 1.0]]]),
    terminal=np.zeros(2, dtype=bool),
    start=np.array([0.25, 0.75]),
)
UNIFORM = np.full((2, 2), 0.5)


def test_that_values_of_a_uniform_policy_are_those_worked_out_by_hand():
    assert evaluate_policy(SMALL, UNIFORM, 0.9) == pytest.approx([6.952055, 5.582192], abs=1e-6)


def test_that_a_chain_has_discounted_values():
    mdp = goal_chain(1, length=4, goal_reward=10.0).mdp
    found = value_iteration(mdp, 0.95)
    assert found.value == pytest.approx([8.57375, 9.025, 9.5, 10, 0])
    assert found.policy[:4].tolist() == [1, 1, 1, 1]
    assert evaluate_policy(mdp, found.policy, 0.95) == pytest.approx(found.value)
    gap = found.q[:4, 1] - found.q[:4, 0]
    assert gap == pytest.approx([0.428688, 0.879938, 0.92625, 0.975], abs=1e-6)


def test_that_shaping_by_a_potential_keeps_the_optimum_and_a_plain_difference_does_not():
    mdp = progress_chain(1).mdp
    phi = np.array([0, 0.4, 0.8, 1.0])
    gamma = 0.9
    gold = value_iteration(mdp, gamma)
    assert gold.q[2] == pytest.approx([0.55136, 0.61262], abs=1e-5)
    assert gold.policy[:3].tolist() == [1, 1, 1]
    ended = np.where(mdp.terminal, 0.0, phi)
    shaped = mdp.with_reward(mdp.reward + gamma * ended[None, None, :] - phi[:, None, None])
    potential = value_iteration(shaped, gamma)
    assert potential.q[2] == pytest.approx([-0.24864, -0.18738], abs=1e-5)
    assert potential.q[:3] == pytest.approx(gold.q[:3] - phi[:3, None], abs=1e-9)
    naive = value_iteration(
        mdp.with_reward(np.broadcast_to(phi[None, None, :] - phi[:, None, None], (4, 2, 4))), gamma
    )
    assert naive.q[2] == pytest.approx([0.0, -0.0212], abs=1e-4)
    assert naive.policy[2] == 0


def test_that_a_strong_difference_beats_a_rare_goal():
    mdp = progress_chain(1, success_probability=0.2).mdp
    phi = np.array([0, 0.4, 0.8, 1.0])
    step = phi[None, None, :] - phi[:, None, None]
    hacked = value_iteration(mdp.with_reward(mdp.reward + 5 * step), 0.9)
    assert hacked.q[2] == pytest.approx([0.0, -0.064], abs=1e-3)
    assert value_iteration(mdp, 0.9).policy[2] == 1


@pytest.mark.parametrize("seed", range(3))
def test_that_the_tools_agree_on_a_random_world(seed):
    mdp = random_mdp(1, states=12, mdp_seed=seed).mdp
    generator = np.random.default_rng(seed)
    policy = generator.dirichlet(np.ones(4), size=12)
    value = evaluate_policy(mdp, policy, 0.9)
    backup = (policy * (mdp.expected_reward + 0.9 * mdp.transition @ value)).sum(axis=1)
    assert backup == pytest.approx(value)
    visits = occupancy(mdp, policy, 0.9)
    assert visits.sum() == pytest.approx(10)
    assert (visits * mdp.expected_reward).sum() == pytest.approx(mdp.start @ value)
    best = value_iteration(mdp, 0.9)
    assert evaluate_policy(mdp, best.policy, 0.9) == pytest.approx(best.value)
    assert (best.value >= value - 1e-9).all()
    long = finite_horizon_value(mdp, policy, 400, 0.9)
    assert long == pytest.approx(value)
    assert finite_horizon(mdp, 400, 0.9).value[0] == pytest.approx(best.value)


def test_that_a_horizon_gives_the_policy_of_every_step():
    mdp = goal_chain(1, length=4).mdp
    found = finite_horizon(mdp, 3)
    assert found.value.tolist() == [[0, 1, 1, 1, 0], [0, 0, 1, 1, 0], [0, 0, 0, 1, 0], [0] * 5]
    assert found.policy.shape == (3, 5)
    assert finite_horizon_value(mdp, found.policy, 3).tolist() == found.value[0].tolist()
    with pytest.raises(ValueError, match="for 2 steps, got 3"):
        finite_horizon_value(mdp, found.policy, 2)


def test_that_visits_of_an_episode_are_counted_until_its_end():
    mdp = from_outcomes(
        3, 1, lambda s, a: [(0.75, s, 0.0), (0.25, s + 1, 0.0)], start=0, terminal=[2]
    )
    assert occupancy(mdp, np.zeros(3, dtype=int), 1.0)[:, 0] == pytest.approx([4, 4, 0])


def test_that_the_shortest_way_is_found_without_discount():
    mdp = lava_grid(1).mdp
    value = value_iteration(mdp, 0.95).value
    assert value[10] == pytest.approx(0.95**22)  # 23 moves from the start
    costs = mdp.with_reward(np.full((100, 4, 1), -1.0))
    assert value_iteration(open_grid(1, layout=["S..G"]).mdp, 1.0).value.tolist() == [1, 1, 1, 0]
    with pytest.raises(ValueError, match="reach an end from every state"):
        evaluate_policy(costs, np.zeros(100, dtype=int), 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: value_iteration(SMALL, 1.5), "discount must lie in"),
        (lambda: evaluate_policy(SMALL, UNIFORM, -0.1), "discount must lie in"),
        (lambda: evaluate_policy(SMALL, np.ones((2, 2)), 0.9), "sum to 1"),
        (lambda: evaluate_policy(SMALL, np.ones((3, 1)), 0.9), r"\(2, 2\).*got an array \(3, 1\)"),
        (lambda: occupancy(SMALL, UNIFORM, 1.0), "reach an end"),
        (lambda: finite_horizon(SMALL, 0), "at least 1 step"),
    ],
)
def test_that_what_has_no_answer_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
