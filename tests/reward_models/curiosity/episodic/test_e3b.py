from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_models.curiosity.episodic.e3b import E3B, elliptical_bonuses
from reward_models.errors import UnknownNameError, UserError

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
BOX = spaces.Box(-1, 1, (2,), np.float32)


def _fresh(columns: int, size: int, ridge: float) -> torch.Tensor:
    return (torch.eye(size, dtype=torch.float64) / ridge).repeat(columns, 1, 1)


def _one_by_one(features, pieces, covariance, ridge):
    """Return bonuses and final inverses by solving with the covariance anew at every step."""
    steps, columns, size = features.shape
    bonuses, covariance = np.zeros((steps, columns)), covariance.copy()
    for b in range(columns):
        piece = 0
        for t in range(steps):
            if pieces[t, b] < 0:
                continue
            if pieces[t, b] != piece:
                covariance[b], piece = ridge * np.eye(size), pieces[t, b]
            bonuses[t, b] = features[t, b] @ np.linalg.solve(covariance[b], features[t, b])
            covariance[b] += np.outer(features[t, b], features[t, b])
    return bonuses, np.linalg.inv(covariance)


def test_the_numbers_of_the_definition():
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]).unsqueeze(1)
    pieces = torch.zeros(4, 1, dtype=torch.int64)
    bonuses, inverse = elliptical_bonuses(features, pieces, _fresh(1, 2, 0.1), ridge=0.1)
    expected = torch.tensor([10.0, 0.909091, 40.0, 0.720093], dtype=torch.float64)
    torch.testing.assert_close(bonuses[:, 0], expected, rtol=0, atol=5e-7)
    final = torch.tensor([[0.344362, -0.067522], [-0.067522, 0.209318]], dtype=torch.float64)
    torch.testing.assert_close(inverse[0], final, rtol=0, atol=5e-7)
    rows = features[:, 0].to(torch.float64)
    covariance = 0.1 * torch.eye(2, dtype=torch.float64) + rows.T @ rows
    torch.testing.assert_close(inverse[0], torch.linalg.inv(covariance))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    steps=st.integers(1, 150),
    columns=st.sampled_from([1, 2, 20]),
    size=st.integers(1, 6),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    ends=st.sampled_from([0.0, 0.05, 0.5]),
    padding=st.sampled_from([0.0, 0.2]),
)
def test_chunks_give_what_single_steps_give(*, seed, steps, columns, size, scale, ends, padding):
    rng = np.random.default_rng(seed)
    # Features with a large common part, of which the last ones are nearly repeated.
    features = scale * (rng.normal(size=(steps, columns, size)) + rng.normal(size=size) * 3)
    features[steps // 2 :] = features[0] * (1 + 1e-3 * rng.normal(size=(columns, size)))
    real = rng.random((steps, columns)) >= padding
    begins = real & (rng.random((steps, columns)) < ends)
    pieces = np.where(real, begins.cumsum(0), -1)
    features = np.float64(np.float32(np.where(real[..., None], features, 0.0)))
    seen = rng.normal(size=(columns, 4, size))
    covariance = 0.1 * np.eye(size) + np.swapaxes(seen, 1, 2) @ seen
    expected, final = _one_by_one(features, pieces, covariance, 0.1)
    bonuses, inverse = elliptical_bonuses(
        torch.as_tensor(features, dtype=torch.float32),
        torch.as_tensor(pieces),
        torch.as_tensor(np.linalg.inv(covariance)),
        ridge=0.1,
    )
    np.testing.assert_allclose(bonuses.numpy(), expected, rtol=1e-5, atol=1e-9)
    # Directions differ in size by up to 1e8, so that small entries are sums of large ones.
    np.testing.assert_allclose(inverse.numpy(), final, rtol=1e-5, atol=1e-6 * abs(final).max())


def test_small_bonuses_late_in_a_long_episode_keep_their_digits():
    # The inverse falls from 10 to about 3e-6, near what single precision rounds off from 10.
    generator = torch.Generator().manual_seed(0)
    features = 30 + 10 * torch.randn(3000, 1, 8, generator=generator)
    pieces = torch.zeros(3000, 1, dtype=torch.int64)
    bonuses, _ = elliptical_bonuses(features, pieces, _fresh(1, 8, 0.1), ridge=0.1)
    rows = features[:, 0].to(torch.float64)
    covariance = 0.1 * torch.eye(8, dtype=torch.float64) + rows[:-1].T @ rows[:-1]
    expected = rows[-1] @ torch.linalg.solve(covariance, rows[-1])
    assert float(bonuses[-1]) == pytest.approx(float(expected), rel=1e-8)


def test_a_feature_that_comes_again_never_earns_more():
    rng = np.random.default_rng(0)
    features = torch.as_tensor(rng.normal(size=(80, 3, 4)), dtype=torch.float32)
    features[::5] = features[0]
    pieces = torch.zeros(80, 3, dtype=torch.int64)
    bonuses, _ = elliptical_bonuses(features, pieces, _fresh(3, 4, 0.1), ridge=0.1)
    assert bool((bonuses[::5].diff(dim=0) < 0).all())


def test_gradients_flow_into_the_features():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(20, 2, 3, generator=generator, requires_grad=True)
    pieces = torch.zeros(20, 2, dtype=torch.int64)
    pieces[7:, 1] = 1

    def total(values):
        return elliptical_bonuses(values, pieces, _fresh(2, 3, 0.1), ridge=0.1)[0].sum()

    total(features).backward()
    step = torch.zeros_like(features)
    step[4, 1, 2] = 1e-2
    with torch.no_grad():
        slope = (total(features + step) - total(features - step)) / 2e-2
    assert float(features.grad[4, 1, 2]) == pytest.approx(float(slope), rel=1e-2)


def test_bonus_is_that_of_the_successor_unless_asked_otherwise(make_rollout):
    rollout = make_rollout()
    moved = rollout.replace(next_observation=rollout.next_observation + 1)
    for of, follows in (("next", True), ("present", False)):
        model = E3B(observation_space=VECTOR, action_space=BOX, latent_size=4, features_of=of)
        assert torch.equal(model(rollout), model(moved)) is not follows


def test_first_bonus_of_an_episode_is_the_squared_length_over_the_ridge(make_rollout):
    rollout = make_rollout()
    model = E3B(observation_space=VECTOR, action_space=BOX, latent_size=4, ridge=0.5)
    features, _ = model.dynamics.features(rollout)
    with torch.no_grad():
        torch.testing.assert_close(model(rollout)[0], features[0].square().sum(-1) / 0.5)


def test_update_reports_the_inverse_loss(make_rollout):
    model, rollout = (E3B(observation_space=VECTOR, action_space=BOX), make_rollout(steps=30))
    losses = [model.update(rollout)["inverse_loss"] for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ridge": 0.0}, UserError, "ridge must be positive"),
        ({"ridge": math.nan}, UserError, "ridge must be positive"),
        ({"features_of": "nxt"}, UnknownNameError, "Did you mean 'next'"),
        ({"latent_size": 0}, UserError, "at least one feature"),
        ({"learning_rate": math.nan}, UserError, "learning_rate"),
    ],
    ids=["ridge", "nan", "features", "size", "rate"],
)
def test_what_cannot_work_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        E3B(observation_space=VECTOR, action_space=BOX, **options)
