from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load_file, save_file

from reward_models.base import Order, Scope
from reward_models.check import check_reward
from reward_models.curiosity.entropy import recent_features
from reward_models.curiosity.entropy.re3 import RE3
from reward_models.curiosity.entropy.recent_features import RecentFeatures, nearest_distances
from reward_models.curiosity.entropy.rise import RISE
from reward_models.encoders import HiddenEncoder
from reward_models.errors import UserError
from reward_models.refusals import transition_refusal

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
KINDS = ["vector", "image", "small_image", "discrete", "multi_discrete", "multi_binary", "dict"]
MODELS = pytest.mark.parametrize("kind", [RE3, RISE])


def _model(kind: type[RecentFeatures] = RE3, space: spaces.Space = VECTOR, **options):
    # Fixed statistics, so that nothing but the storage changes.
    options = {"latent_size": 6, "k": 2, "normalize_observations": False, **options}
    return kind(observation_space=space, **options)


def _copy_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _step(rollout, t: int, *, continued=None):
    entries = {key: value[t : t + 1] for key, value in rollout.data.items()}
    return type(rollout)(continued=continued, **entries)


def _by_hand(model: RecentFeatures, rollout, before: list[list[torch.Tensor]]) -> torch.Tensor:
    """Reward step by step and column by column, with plain distances."""
    features = model.encoder(model.normalizer(rollout.next_observation)).detach()
    reward = torch.zeros(rollout.T, rollout.B)
    for b in range(rollout.B):
        stored = list(before[b])
        for t in range(rollout.T):
            if not rollout.mask[t, b]:
                continue
            stored.append(features[t, b])
            known = torch.stack(stored[-model.storage :])
            distances = (known - features[t, b]).norm(dim=-1).sort().values
            padded = distances.tolist() + [float(distances[-1])] * (model.k + 1)
            reward[t, b] = model.reward_of(torch.tensor(padded[: model.k + 1]))
        before[b] = stored
    return reward


@MODELS
def test_what_the_classes_promise(kind):
    model = _model(kind)
    assert model.scope == Scope.TRANSITION
    assert model.order == Order.REWARD_FIRST
    assert model.preferred_scale == "reward_std"
    assert model.task_free
    assert model.concurrent_update


@pytest.mark.parametrize("groups", [True, False])
def test_nearest_are_found_among_those_that_were_seen(groups):
    generator = torch.Generator().manual_seed(0)
    size = 64 if groups else 61
    queries = torch.randn(3, 5, 4, generator=generator)
    stored = torch.randn(3, size, 4, generator=generator)
    seen = torch.rand(3, 5, size, generator=generator) < 0.5
    expected = torch.cdist(queries, stored).masked_fill(~seen, math.inf).sort(-1).values[..., :7]
    torch.testing.assert_close(nearest_distances(queries, stored, seen, 7), expected)


def test_missing_neighbours_are_the_largest():
    stored = torch.tensor([[[0.0], [3.0], [9.0]]])
    seen = torch.tensor([[[True, True, False], [False, False, False]]])
    found = nearest_distances(torch.zeros(1, 2, 1), stored, seen, 5)
    assert found.tolist() == [[[0.0, 3.0, 3.0, 3.0, 3.0], [0.0] * 5]]


def test_equal_features_are_at_no_distance():
    # Where |x|^2 + |y|^2 - 2 x y would not cancel.
    stored = torch.full((1, 16, 3), 1234.567)
    found = nearest_distances(stored[:, :2], stored, torch.ones(1, 2, 16, dtype=torch.bool), 3)
    assert not bool(found.any())


@MODELS
@pytest.mark.parametrize("storage", [4, 9, 50])
@pytest.mark.parametrize("at_once", [1, 300, 2**19])
def test_rollouts_equal_a_loop_by_hand(make_rollout, monkeypatch, kind, storage, at_once):
    monkeypatch.setattr(recent_features, "_DISTANCES_AT_ONCE", at_once)
    model = _model(kind, storage=storage)
    before: list[list[torch.Tensor]] = [[], [], []]
    for seed in range(3):
        rollout = make_rollout(steps=11, seed=seed)
        torch.testing.assert_close(model(rollout), _by_hand(model, rollout, before))
        stored = model.update(rollout)["stored"]
        assert stored == min(11 * (seed + 1), storage)


@MODELS
def test_single_steps_equal_one_rollout(make_rollout, kind):
    whole, stepped = _model(kind, storage=7), _model(kind, storage=7)
    done = torch.zeros(12, 3, dtype=torch.bool)
    done[4, 1] = done[6, 2] = True
    rollout = make_rollout(steps=12, truncated=done)
    expected = whole(rollout)
    for t in range(12):
        step = _step(rollout, t)
        torch.testing.assert_close(stepped(step)[0], expected[t])
        stepped.update(step)
    whole.update(rollout)
    following = make_rollout(steps=3, seed=5)
    torch.testing.assert_close(whole(following), stepped(following))


