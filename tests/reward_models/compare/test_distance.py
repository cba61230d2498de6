"""STARC distances, and EPIC and DARD as published: oracles, properties, triviality."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.worlds.random_mdp import random_reward, random_transition
from reward_models.compare.canonical import Canonical
from reward_models.compare.distance import (
    STARC,
    Metric,
    dard_distance,
    epic_distance,
    pearson_distance,
)
from reward_models.compare.norms import Norm, norm_of
from reward_models.errors import UnknownNameError, UserError

SHAPING_FREE = [form for form in Canonical if form is not Canonical.NONE]
NORMS = [norm for norm in Norm if norm is not Norm.NONE]


def drawn(seed, count):
    random = np.random.default_rng(seed)
    transition = random_transition(random, 5, 3, 0.0)
    return transition, np.stack([random_reward(random, 5, 3, 0.9) for _ in range(count)])


@pytest.mark.parametrize("form", SHAPING_FREE)
def test_that_shaping_is_at_distance_zero(world, form):
    shaped = world.R + world.shaping
    assert Metric(form).between(world.P, world.R, shaped, gamma=world.gamma) < 1e-12


@pytest.mark.parametrize(
    ("form", "expected"),
    [("val", 0.0), ("minimal", 0.0), ("val_potential", 0.377965), ("epic", 0.457983),
     ("dard", 0.428718)],
)  # fmt: skip
def test_an_equivalent_reward_by_hand(world, form, expected):
    other = 2.5 * (world.R + world.shaping) + world.moved
    found = Metric(Canonical.of(form)).between(world.P, world.R, other, gamma=world.gamma)
    assert found == pytest.approx(expected, abs=1e-6 if expected else 1e-14)


@pytest.mark.parametrize("form", Canonical)
def test_that_the_negated_reward_is_farthest(world, form):
    found = Metric(form).between(world.P, world.R, -world.R, gamma=world.gamma)
    assert found == pytest.approx(2.0, abs=1e-12)


def test_another_reward_by_hand(world):
    other = np.zeros((2, 2, 2))
    other[0, 0], other[0, 1], other[1, 0] = (0.0, 1.0), (1.0, 0.0), (2.0, 0.0)
    found = STARC.between(world.P, world.R, other, gamma=world.gamma)
    assert found == pytest.approx(1.978826, abs=1e-6)


def test_weighted_norms_by_hand(world):
    assert norm_of(world.R, "weighted_1", world.P) == pytest.approx(4.0, abs=1e-12)
    assert norm_of(world.R, "weighted_2", world.P) == pytest.approx(2.366432, abs=1e-6)
    assert norm_of(world.R, "weighted_inf", world.P) == pytest.approx(1.6, abs=1e-12)
    assert norm_of(world.R, "1", world.P) == 8.0
    assert norm_of(world.R, "inf", world.P) == 3.0


@pytest.mark.parametrize("trivial", ["shaping", "constant", "zero", "moved"])
@pytest.mark.parametrize("norm", NORMS)
def test_that_rewards_without_content_are_equal_and_at_distance_one(world, trivial, norm):
    rewards = {
        "shaping": world.shaping, "constant": np.full((2, 2, 2), 7.0),
        "zero": np.zeros((2, 2, 2)), "moved": world.moved,
    }  # fmt: skip
    metric = Metric(Canonical.VAL, norm, norm)
    form = metric.standardise(world.P, rewards[trivial], gamma=world.gamma)
    assert not form.any()
    for other in rewards.values():
        assert metric.between(world.P, rewards[trivial], other, gamma=world.gamma) == 0.0
    found = metric.between(world.P, rewards[trivial], world.R, gamma=world.gamma)
    assert found == pytest.approx(1.0)


def test_that_a_small_reward_is_not_taken_for_none(world):
    assert STARC.between(world.P, 1e-15 * world.R, world.R, gamma=world.gamma) < 1e-12


def test_that_the_tolerance_covers_rewards_in_float32(world):
    rounded = world.shaping.astype(np.float32) * np.float32(1.1)
    assert STARC.standardise(world.P, rounded, gamma=world.gamma).any()
    coarse = Metric(tolerance=3e-7)
    assert not coarse.standardise(world.P, rounded, gamma=world.gamma).any()


@given(
    seed=st.integers(0, 10**6),
    form=st.sampled_from(Canonical),
    norm=st.sampled_from(NORMS),
    distance=st.sampled_from(NORMS),
    factor=st.floats(1e-3, 1e3),
)
@settings(max_examples=60, deadline=None)
def test_that_it_is_a_pseudometric(seed, form, norm, distance, factor):
    if form is Canonical.MINIMAL_POTENTIAL and norm not in (Norm.L2, Norm.WEIGHTED_2):
        norm = Norm.L2  # the others solve a linear program per reward; see test_canonical
    metric = Metric(form, norm, distance)
    transition, rewards = drawn(seed, 3)
    found = metric.matrix(transition, rewards, gamma=0.9)
    np.testing.assert_allclose(found, found.T, atol=1e-13)
    np.testing.assert_array_equal(found.diagonal(), 0.0)
    for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        assert found[a, c] <= found[a, b] + found[b, c] + 1e-12
    if norm == distance:
        assert found.max() <= 2.0 + 1e-12
    scaled = metric.between(transition, factor * rewards[0], rewards[1], gamma=0.9)
    assert scaled == pytest.approx(found[0, 1], abs=1e-9)


def test_that_no_scaling_measures_the_forms_themselves():
    transition, rewards = drawn(1, 2)
    metric = Metric(Canonical.NONE, Norm.NONE, Norm.L1)
    found = metric.between(transition, *rewards, gamma=0.9)
    assert found == pytest.approx(np.abs(rewards[0] - rewards[1]).sum())


@pytest.mark.parametrize("between", [epic_distance, dard_distance])
def test_the_published_distances(world, between):
    def d(other):
        return between(world.P, world.R, other, gamma=world.gamma)

    assert d(3.0 * world.R + world.shaping) == pytest.approx(0.0, abs=1e-7)
    assert d(-world.R) == pytest.approx(1.0, abs=1e-12)
    # Unlike STARC they see a redistribution over the next state, which orders policies alike.
    assert d(world.R + world.moved) > 0.1
    # A shaping term is a constant to them, and a constant correlates with nothing.
    assert d(world.shaping) == pytest.approx(np.sqrt(0.5))


def test_that_the_published_distance_is_the_one_of_scaled_forms():
    # With mean 0, sqrt((1 - rho) / 2) is half the L2 distance of the scaled forms.
    random = np.random.default_rng(0)
    one, other = random.standard_normal((2, 400))
    one, other = one - one.mean(), other - other.mean()
    unit = [x / np.linalg.norm(x) for x in (one, other)]
    found = pearson_distance(one, other, np.full(400, 1 / 400))
    assert found == pytest.approx(np.linalg.norm(unit[0] - unit[1]) / 2)


def test_that_coverage_chooses_what_counts(world):
    only = np.zeros((2, 2, 2))
    only[0] = 0.25
    other = world.R.copy()
    other[1, 1, 1] += 5.0  # neither covered nor, as D_S is state 0 alone, in the canonical form
    found = epic_distance(world.P, world.R, other, gamma=world.gamma, coverage=only)
    assert found < 1e-7
    assert epic_distance(world.P, world.R, other, gamma=world.gamma) > 0.1
    with pytest.raises(UserError, match="sum to 1"):
        epic_distance(world.P, world.R, other, gamma=world.gamma, coverage=2 * only)


def test_that_rewards_over_other_spaces_are_refused(world):
    with pytest.raises(UserError, match="no common transitions"):
        STARC.matrix(world.P, [world.R, np.zeros((2, 3, 2))], gamma=world.gamma)


def test_names_of_metrics():
    metric = Metric.of("EPIC-1-weighted_inf")
    assert metric == Metric(Canonical.EPIC, Norm.L1, Norm.WEIGHTED_INF)
    assert metric.name == "EPIC-1-weighted_inf"
    assert STARC.name == "VAL-2-2"
    with pytest.raises(UserError, match="like VAL-2-2"):
        Metric.of("VAL")
    with pytest.raises(UnknownNameError, match="Did you mean 'val'"):
        Metric.of("VALL-2-2")
    with pytest.raises(UserError, match="distance needs a norm"):
        Metric.of("VAL-2-0")
