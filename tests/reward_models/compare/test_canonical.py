"""Canonical forms: the numbers of a world computed by hand, and what defines them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.worlds.random_mdp import random_reward, random_transition
from reward_models.compare.canonical import (
    Canonical,
    canonicalise,
    dard,
    epic,
    minimal,
    minimal_potential,
    val,
    val_potential,
)
from reward_models.compare.norms import Norm, norm_of
from reward_models.compare.regret import evaluate_policy
from reward_models.errors import UnknownNameError, UserError

LINEAR = [form for form in Canonical if form is not Canonical.MINIMAL_POTENTIAL]
FULL = (Canonical.VAL, Canonical.MINIMAL)


def drawn(seed, states=5, actions=3, gamma=0.9, count=2):
    random = np.random.default_rng(seed)
    transition = random_transition(random, states, actions, 0.0)
    rewards = [random_reward(random, states, actions, gamma) for _ in range(count)]
    return transition, np.stack(rewards), random


def test_values_and_val_by_hand(world):
    uniform = np.full((2, 2), 0.5)
    value = evaluate_policy(world.P, world.R, uniform, world.gamma)
    np.testing.assert_allclose(value, (6.952055, 5.582192), atol=1e-6)
    form = val(world.P, world.R, gamma=world.gamma)
    expected = np.array([[0.081507, -0.081507], [-0.441781, 0.441781]])
    np.testing.assert_allclose(form[..., 0], expected, atol=1e-6)
    np.testing.assert_array_equal(form[..., 0], form[..., 1])
    assert norm_of(form, Norm.L2, world.P) == pytest.approx(0.898474, abs=1e-6)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (val_potential,
         (0.304795, -1.928082, -0.695205, 0.071918, 0.674658, -1.558219, 3.674658, 0.441781)),
        (epic, (0.25, -0.75, -0.75, 1.25, -0.75, -1.75, 2.25, 0.25)),
        (dard, (-0.133, -1.745, -1.133, 0.255, 0.065, -1.475, 3.065, 0.525)),
    ],
)  # fmt: skip
def test_forms_by_hand(world, form, expected):
    found = form(world.P, world.R, gamma=world.gamma)
    np.testing.assert_allclose(found.reshape(-1), expected, atol=1e-6)


def test_dard_against_its_expectation_written_out():
    transition, (reward, _), random = drawn(3, states=4)
    actions = random.dirichlet(np.ones(3))
    found = dard(transition, reward, gamma=0.7, actions=actions)
    expected = np.empty_like(reward)
    for s, a, t in np.ndindex(reward.shape):
        expected[s, a, t] = reward[s, a, t]
        for b, x, y in np.ndindex(3, 4, 4):
            p, q = transition[s, b, x], transition[t, b, y]
            expected[s, a, t] += actions[b] * (0.7 * p * q * (reward[t, b, y] - reward[x, b, y])
                                               - p * q * reward[s, b, x])  # fmt: skip
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_epic_against_its_expectation_written_out():
    transition, (reward, _), random = drawn(4, states=4)
    states, actions = random.dirichlet(np.ones(4)), random.dirichlet(np.ones(3))
    found = epic(transition, reward, gamma=0.7, states=states, actions=actions)
    expected = reward.copy()
    for s, a, t in np.ndindex(reward.shape):
        for u, b, x in np.ndindex(4, 3, 4):
            weight = states[u] * actions[b] * states[x]
            expected[s, a, t] += weight * (
                0.7 * reward[t, b, x] - reward[s, b, x] - 0.7 * reward[u, b, x]
            )
    np.testing.assert_allclose(found, expected, atol=1e-12)


@given(seed=st.integers(0, 10**6), factor=st.floats(-3, 3), form=st.sampled_from(LINEAR))
@settings(max_examples=60, deadline=None)
def test_that_forms_are_linear_and_idempotent(seed, factor, form):
    transition, (one, other), _ = drawn(seed)

    def c(reward):
        return canonicalise(form, transition, reward, gamma=0.9)

    scale = 1.0 + np.abs(one).max() + np.abs(other).max()
    np.testing.assert_allclose(
        c(one + factor * other), c(one) + factor * c(other), atol=1e-10 * scale
    )
    if form not in (Canonical.EPIC, Canonical.DARD):
        np.testing.assert_allclose(c(c(one)), c(one), atol=1e-10 * scale)
    # All rewards at once is one by one.
    np.testing.assert_allclose(c(np.stack([one, other]))[1], c(other), atol=1e-12 * scale)


@given(seed=st.integers(0, 10**6), form=st.sampled_from(Canonical))
@settings(max_examples=60, deadline=None)
def test_what_each_form_forgets(seed, form):
    transition, (reward, _), random = drawn(seed)
    states = len(transition)
    potential = random.standard_normal(states)
    shaped = reward + 0.9 * potential - potential[:, None, None]
    moved = random.standard_normal(reward.shape)
    moved -= (transition * moved).sum(axis=-1, keepdims=True)

    def change(other):
        form_of = [canonicalise(form, transition, r, gamma=0.9) for r in (reward, other)]
        return np.abs(form_of[0] - form_of[1]).max()

    assert (change(shaped) < 1e-9) == (form is not Canonical.NONE)
    assert (change(reward + moved) < 1e-9) == (form in FULL)


def test_that_val_averages_to_zero_under_its_policy():
    transition, (reward, _), random = drawn(7)
    policy = random.dirichlet(np.ones(3), size=5)
    form = val(transition, reward, gamma=0.9, policy=policy)
    np.testing.assert_allclose((policy * form[..., 0]).sum(axis=1), 0.0, atol=1e-12)


def test_that_minimal_is_the_smallest_equivalent_reward():
    transition, (reward, _), random = drawn(8)
    found = minimal(transition, reward, gamma=0.9)
    # It is equivalent: only shaping and redistribution were added.
    np.testing.assert_allclose(
        val(transition, found, gamma=0.9), val(transition, reward, gamma=0.9), atol=1e-10
    )
    for _ in range(20):
        potential = random.standard_normal(5)
        moved = random.standard_normal(reward.shape)
        moved -= (transition * moved).sum(axis=-1, keepdims=True)
        step = 0.1 * (0.9 * potential - potential[:, None, None] + moved)
        # At the smallest element of a linear space every direction in it is orthogonal.
        assert abs((found * step).sum()) < 1e-9
        assert (found**2).sum() < ((found + step) ** 2).sum()


@pytest.mark.parametrize("norm", [norm for norm in Norm if norm is not Norm.NONE])
def test_that_minimal_potential_is_the_smallest_shaped_reward(norm):
    transition, (reward, _), random = drawn(9)
    found = minimal_potential(transition, reward, gamma=0.9, norm=norm)
    shaping = found - reward
    np.testing.assert_allclose(val_potential(transition, shaping, gamma=0.9), 0.0, atol=1e-7)
    size = norm_of(found, norm, transition)
    for width in (1.0, 0.1, 0.01):
        for _ in range(20):
            potential = width * random.standard_normal(5)
            other = found + 0.9 * potential - potential[:, None, None]
            assert size <= norm_of(other, norm, transition) + 1e-9


def test_that_other_norms_of_minimal_potential_are_solved_one_by_one():
    transition, rewards, _ = drawn(10, count=3)
    found = minimal_potential(transition, rewards, gamma=0.9, norm="1")
    one = minimal_potential(transition, rewards[2], gamma=0.9, norm="1")
    np.testing.assert_allclose(found[2], one, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"P": [[[0.5, 0.4]] * 2] * 2}, r"must sum to 1, P\[0, 0\] sums to 0\.9"),
        ({"P": [[[1.5, -0.5]] * 2] * 2}, r"not negative, got P\[0, 0, 1\] = -0\.5"),
        ({"P": [[[np.nan, 1.0]] * 2] * 2}, "must be finite"),
        ({"P": [[0.5, 0.5]] * 2}, r"of shape \[S, A, S\], got \[2, 2\]"),
        ({"R": np.zeros((3, 2, 3))}, "nothing to compare them on"),
        ({"R": np.full((2, 2, 2), np.nan)}, r"must be finite, got nan at \[0, 0, 0\]"),
        ({"gamma": 1.0}, r"gamma must lie in \[0, 1\), got 1\.0"),
        ({"gamma": -0.1}, "gamma must lie"),
        ({"gamma": float("nan")}, "gamma must lie"),
        ({"policy": [[0.7, 0.7]] * 2}, "policy must be probabilities"),
        ({"policy": [[0.5, 0.5]]}, r"policy must be pi\[s, a\] of shape \[2, 2\]"),
    ],
)
def test_that_bad_input_is_refused(world, change, message):
    given = {"P": world.P, "R": world.R, "gamma": world.gamma, "policy": None, **change}
    with pytest.raises(UserError, match=message):
        val(
            np.array(given["P"]), given["R"], gamma=given["gamma"],
            policy=None if given["policy"] is None else np.array(given["policy"]),
        )  # fmt: skip


def test_that_a_reward_without_next_states_is_broadcast_with_a_note(world, caplog):
    paid = np.array([[1.0, 2.0], [3.0, -1.0]])
    with caplog.at_level("INFO", logger="reward_models.compare"):
        found = canonicalise("none", world.P, paid, gamma=0.9)
    np.testing.assert_array_equal(found, np.repeat(paid[..., None], 2, axis=-1))
    assert "no axis of next states" in caplog.text


def test_that_unknown_names_get_the_nearest_one(world):
    with pytest.raises(UnknownNameError, match="Did you mean 'epic'"):
        canonicalise("epik", world.P, world.R, gamma=0.9)
    with pytest.raises(UnknownNameError, match="Did you mean 'weighted_2'"):
        norm_of(world.R, "weigthed_2", world.P)
    with pytest.raises(UserError, match="Try '2'"):
        minimal_potential(world.P, world.R, gamma=0.9, norm="0")
