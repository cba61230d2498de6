"""Tables are checked when they are made, and cannot be changed after."""

import numpy as np
import pytest

from envs.worlds.mdp import FiniteMDP, from_outcomes

STAY = np.eye(2)[:, None, :]  # two states, one action that stays


def make(**changed) -> FiniteMDP:
    parts = {
        "transition": STAY,
        "reward": np.zeros((2, 1, 2)),
        "terminal": np.array([False, True]),
        "start": np.array([1.0, 0.0]),
    }
    return FiniteMDP(**{**parts, **changed})


def test_that_outcomes_become_tables():
    def rule(s, a):
        if s + a == 0:
            return [(1, 0, 3)]
        return [(0.25, 0, 0.0), (0.5, s + a, 2.0), (0.25, s + a, 2.0)]

    mdp = from_outcomes(3, 2, rule, start=1, terminal=[2])
    assert mdp.transition[0].tolist() == [[1, 0, 0], [0.25, 0.75, 0]]
    assert mdp.transition[1].tolist() == [[0.25, 0.75, 0], [0.25, 0, 0.75]]
    assert mdp.transition[2].tolist() == [[0, 0, 1], [0, 0, 1]]
    assert mdp.reward[0].tolist() == [[3, 0, 0], [0, 2, 0]]
    assert mdp.expected_reward.tolist() == [[3, 1.5], [1.5, 1.5], [0, 0]]
    assert (mdp.num_states, mdp.num_actions) == (3, 2)
    assert mdp.start.tolist() == [0, 1, 0]


def test_that_the_arrays_are_read_only_copies():
    reward = np.zeros((2, 1, 2))
    mdp = make(reward=reward)
    reward += 1
    assert not mdp.reward.any()
    for values in (mdp.transition, mdp.reward, mdp.terminal, mdp.start):
        with pytest.raises(ValueError, match="read-only"):
            values[...] = 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"transition": np.eye(2)}, r"\[S, A, S\], got \(2, 2\)"),
        ({"transition": STAY * 0.5}, r"transition\[0, 0\] sums to 0.5"),
        ({"transition": np.array([[[2.0, -1.0]], [[0.0, 1.0]]])}, "negative"),
        ({"transition": STAY * np.nan}, "not finite"),
        ({"transition": STAY[::-1]}, "must lead to itself"),
        ({"reward": np.ones((2, 1, 2))}, "must pay nothing"),
        ({"reward": np.full((2, 1, 2), np.inf)}, "finite"),
        ({"reward": np.zeros((3, 1, 2))}, r"rewards \(2, 1, 2\), got \(3, 1, 2\)"),
        ({"reward": np.zeros(2)}, "state left or the state reached"),
        ({"start": np.array([0.5, 0.4])}, "start sums to 0.9"),
        ({"start": np.ones(3)}, r"start of shape \(2,\)"),
        ({"terminal": np.array([True])}, r"terminal of shape \(2,\)"),
    ],
)
def test_that_tables_that_cannot_be_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        make(**changed)


def test_that_a_next_state_has_one_reward():
    with pytest.raises(ValueError, match=r"\(0, 0, 1\) comes with the rewards 1.0 and 2.0"):
        from_outcomes(2, 1, lambda s, a: [(0.5, 1, 1.0), (0.5, 1, 2.0)], start=0)


def test_that_another_reward_pays_nothing_at_the_end():
    mdp = from_outcomes(3, 1, lambda s, a: [(1.0, s + 1, 0.0)], start=0, terminal=[2])
    arriving = mdp.with_reward(np.array([5.0, 6.0, 7.0])[None, None, :])
    assert arriving.expected_reward[:, 0].tolist() == [6, 7, 0]
    leaving = mdp.with_reward(np.array([[5.0], [6.0], [7.0]]))
    assert leaving.expected_reward[:, 0].tolist() == [5, 6, 0]
    assert not mdp.reward.any()
