"""The chains: which way they lead, what they pay and where they end."""

import numpy as np
import pytest

import envs
from envs.worlds.chains import (
    combination_lock,
    goal_chain,
    progress_chain,
    quest_chain,
    slippery_chain,
)
from envs.worlds.solve import finite_horizon, finite_horizon_value


def run(name: str, actions: list[int], **options) -> list[tuple]:
    env = envs.make(name, **options)
    env.reset(seed=0)
    return [env.step(action) for action in actions]


def test_that_progress_is_reported_and_the_last_step_is_risky():
    steps = run("ProgressChain-v0", [1, 0, 1, 1], success_probability=1.0)
    assert [step[4]["progress"] for step in steps] == [0.4, 0.4, 0.8, 1.0]
    assert [step[1] for step in steps] == [0, 0, 0, 1]
    assert steps[-1][2]
    assert steps[-1][4]["is_success"]
    assert progress_chain(1).mdp.transition[2, 1].tolist() == [0.7, 0, 0, 0.3]
    env = envs.make("ProgressChain-v0", observation="progress")
    env.reset(seed=0)
    assert env.step(1)[0] == pytest.approx([0.4])
    with pytest.raises(ValueError, match="must be a probability"):
        progress_chain(1, success_probability=1.2)


def test_that_the_goal_chain_pays_at_its_end_only():
    steps = run("GoalChain-v0", [0, *[1] * 20])
    assert [step[1] for step in steps] == [0] * 20 + [1]
    assert (steps[0][4]["position"], steps[-1][2], steps[-1][4]["is_success"]) == (0, True, True)
    steps = run("GoalChain-v0", [1] * 12, length=12, goal_reward=10.0)
    assert steps[-1][1] == 10
    with pytest.raises(ValueError, match="at least 1 state"):
        goal_chain(1, length=0)


def test_that_the_slippery_chain_pays_for_the_chosen_action():
    simulation = slippery_chain(1, distractor=0.01)
    mdp = simulation.mdp
    assert mdp.num_states == 62
    assert mdp.start[40] == 1
    assert mdp.expected_reward[60].tolist() == [0, 1]
    assert mdp.expected_reward[25] == pytest.approx([0.01, 0])
    assert mdp.transition[30, 1, [29, 31]] == pytest.approx([0.025, 0.975])
    assert mdp.transition[60, 1, [59, 60]] == pytest.approx([0.025, 0.975])
    assert mdp.transition[0, 0, [61, 1]] == pytest.approx([0.975, 0.025])
    assert mdp.terminal.tolist() == [False] * 61 + [True]
    # Twenty steps to the right end leave about twenty payments: one per step, less the slips.
    best = finite_horizon(slippery_chain(1, slip=0.0).mdp, 40)
    assert best.value[0][40] == 20
    assert not slippery_chain(1).mdp.reward[:, 0].any()
    fall = run("SlipperyChain-v0", [0] * 3, start=2, slip=0.0, distractor_state=0)
    assert [step[4]["position"] for step in fall] == [1, 0, -1]
    assert (fall[-1][1], fall[-1][2]) == (0, True)
    again = run("SlipperyChain-v0", [1] * 3, length=41, slip=0.0)
    assert [(step[1], step[4]["goal"], step[2]) for step in again] == [
        (0, 0, False),
        (1, 1, False),
        (1, 1, False),
    ]
    for wrong in ({"slip": -0.1}, {"start": 61}, {"distractor_state": 99}):
        with pytest.raises(ValueError, match=r"probability|must lie in"):
            slippery_chain(1, **wrong)


def test_that_the_lock_has_one_good_action_per_state():
    mdp = combination_lock(1).mdp
    assert (mdp.num_states, mdp.num_actions) == (7, 3)
    forward = mdp.transition[np.arange(6), :, np.arange(1, 7)]
    assert np.sort(forward, axis=1).tolist() == [[0.05, 0.05, 0.9]] * 6
    assert mdp.transition[1:6, :, 0] == pytest.approx(1 - forward[1:])
    assert mdp.transition[6, :, 6].tolist() == [0.9] * 3
    assert mdp.expected_reward[:, 0] == pytest.approx([0] * 6 + [0.1])
    good = forward.argmax(axis=1)
    optimal = finite_horizon_value(mdp, np.append(good, 0), 10)[0]
    assert finite_horizon(mdp, 10).value[0][0] == pytest.approx(optimal)
    uniform = np.full((7, 3), 1 / 3)
    assert finite_horizon_value(mdp, uniform, 10)[0] < 0.02
    assert 0.15 < optimal < 1
    another = combination_lock(1, lock_seed=1).mdp
    assert not np.array_equal(another.transition, mdp.transition)
    with pytest.raises(ValueError, match="reward_state from 0 to 6"):
        combination_lock(1, reward_state=7)


def test_that_a_quest_takes_the_right_commands():
    simulation = quest_chain(1)
    right = simulation.mdp.reward[:6].max(axis=2).argmax(axis=1).tolist()
    steps = run("QuestChain-v0", right)
    assert [step[1] for step in steps] == pytest.approx([1 / 6] * 6)
    assert (steps[-1][2], steps[-1][4]["is_success"]) == (True, True)
    sparse = run("QuestChain-v0", right, dense=False)
    assert [step[1] for step in sparse] == [0] * 5 + [1]
    wrong = run("QuestChain-v0", [(right[0] + 1) % 8] * 12)
    assert {step[4]["position"] for step in wrong} == {0}
    assert (wrong[-1][2], wrong[-1][3]) == (False, True)
    with pytest.raises(ValueError, match="at least 1"):
        quest_chain(1, length=0)
