from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load_file, save_file

from reward_models.base import Order, Scope
from reward_models.curiosity import ICM
from reward_models.encoders import HiddenEncoder, make_encoder
from reward_models.errors import UnknownNameError, UserError

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
BOX = spaces.Box(-1, 1, (2,), np.float32)
KINDS = ["vector", "image", "small_image", "discrete", "multi_discrete", "multi_binary", "dict"]
ACTIONS = ["box", "discrete", "multi_discrete", "multi_binary"]


def _icm(space: spaces.Space = VECTOR, actions: spaces.Space = BOX, **options) -> ICM:
    return ICM(observation_space=space, action_space=actions, **{"latent_size": 8, **options})


def _copy_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


def test_what_the_class_promises():
    assert ICM.scope == Scope.TRANSITION
    assert ICM.order == Order.REWARD_FIRST
    assert ICM.preferred_scale == "return_std"
    model = _icm()
    assert model.task_free
    assert model.goal_relabelling
    assert model.replayable


@pytest.mark.parametrize(
    ("options", "reward"),
    [
        ({}, 3.0),
        ({"reward_form": "eta"}, 4.5),
        ({"reward_form": "eta", "eta": 0.02}, 0.09),
    ],
    ids=["mean", "eta", "small_eta"],
)
def test_both_forms_of_the_reward(make_rollout, options, reward):
    # phi(o') = (1, 2, 2), predicted as 0.
    model = _icm(latent_size=3, **options)
    with torch.no_grad():
        for layer, bias in (
            (model.encoder.network[-1], [1.0, 2.0, 2.0]),
            (model.dynamics[-1], 0.0),
        ):
            layer.weight.zero_()
            layer.bias.copy_(torch.as_tensor(bias))
    torch.testing.assert_close(model(make_rollout()), torch.full((6, 3), reward))


@pytest.mark.parametrize("kind", KINDS)
def test_runs_on_every_kind_of_observation(make_rollout, observation_spaces, kind):
    space = observation_spaces[kind]
    # Raw counters of a game are up to 10000 here, so vectors are normalised.
    model, rollout = _icm(space, normalize_observations=True), make_rollout(space)
    before = model(rollout)
    metrics = model.update(rollout)
    after = model(rollout)
    for reward in (before, after):
        assert tuple(reward.shape) == (6, 3)
        assert bool(reward.isfinite().all())
        assert bool((reward >= 0).all())
    assert set(metrics) == {"loss", "forward_loss", "inverse_loss"}
    assert metrics["loss"] == pytest.approx(metrics["forward_loss"] + metrics["inverse_loss"])
    assert not torch.equal(before, after)


@pytest.mark.parametrize("kind", ACTIONS)
def test_inverse_model_learns_every_kind_of_action(make_rollout, action_spaces, kind):
    space = action_spaces[kind]
    rollout = make_rollout(action_space=space, steps=40)
    # The action can be read off the change of the observation.
    action = rollout.action.double().reshape(40, 3, -1)
    moved = rollout.observation.clone()
    moved[..., : action.shape[-1]] += action
    rollout = rollout.replace(next_observation=moved)
    model = _icm(actions=space, learning_rate=3e-3)
    first = model.update(rollout)["inverse_loss"]
    for _ in range(80):
        last = model.update(rollout)["inverse_loss"]
    assert last < 0.35 * first


def test_actions_may_be_recorded_as_vectors_of_one(make_rollout, action_spaces):
    space = action_spaces["discrete"]
    model, rollout = _icm(actions=space), make_rollout(action_space=space)
    stacked = rollout.replace(action=rollout.action.unsqueeze(-1))
    assert torch.equal(model(rollout), model(stacked))
    assert not torch.equal(
        model(rollout), model(rollout.replace(action=10 - rollout.action.clamp(4, 6)))
    )


def test_actions_outside_of_the_space_are_refused(make_rollout, action_spaces):
    model = _icm(actions=action_spaces["discrete"])
    with pytest.raises(UserError, match=r"must lie in \[3, 6\].*got 0"):
        model(make_rollout(action=torch.zeros(6, 3, dtype=torch.int64)))
    with pytest.raises(UserError, match=r"action must hold 2 number"):
        _icm()(make_rollout(action=torch.zeros(6, 3, 4)))


def test_surprise_falls_on_repeated_data(make_rollout):
    rollout, model = make_rollout(steps=64), _icm()
    losses = [model.update(rollout)["forward_loss"] for _ in range(150)]
    assert losses[-1] < 0.3 * losses[0]
    assert float(model(rollout).mean()) == pytest.approx(losses[-1], rel=0.2)


def test_forward_gradient_into_the_features_can_be_stopped(make_rollout):
    rollout = make_rollout()
    learned, stopped = (_icm(beta=1.0, stop_forward_grad=stop) for stop in (False, True))
    start = _copy_of(learned.encoder)
    learned.update(rollout)
    stopped.update(rollout)
    # beta = 1 leaves the forward loss alone, which then trains phi or nothing but F.
    assert not _same(start, learned.encoder.state_dict())
    assert _same(start, stopped.encoder.state_dict())
    assert _same(_copy_of(learned.inverse), _icm().inverse.state_dict())
    assert not _same(_copy_of(stopped.dynamics), _icm().dynamics.state_dict())


def test_beta_weighs_the_losses_as_in_the_paper(make_rollout):
    metrics = _icm(beta=0.2).update(make_rollout())
    expected = 0.8 * metrics["inverse_loss"] + 0.2 * metrics["forward_loss"]
    assert metrics["loss"] == pytest.approx(expected)


