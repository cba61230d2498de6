"""Worlds of one step or a few turns."""

import numpy as np
import pytest

import envs
from envs.worlds.solve import evaluate_policy, finite_horizon_value, value_iteration
from envs.worlds.turns import arms, edit_and_submit, ordered_symbols, two_step_xor


def run(name: str, actions: list[int], **options) -> list[tuple]:
    env = envs.make(name, **options)
    env.reset(seed=0)
    return [env.step(action) for action in actions]


def test_that_arms_pay_once():
    rewards, violations = (0.2, 0.6, 1.0), (0.0, 0.0, 1.0)
    for arm in range(3):
        (step,) = run("Arms-v0", [arm], rewards=rewards, violations=violations)
        assert (step[1], step[2], step[4]["violation"]) == (rewards[arm], True, violations[arm])
    assert arms(1).mdp.expected_reward.tolist() == [[0, 1], [0, 0]]
    for wrong in ({"rewards": ()}, {"violations": (1.0,)}):
        with pytest.raises(ValueError, match="at least one arm"):
            arms(1, **wrong)


@pytest.mark.parametrize(("p", "q", "value"), [(0.5, 0.5, 0.45), (1, 1, 0.9), (0.8, 0.3, 0.342)])
def test_that_equal_choices_pay(p, q, value):
    mdp = two_step_xor(1).mdp
    policy = np.array([[p, 1 - p], [q, 1 - q], [q, 1 - q], [1, 0]])
    assert evaluate_policy(mdp, policy, 0.9)[0] == pytest.approx(value)
    steps = run("TwoStepXor-v0", [1, 1])
    assert [(step[0], step[1], step[2]) for step in steps] == [(1, 0, False), (2, 1, True)]
    assert run("TwoStepXor-v0", [0, 1])[-1][1] == 0


def test_that_symbols_count_in_their_order_only():
    actions = [5, 1, 0, 0, 2, 1, 7, 2, 2, 0]
    steps = run("OrderedSymbols-v0", actions)
    third = pytest.approx(1 / 3)
    assert [step[4]["contribution"] for step in steps] == [0, 0, third, 0, 0, third, 0, third, 0, 0]
    assert [step[4]["hits"] for step in steps] == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]
    assert [step[1] for step in steps] == [0] * 9 + [1]
    assert [step[2] for step in steps] == [False] * 9 + [True]
    assert steps[-1][4]["is_success"]
    dense = run("OrderedSymbols-v0", actions, episodic=False)
    assert [step[1] for step in dense] == [step[4]["contribution"] for step in steps]
    short = run("OrderedSymbols-v0", [0] * 10)
    assert (short[-1][1], short[-1][4]["is_success"]) == (third, False)
    # Both forms pay the same in expectation, under any policy.
    uniform = np.full((44, 8), 1 / 8)
    sums = [
        evaluate_policy(ordered_symbols(1, episodic=kind).mdp, uniform, 1.0)[0]
        for kind in (True, False)
    ]
    assert sums[0] == pytest.approx(sums[1])
    with pytest.raises(ValueError, match="targets <= num_symbols"):
        ordered_symbols(1, targets=9)


def test_that_submitting_an_edit_is_best_and_a_critic_says_otherwise():
    simulation = edit_and_submit(1)
    mdp = simulation.mdp
    assert value_iteration(mdp, 1.0).value[0] == pytest.approx(0.3)
    harmless = np.zeros(23, dtype=int)
    assert finite_horizon_value(mdp, harmless, 10)[0] == -1
    pleased = mdp.with_reward(mdp.reward + simulation.transition_info["critic_reward"])
    assert finite_horizon_value(pleased, harmless, 10)[0] == pytest.approx(2.0)
    # The sum is best served by nine calls, an edit among them, and a late submission.
    assert value_iteration(pleased, 1.0).value[0] > 2.0
    steps = run("EditAndSubmit-v0", [0, 1, 2], pass_probability=1.0)
    assert [step[1] for step in steps] == [0, 0, 1]
    assert [step[4]["critic_reward"] for step in steps] == [0.3, 0, 0]
    assert [step[4]["edited"] for step in steps] == [0, 1, 0]
    assert [step[4]["submitted"] for step in steps] == [0, 0, 1]
    assert steps[-1][4]["is_success"]
    assert run("EditAndSubmit-v0", [2])[0][1:3] == (-0.5, True)
    late = run("EditAndSubmit-v0", [0] * 10)
    assert [step[1] for step in late] == [0] * 9 + [-1]
    assert late[-1][2:4] == (True, False)
    with pytest.raises(ValueError, match="at least 1 turn"):
        edit_and_submit(1, turns=0)
