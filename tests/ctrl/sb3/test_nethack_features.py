"""The features of NetHack's observations: centred on the hero, scaled, and all of them used."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import CombinedExtractor

from ctrl.build import build_model
from ctrl.config import parse_config
from ctrl.sb3.nethack_features import NetHackFeatures, crop_around, status_features
from reward_models.errors import UserError

NO_GLYPH = 5976
SPACE = spaces.Dict(
    {
        "glyphs": spaces.Box(0, 5976, (21, 79), np.int16),
        "blstats": spaces.Box(-(2**31), 2**31 - 1, (27,), np.int64),
        "message": spaces.Box(0, 255, (256,), np.uint8),
        "inv_glyphs": spaces.Box(0, 5976, (55,), np.int16),
    }
)


def observation(batch=3, seed=0):
    """Return random observations as SB3 hands them over: as float32."""
    generator = torch.Generator().manual_seed(seed)

    def draw(high, *shape):
        return torch.randint(0, high, (batch, *shape), generator=generator)

    blstats = draw(20, 27)
    blstats[:, 0], blstats[:, 1] = draw(79), draw(21)
    found = {
        "glyphs": draw(5976, 21, 79),
        "blstats": blstats,
        "message": draw(256, 256),
        "inv_glyphs": draw(5976, 55),
    }
    return {key: value.float() for key, value in found.items()}


def test_that_the_crop_is_centred_on_the_hero_also_at_the_edges():
    glyphs = torch.arange(21 * 79).reshape(1, 21, 79).expand(4, -1, -1)
    x, y = torch.tensor([40, 0, 78, 3]), torch.tensor([10, 0, 20, 19])
    around = crop_around(glyphs, x, y, 5)
    assert around.shape == (4, 5, 5)
    assert torch.equal(around[:, 2, 2], y * 79 + x)
    assert torch.equal(around[0], glyphs[0, 8:13, 38:43])
    assert (around[1, :2] == NO_GLYPH).all()
    assert (around[1, :, :2] == NO_GLYPH).all()
    assert (around[2, 3:] == NO_GLYPH).all()
    assert torch.equal(around[3, :4], glyphs[3, 17:21, 1:6])
    assert (around[3, 4] == NO_GLYPH).all()


def test_that_moving_map_and_hero_together_changes_only_the_position():
    torch.manual_seed(0)
    features = NetHackFeatures(SPACE)
    here = observation(1)
    here["blstats"][:, 0], here["blstats"][:, 1] = 30, 10
    there = {key: value.clone() for key, value in here.items()}
    there["glyphs"] = here["glyphs"].roll((3, 7), dims=(1, 2))
    there["blstats"][:, 0], there["blstats"][:, 1] = 37, 13
    seen = []
    features.map.register_forward_hook(lambda *call: seen.append(call[2]))
    assert not torch.equal(features(here), features(there))
    assert torch.equal(*seen)


def test_that_every_key_is_used_and_gets_a_gradient():
    torch.manual_seed(0)
    features = NetHackFeatures(SPACE, features_dim=40, crop=7)
    assert features.features_dim == 40
    base = features(observation())
    assert base.shape == (3, 40)
    for key in SPACE:
        changed = {**observation(), key: observation(seed=1)[key]}
        assert not torch.allclose(features(changed), base), key
    base.square().sum().backward()
    for name, parameter in features.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_that_empty_places_in_the_inventory_count_for_nothing():
    torch.manual_seed(0)
    features = NetHackFeatures(SPACE)
    one, two = observation(1), observation(1)
    one["inv_glyphs"][:] = NO_GLYPH
    one["inv_glyphs"][0, 0] = 2000
    two["inv_glyphs"][:] = NO_GLYPH
    two["inv_glyphs"][0, 54] = 2000
    assert torch.allclose(features(one), features(two))


def test_that_a_status_line_becomes_numbers_of_unit_size():
    status = torch.zeros(2, 27)
    status[0, 10], status[0, 11] = 6, 12  # hit points
    status[0, 9] = 10**6  # score
    status[0, 25] = 0b1000000000101  # conditions 0, 2 and 12
    found = status_features(status)
    assert found.shape == (2, 41)
    assert torch.isfinite(found).all()
    assert found.abs().max() < 1.5
    assert 0.5 in found[0]
    assert found[0, -13:].tolist() == [1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert found[0].tolist().count(np.float32(np.log1p(1e6) / 10)) == 1
    assert (found[1] == 0).all()


def test_that_the_status_line_of_a_real_game_is_of_unit_size():
    pytest.importorskip("minihack")
    import envs

    env = envs.make("NetHackScore-v0")
    for seed in range(3):
        seen, _ = env.reset(seed=seed)
        found = status_features(torch.as_tensor(seen["blstats"][None], dtype=torch.float32))
        assert found.abs().max() <= 1.0
    env.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"crop": 8}, "crop must be odd"), ({"crop": 0}, "crop must be odd")],
)
def test_that_wrong_sizes_are_named(options, message):
    with pytest.raises(UserError, match=message):
        NetHackFeatures(SPACE, **options)


@pytest.mark.parametrize(
    "keys", [["glyphs"], ["blstats", "message"], ["glyphs", "blstats", "tty_chars"]]
)
def test_that_other_observations_are_refused(keys):
    parts = {**SPACE.spaces, "tty_chars": spaces.Box(0, 255, (24, 80), np.uint8)}
    space = spaces.Dict({key: parts[key] for key in keys})
    assert not NetHackFeatures.reads(space)
    with pytest.raises(UserError, match="reads the observation keys"):
        NetHackFeatures(space)


def _model(**options):
    pytest.importorskip("minihack")
    data = {
        "env": {"id": "MiniHack-Room-5x5-v0", "n_envs": 2, "threads": 1},
        "algo": {"name": "ppo", "n_steps": 16, "batch_size": 16, "n_epochs": 1},
        "reward": {"task": 1.0},
        "steps": 32,
        "seed": 3,
    }
    return build_model(parse_config({**data, **options}))


def _by_name(extractor, **options):
    settings = {"features_extractor": extractor, **options}
    return {"name": "ppo", "n_steps": 16, "batch_size": 16, "policy_kwargs": settings}


def test_that_it_is_what_nethack_policies_see_with_and_the_same_by_name():
    default = _model()
    named = _model(algo=_by_name("nethack", features_extractor_kwargs={"crop": 9}))
    assert isinstance(default.policy.features_extractor, NetHackFeatures)
    one, two = default.policy.state_dict(), named.policy.state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)
    default.learn(32)
    trained, key = default.policy.state_dict(), "features_extractor.glyphs.weight"
    assert not torch.equal(trained[key], two[key])
    plain = _model(algo=_by_name("combined"))
    assert isinstance(plain.policy.features_extractor, CombinedExtractor)
    for model in (default, named, plain):
        model.env.close()


def test_that_an_unknown_extractor_is_named():
    with pytest.raises(UserError, match="nethack"):
        _model(algo=_by_name("nethak"))


def test_that_keys_for_rewards_alone_can_be_ignored():
    env = {"id": "MiniHack-Room-5x5-v0", "observation_keys": ["glyphs", "blstats", "tty_cursor"]}
    with pytest.raises(UserError, match="name the others in ignored_keys"):
        _model(env={**env, "n_envs": 2}, algo=_by_name("nethack"))
    ignoring = _by_name("nethack", features_extractor_kwargs={"ignored_keys": ["tty_cursor"]})
    model = _model(env={**env, "n_envs": 2}, algo=ignoring)
    assert not any("cursor" in name for name in model.policy.state_dict())
    model.learn(32)
    model.env.close()


def test_that_normalised_glyphs_are_refused():
    with pytest.raises(UserError, match="glyph codes"):
        _model(normalize_observations=True)
