from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load_file, save_file

from reward_models.check import check_reward
from reward_models.curiosity import ICMHindsight
from reward_models.curiosity.hindsight.latent_errors import direction_error, unit
from reward_models.encoders import HiddenEncoder
from reward_models.errors import UserError

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
BOX = spaces.Box(-1, 1, (2,), np.float32)


def _model(space: spaces.Space = VECTOR, actions: spaces.Space = BOX, **options) -> ICMHindsight:
    sizes = {"latent_size": 8, "hidden": (12, 12)}
    return ICMHindsight(observation_space=space, action_space=actions, **{**sizes, **options})


def test_keeps_the_contract():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the smallest sizes have a single column
        report = check_reward(
            functools.partial(ICMHindsight, latent_size=8, hidden=(12,)),
            observation_space=VECTOR,
            action_space=spaces.Discrete(3),
        )
    assert report.ok, report


@pytest.mark.parametrize("kind", ["vector", "image", "small_image", "discrete", "dict"])
def test_runs_on_every_kind_of_observation(make_rollout, observation_spaces, kind):
    space = observation_spaces[kind]
    model, rollout = _model(space), make_rollout(space)
    metrics = model.update(rollout)
    assert set(metrics) == {
        "inverse_loss",
        "reconstruction",
        "invariance",
        "raw_reward",
        "raw_reward_deviation",
    }
    reward = model(rollout)
    assert bool(reward.isfinite().all())
    assert bool((reward >= 0).all())


@pytest.mark.parametrize("kind", ["box", "discrete", "multi_discrete", "multi_binary"])
def test_runs_with_every_kind_of_action(make_rollout, action_spaces, kind):
    model = _model(actions=action_spaces[kind])
    rollout = make_rollout(action_space=action_spaces[kind])
    model.update(rollout)
    assert bool(model(rollout).isfinite().all())


def test_hidden_states_know_no_last_successor(make_rollout):
    model = _model(encoder=HiddenEncoder(hidden_size=7, size=8))
    rollout = make_rollout(hidden=torch.linspace(-2, 2, 126).reshape(6, 3, 7))
    assert not model.replayable
    reward, extras = model(rollout)
    assert extras["defined"].sum() == 15
    assert float(reward[~extras["defined"]].abs().sum()) == 0
    assert model.update(rollout)


def test_features_are_those_of_the_inverse_model_alone(make_rollout):
    # The hindsight networks learn beside them: without an inverse gradient phi stays.
    rollout, model = make_rollout(), _model()
    for group in model.features.trainer.optimizer.param_groups:
        group["lr"] = 0.0
    before = [p.clone() for p in model.features.parameters()]
    nets = [p.clone() for p in model.learner.parameters()]
    model.update(rollout)
    assert all(torch.equal(a, b) for a, b in zip(before, model.features.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(nets, model.learner.parameters(), strict=True))


def test_restored_it_goes_on_bit_for_bit(make_rollout, tmp_path):
    model, other = _model(), _model(seed=5)
    model.update(make_rollout(seed=1))
    save_file(model.state_dict(), tmp_path / "state.safetensors")
    other.load_state_dict(load_file(tmp_path / "state.safetensors"))
    rollout = make_rollout(seed=2)
    for _ in range(2):
        assert torch.equal(model(rollout), other(rollout))
        assert model.update(rollout) == other.update(rollout)


def test_noise_pays_less_with_hindsight(noisy_rollout):
    model = ICMHindsight(
        observation_space=spaces.Box(-9, 9, (5,)),
        action_space=spaces.Discrete(4),
        latent_size=16,
        learning_rate=3e-3,
        batch_size=48,
    )
    # Random features: learned ones leave out the picture, which does not help to tell the action.
    for group in model.features.trainer.optimizer.param_groups:
        group["lr"] = 0.0
    for seed in range(100):
        metrics = model.update(noisy_rollout(seed)[0])
    rollout, noisy = noisy_rollout(1000)
    experience = model._experience(rollout)
    with torch.no_grad():
        paid = float(model._raw(experience)[noisy].mean())
        # The best that can be said of the pictures without hindsight is their mean direction.
        target = unit(experience.after[noisy])
        least = float(direction_error(target.mean(0).expand_as(target), target).mean())
    assert paid < 0.3 * least / model.learner.trade_off
    assert metrics["invariance"] < 0.7


def test_negatives_need_two():
    with pytest.raises(UserError, match="negatives must be at least 2"):
        _model(negatives=1)
