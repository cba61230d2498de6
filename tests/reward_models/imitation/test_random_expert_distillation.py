from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.check import check_reward
from reward_models.errors import UserError
from reward_models.imitation import RandomExpertDistillation

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)


@pytest.fixture
def make_model(make_rollout):
    def make(observation_space=VECTOR, action_space=BOX, **options):
        shown = make_rollout(observation_space, action_space, steps=16, seed=9)
        return RandomExpertDistillation(
            demonstrations=shown, observation_space=observation_space, action_space=action_space,
            **{"batch_size": 16, "epochs": 20, **options},
        )  # fmt: skip

    return make


def test_the_reward_is_the_exponential_of_the_scaled_error(make_model, make_rollout):
    model, rollout = make_model(), make_rollout()
    rows = model.code(model.code.pairs(rollout))
    error = (model.predictor(rows) - model.target(rows)).square().mean(-1)
    expected = torch.exp(-error / model.losses.std.float()).reshape(6, 3)
    torch.testing.assert_close(model(rollout), expected)
    assert model.target[0].out_features == model.target[-1].out_features == 100
    assert len([layer for layer in model.target if isinstance(layer, torch.nn.Linear)]) == 4


def test_the_expert_is_recognised(make_model, make_rollout):
    model = make_model(epochs=200)
    known, far = model(make_rollout(steps=16, seed=9)), model(make_rollout(shift=3.0))
    assert 0.9 < float(known.mean()) <= float(known.max()) <= 1.0
    assert float(far.mean()) < 0.5


def test_nothing_changes_after_it_is_built(make_model, make_rollout):
    model = make_model()
    assert not model.learns
    before = model(make_rollout())
    assert model.update(make_rollout(seed=3)) == {}
    assert torch.equal(model(make_rollout()), before)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_the_scale_is_that_of_all_training_losses(make_model):
    model = make_model()
    assert float(model.losses.count) == pytest.approx(20 * 48, abs=1e-3)


def test_dungeons(make_model, make_rollout, dungeon):
    actions = spaces.Discrete(4)
    model = make_model(dungeon, actions, one_hot_actions=True, latent_size=8)
    reward = model(make_rollout(dungeon, actions))
    assert bool(((reward >= 0) & (reward <= 1)).all())


def test_it_keeps_the_contract(make_rollout):
    build = partial(RandomExpertDistillation, demonstrations=make_rollout(), batch_size=8, epochs=2)
    report = check_reward(build, observation_space=VECTOR, action_space=BOX)
    assert report.ok, report


@pytest.mark.parametrize("options", [{"epochs": 0}, {"hidden_size": 0}, {"learning_rate": 0.0}])
def test_settings_out_of_range_are_refused(make_model, options):
    with pytest.raises(UserError):
        make_model(**options)