def test_calling_changes_nothing(make_rollout):
    model, rollout = _icm(normalize_observations=True), make_rollout()
    model.update(rollout)
    state, generator = _copy_of(model), torch.get_rng_state()
    assert torch.equal(model(rollout), model(rollout))
    assert _same(state, model.state_dict())
    assert torch.equal(torch.get_rng_state(), generator)


def test_neither_building_nor_learning_draws_from_the_global_generator(make_rollout):
    rollout, generator = make_rollout(), torch.get_rng_state()
    _icm(update_proportion=0.5).update(rollout)
    assert torch.equal(torch.get_rng_state(), generator)


def test_task_reward_is_not_read(make_rollout):
    first, second, rollout = _icm(), _icm(), make_rollout()
    unknown = rollout.replace(reward=torch.full((6, 3), math.nan))
    first.update(rollout)
    second.update(unknown)
    assert torch.equal(first(rollout), second(unknown))


def test_columns_are_treated_alike(make_rollout):
    model, rollout = _icm(), make_rollout()
    order = torch.tensor([2, 0, 1])
    turned = rollout.replace(
        observation=rollout.observation[:, order],
        action=rollout.action[:, order],
        next_observation=rollout.next_observation[:, order],
    )
    torch.testing.assert_close(model(turned), model(rollout)[:, order])


def test_the_end_of_an_episode_uses_its_true_successor(make_rollout):
    model, rollout = _icm(), make_rollout()
    ended = torch.zeros(6, 3, dtype=torch.bool)
    ended[2] = True
    reward = model(rollout)
    assert torch.equal(model(rollout.replace(terminated=ended)), reward)
    assert torch.equal(model(rollout.replace(truncated=ended)), reward)


@pytest.mark.parametrize("kind", ["box", "discrete"])
def test_padding_is_not_learned_and_need_not_be_valid(make_rollout, action_spaces, kind):
    mask = torch.ones(6, 3, dtype=torch.bool)
    mask[4:, 1] = False
    space = action_spaces[kind]
    rollout = make_rollout(action_space=space, mask=mask)
    outside = ~mask.reshape(6, 3, *[1] * len(space.shape))
    dirty = rollout.replace(
        observation=rollout.observation.masked_fill(~mask.unsqueeze(-1), math.nan),
        action=rollout.action.masked_fill(outside, -100),
    )
    padded, flat = (_icm(actions=space, batch_size=5) for _ in range(2))
    assert padded.update(dirty) == flat.update(rollout.flatten())
    assert _same(padded.state_dict(), flat.state_dict())
    torch.testing.assert_close(padded(dirty)[mask], flat(rollout.flatten())[0])
    nothing = rollout.replace(mask=torch.zeros(6, 3, dtype=torch.bool))
    assert padded.update(nothing) == {}
    assert tuple(padded(nothing).shape) == (6, 3)


def test_one_step_and_constant_observations_stay_finite(make_rollout):
    constant = torch.full((1, 1, 5), 3.0, dtype=torch.float64)
    single = make_rollout(
        steps=1, columns=1, observation=constant, next_observation=constant.clone()
    )
    for normalize in (False, True):
        model = _icm(normalize_observations=normalize)
        for _ in range(5):
            assert math.isfinite(model.update(single)["loss"])
            assert bool(model(single).isfinite().all())


def test_hidden_features_are_read_from_the_record(make_rollout):
    hidden = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0))
    model = _icm(actions=spaces.Discrete(50), encoder=HiddenEncoder(hidden_size=4, size=8))
    assert model.requires == {"hidden"}
    assert not model.replayable
    done = torch.zeros(6, 3, dtype=torch.bool)
    done[2, 0] = True
    tokens = torch.arange(18).reshape(6, 3)
    rollout = make_rollout(hidden=hidden, truncated=done, action=tokens)
    reward, extras = model(rollout)
    assert extras["defined"].sum(0).tolist() == [4, 5, 5]
    assert not bool(reward[~extras["defined"]].any())
    assert model.update(rollout)["loss"] > 0
    assert model.update(make_rollout(hidden=hidden[:1], action=tokens[:1], steps=1)) == {}


def test_your_encoder_is_copied_with_its_weights(make_rollout):
    encoder = make_encoder(VECTOR, size=6, seed=5)
    before = _copy_of(encoder)
    model = ICM(observation_space=VECTOR, action_space=BOX, encoder=encoder)
    assert _same(before, model.encoder.state_dict())
    model.update(make_rollout())
    assert _same(before, encoder.state_dict())


def test_restored_model_continues_bit_for_bit(make_rollout, tmp_path):
    rollouts = [make_rollout(steps=20, seed=seed) for seed in range(3)]
    options = {"batch_size": 16, "update_proportion": 0.7, "normalize_observations": True}
    model = _icm(**options)
    model.update(rollouts[0])
    assert all(isinstance(value, torch.Tensor) for value in model.state_dict().values())
    save_file(_copy_of(model), tmp_path / "icm.safetensors")
    restored = _icm(seed=7, **options)
    restored.load_state_dict(load_file(tmp_path / "icm.safetensors"))
    for rollout in rollouts[1:]:
        assert torch.equal(model(rollout), restored(rollout))
        assert model.update(rollout) == restored.update(rollout)
    assert _same(model.state_dict(), restored.state_dict())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"reward_form": "etta"}, UnknownNameError, "Did you mean 'eta'"),
        ({"eta": 0.0}, UserError, "eta must be positive"),
        ({"beta": 1.5}, UserError, "beta must lie"),
        ({"actions": spaces.Text(3)}, UserError, "inverse model needs"),
        ({"latent_size": 0}, UserError, "at least one feature"),
    ],
    ids=["form", "eta", "beta", "actions", "size"],
)
def test_what_cannot_work_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        _icm(**options)
