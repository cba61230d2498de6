from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.curiosity.counting.sim_hash import SimHash
from reward_models.encoders import HiddenEncoder, VectorEncoder
from reward_models.errors import UserError

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)


def _model(**options) -> SimHash:
    return SimHash(observation_space=VECTOR, **options)


def test_key_is_the_signs_of_the_projection(make_rollout):
    model, rollout = _model(bits=6), make_rollout(steps=40)
    keys, _ = model.keys_of(rollout)
    signs = (rollout.next_observation.float() @ model.projection >= 0).flatten(0, 1)
    same = (signs.unsqueeze(0) == signs.unsqueeze(1)).all(-1)
    flat = keys.flatten()
    assert torch.equal(flat.unsqueeze(0) == flat.unsqueeze(1), same)
    assert 1 < len(flat.unique()) <= 64


def test_share_of_differing_bits_is_the_angle():
    """P(bit differs) = angle / pi, the property the method rests on (Charikar 2002)."""
    model = _model(bits=4000)
    first, second = torch.eye(5)[0], torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0])
    share = (model._signs(first[None]) != model._signs(second[None])).float().mean()
    # 45 degrees: 0.25, with a standard deviation of 0.007
    assert abs(float(share) - 0.25) < 0.03


def test_more_bits_tell_more_states_apart(make_rollout):
    rollout = make_rollout(steps=300)
    visited = [_model(bits=bits).update(rollout)["visited"] for bits in (1, 4, 16, 64)]
    assert visited[0] == 2
    assert visited == sorted(visited)
    assert visited[-1] > 800


def test_equal_seeds_give_equal_keys(make_rollout):
    rollout, generator = make_rollout(), torch.get_rng_state()
    first, second, other = _model(seed=1), _model(seed=1), _model(seed=2)
    assert torch.equal(first.keys_of(rollout)[0], second.keys_of(rollout)[0])
    assert not torch.equal(first.keys_of(rollout)[0], other.keys_of(rollout)[0])
    assert torch.equal(torch.get_rng_state(), generator)
    first.load_state_dict(other.state_dict())
    assert torch.equal(first.keys_of(rollout)[0], other.keys_of(rollout)[0])


def test_your_encoder_is_copied_and_frozen(make_rollout):
    encoder = VectorEncoder(space=VECTOR, size=3)
    model = _model(encoder=encoder)
    assert model.encoder is not encoder
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert tuple(model.projection.shape) == (3, 32)
    assert tuple(model(make_rollout()).shape) == (6, 3)


def test_hidden_features_are_read_from_the_record(make_rollout):
    hidden = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0))
    for options in ({}, {"arrival_order": False}, {"episodic": True}):
        model = _model(encoder=HiddenEncoder(hidden_size=4, size=8), **options)
        assert model.requires == {"hidden"}
        assert not model.replayable
        done = torch.zeros(6, 3, dtype=torch.bool)
        done[2, 0] = True
        rollout = make_rollout(hidden=hidden, truncated=done)
        reward, extras = model(rollout)
        assert extras["defined"].sum(0).tolist() == [4, 5, 5]
        assert bool((reward > 0).equal(extras["defined"]))
        assert model.update(rollout)["visited"] > 0


def test_normalisation_centres_the_directions(make_rollout):
    rollout = make_rollout(steps=100)
    far = rollout.replace(next_observation=rollout.next_observation + 1000.0)
    plain, centred = _model(), _model(normalize_observations=True)
    assert plain.update(far)["visited"] < 5
    centred.update(far)
    keys = centred.keys_of(far)[0]
    assert len(keys.unique()) > 50


def test_constant_observations_stay_finite(make_rollout):
    constant = torch.zeros(6, 3, 5, dtype=torch.float64)
    rollout = make_rollout(observation=constant, next_observation=constant)
    model = _model(normalize_observations=True)
    for visits in (18, 36):
        assert float(model(rollout)[-1].max()) == pytest.approx(visits**-0.5)
        assert model.update(rollout) == {"visited": 1.0}


def test_unknown_values_are_not_counted(make_rollout):
    model, rollout = _model(), make_rollout()
    broken = rollout.next_observation.clone()
    broken[2, 1, 0] = math.inf
    with pytest.raises(UserError, match="next_observation must be finite"):
        model.update(rollout.replace(next_observation=broken))
    assert len(model.table) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 0}, "bits must be at least 1"),
        ({"keys": ["a"]}, "leave keys out"),
        ({"keys": ["a"], "encoder": HiddenEncoder(hidden_size=2)}, "either keys or an encoder"),
        ({"episodic": True, "arrival_order": False}, "arrival_order must stay true"),
    ],
)
def test_what_cannot_work_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        _model(**options)
