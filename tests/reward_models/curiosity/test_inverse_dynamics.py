from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.curiosity.inverse_dynamics import InverseDynamics
from reward_models.encoders import HiddenEncoder, make_encoder
from reward_models.errors import UnknownNameError, UserError

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
BOX = spaces.Box(-1, 1, (2,), np.float32)


def _model(actions: spaces.Space = BOX, **options) -> InverseDynamics:
    return InverseDynamics(
        observation_space=VECTOR, action_space=actions, **{"latent_size": 8, **options}
    )


def _copy_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


@pytest.mark.parametrize("kind", ["box", "discrete", "multi_discrete", "multi_binary"])
def test_learns_to_tell_every_kind_of_action(make_rollout, action_spaces, kind):
    space = action_spaces[kind]
    rollout = make_rollout(action_space=space, steps=40)
    # The action can be read off the change of the observation.
    action = rollout.action.double().reshape(40, 3, -1)
    moved = rollout.observation.clone()
    moved[..., : action.shape[-1]] += action
    rollout = rollout.replace(next_observation=moved)
    model = _model(space, learning_rate=3e-3)
    first = model.update(rollout)["inverse_loss"]
    for _ in range(80):
        last = model.update(rollout)["inverse_loss"]
    assert last < 0.35 * first


def test_features_leave_out_what_no_action_changes(make_rollout):
    rollout = make_rollout(steps=60, columns=8)
    model = _model(learning_rate=3e-3)

    def share_of_noise() -> float:
        """Return how much of the features' change comes from numbers that are noise."""
        with torch.no_grad():
            changed = []
            for numbers in (slice(0, 2), slice(2, 5)):
                moved = rollout.observation.clone()
                moved[..., numbers] += 0.1
                shift = model.encoder(moved) - model.encoder(rollout.observation)
                changed.append(float(shift.square().sum()))
        return changed[1] / sum(changed)

    before = share_of_noise()
    for seed in range(60):
        drawn = make_rollout(steps=60, columns=8, seed=seed)
        moved = drawn.next_observation.clone()
        moved[..., :2] = drawn.observation[..., :2] + drawn.action
        model.update(drawn.replace(next_observation=moved))
    assert share_of_noise() < 0.5 * before


def test_features_of_either_end_of_a_step(make_rollout):
    model, rollout = _model(), make_rollout()
    following, known = model.features(rollout)
    present, real = model.features(rollout, of="present")
    assert bool(known.all())
    assert bool(real.all())
    torch.testing.assert_close(following[:-1], present[1:])
    torch.testing.assert_close(present, model.encoder(rollout.observation))
    with pytest.raises(UnknownNameError, match="Did you mean 'present'"):
        model.features(rollout, of="presnt")


def test_features_are_zero_on_padding(make_rollout):
    mask = torch.ones(6, 3, dtype=torch.bool)
    mask[4:, 1] = False
    rollout = make_rollout(mask=mask)
    dirty = rollout.replace(
        next_observation=rollout.next_observation.masked_fill(~mask.unsqueeze(-1), math.nan)
    )
    features, known = _model().features(dirty)
    assert torch.equal(known, mask)
    assert not bool(features[~mask].any())
    torch.testing.assert_close(features[mask], _model().features(rollout)[0][mask])


def test_padding_is_not_learned(make_rollout):
    mask = torch.ones(6, 3, dtype=torch.bool)
    mask[4:, 1] = False
    rollout = make_rollout(mask=mask)
    padded, flat = _model(batch_size=5), _model(batch_size=5)
    assert padded.update(rollout) == flat.update(rollout.flatten())
    assert _same(padded.state_dict(), flat.state_dict())
    assert padded.update(rollout.replace(mask=torch.zeros_like(mask))) == {}


def test_successors_that_hidden_features_lack(make_rollout):
    hidden = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0))
    model = _model(encoder=HiddenEncoder(hidden_size=4, size=8))
    assert not model.knows_successors
    assert model.requires == {"hidden"}
    assert model.size == 8
    rollout = make_rollout(hidden=hidden)
    assert model.features(rollout)[1].sum(0).tolist() == [5, 5, 5]
    assert model.features(rollout, of="present")[1].sum(0).tolist() == [6, 6, 6]


def test_your_encoder_is_copied_with_its_weights(make_rollout):
    encoder = make_encoder(VECTOR, size=6, seed=5)
    before = _copy_of(encoder)
    model = _model(encoder=encoder)
    assert _same(before, model.encoder.state_dict())
    model.update(make_rollout())
    assert _same(before, encoder.state_dict())
    assert not _same(before, model.encoder.state_dict())


def test_neither_building_nor_learning_draws_from_the_global_generator(make_rollout):
    rollout, generator = make_rollout(), torch.get_rng_state()
    _model(update_proportion=0.5).update(rollout)
    assert torch.equal(torch.get_rng_state(), generator)


@pytest.mark.parametrize("entry", ["observation", "next_observation", "action"])
def test_nothing_is_learned_from_what_is_not_finite(make_rollout, entry):
    model, rollout = _model(normalize_observations=True), make_rollout()
    before = _copy_of(model)
    broken = rollout[entry].clone()
    broken[2, 1] = math.inf
    with pytest.raises(UserError, match=f"{entry} must be finite"):
        model.update(rollout.replace(**{entry: broken}))
    assert _same(before, model.state_dict())