@MODELS
def test_padding_is_not_stored(make_rollout, kind):
    mask = torch.ones(9, 3, dtype=torch.bool)
    mask[3:6, 0] = mask[7:, 1] = mask[:, 2] = False
    model = _model(kind, storage=5)
    before: list[list[torch.Tensor]] = [[], [], []]
    for seed in range(2):
        rollout = make_rollout(steps=9, seed=seed, mask=mask)
        dirty = rollout.replace(
            next_observation=rollout.next_observation.masked_fill(~mask.unsqueeze(-1), math.nan)
        )
        found = model(dirty)
        torch.testing.assert_close(found, _by_hand(model, rollout, before))
        assert not bool(found[~mask].any())
        model.update(dirty)
    assert model.memory.stored.tolist() == [5, 5, 0]
    state = _copy_of(model)
    nothing = dirty.replace(mask=torch.zeros(9, 3, dtype=torch.bool))
    assert model.update(nothing) == {}
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@MODELS
def test_restored_in_an_open_episode_it_continues_bit_for_bit(make_rollout, tmp_path, kind):
    rollouts = [
        make_rollout(steps=8, seed=seed, continued=torch.tensor([seed > 0] * 3))
        for seed in range(3)
    ]
    options = {"storage": 10, "normalize_observations": True}
    model = _model(kind, **options)
    model.update(rollouts[0])
    save_file(_copy_of(model), tmp_path / "model.safetensors")
    restored = _model(kind, seed=3, **options)
    restored.load_state_dict(load_file(tmp_path / "model.safetensors"))
    for rollout in rollouts[1:]:
        assert torch.equal(model(rollout), restored(rollout))
        assert model.update(rollout) == restored.update(rollout)
    fresh = _model(kind, **options)
    assert not torch.equal(fresh(rollouts[1]), model(rollouts[1]))


@MODELS
def test_columns_neither_mix_nor_count_by_their_order(make_rollout, kind):
    rollout = make_rollout(steps=8)
    order = torch.tensor([2, 0, 1])
    turned = rollout.replace(
        observation=rollout.observation[:, order],
        next_observation=rollout.next_observation[:, order],
    )
    other = rollout.next_observation.clone()
    other[:, 1] = 100.0
    changed = rollout.replace(next_observation=other)
    straight, permuted, disturbed = (_model(kind) for _ in range(3))
    for _ in range(2):
        expected = straight(rollout)
        torch.testing.assert_close(permuted(turned), expected[:, order])
        torch.testing.assert_close(disturbed(changed)[:, [0, 2]], expected[:, [0, 2]])
        straight.update(rollout)
        permuted.update(turned)
        disturbed.update(changed)


@MODELS
def test_another_number_of_columns_begins_with_empty_storage(make_rollout, kind):
    model = _model(kind)
    model.update(make_rollout(steps=9))
    single = make_rollout(steps=4, columns=1, seed=8)
    assert torch.equal(model(single), _model(kind)(single))


@MODELS
@pytest.mark.parametrize("name", KINDS)
def test_runs_on_every_kind_of_observation(make_rollout, observation_spaces, kind, name):
    space = observation_spaces[name]
    model = _model(kind, space, normalize_observations=True)
    for seed in range(2):
        rollout = make_rollout(space, seed=seed)
        reward = model(rollout)
        assert tuple(reward.shape) == (6, 3)
        assert bool(reward.isfinite().all())
        assert bool((reward >= 0).all())
        assert bool((reward[3:] > 0).any())
        model.update(rollout)


@MODELS
def test_hidden_features_are_read_from_the_record(make_rollout, kind):
    hidden = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0))
    model = kind(observation_space=VECTOR, encoder=HiddenEncoder(hidden_size=4, size=8))
    assert model.requires == {"hidden"}
    done = torch.zeros(6, 3, dtype=torch.bool)
    done[2, 0] = True
    rollout = make_rollout(hidden=hidden, terminated=done)
    reward, extras = model(rollout)
    assert extras["defined"].sum(0).tolist() == [4, 5, 5]
    assert not bool(reward[~extras["defined"]].any())
    assert model.update(rollout)["stored"] == pytest.approx(14 / 3)


@MODELS
def test_constant_observations_pay_nothing(make_rollout, kind):
    constant = torch.full((6, 3, 5), 2.5, dtype=torch.float64)
    rollout = make_rollout(observation=constant, next_observation=constant.clone())
    model = _model(kind, normalize_observations=True)
    for _ in range(3):
        assert not bool(model(rollout).any())
        model.update(rollout)


@MODELS
def test_calling_changes_nothing(make_rollout, kind):
    model, rollout = _model(kind, normalize_observations=True), make_rollout()
    model.update(rollout)
    state, generator = _copy_of(model), torch.get_rng_state()
    assert torch.equal(model(rollout), model(rollout))
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)


@MODELS
def test_unknown_observations_are_not_stored(make_rollout, kind):
    rollout, model = make_rollout(), _model(kind)
    broken = rollout.next_observation.clone()
    broken[1, 1, 1] = math.nan
    with pytest.raises(UserError, match="next_observation must be finite"):
        model.update(rollout.replace(next_observation=broken))
    assert model.memory.columns == 0


@MODELS
def test_replay_is_refused_with_the_reason(kind):
    assert "steps in their order" in str(transition_refusal(_model(kind)))


@MODELS
def test_they_keep_the_contract(kind):
    report = check_reward(kind, observation_space=VECTOR, action_space=spaces.Discrete(3))
    assert report.ok, report.violations


@MODELS
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k must lie between 1 and storage = 1000"),
        ({"k": 5, "storage": 4}, "storage = 4"),
        ({"k": 1, "storage": 0}, "storage = 0"),
        ({"latent_size": 0}, "at least one feature"),
        ({"keys": ["a"]}, "leave keys out"),
    ],
)
def test_what_cannot_work_is_refused(kind, options, message):
    with pytest.raises(UserError, match=message):
        _model(kind, **options)
