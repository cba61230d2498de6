from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load_file, save_file
from scipy import stats

from reward_models.base import Order, Scope
from reward_models.check import check_reward
from reward_models.curiosity.disagreement import Disagreement, ensemble_variance
from reward_models.encoders import HiddenEncoder, make_encoder
from reward_models.errors import UnknownNameError, UserError

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
BOX = spaces.Box(-1, 1, (2,), np.float32)
KINDS = ["vector", "image", "small_image", "discrete", "multi_discrete", "multi_binary", "dict"]
ACTIONS = ["box", "discrete", "multi_discrete", "multi_binary"]


def _model(space: spaces.Space = VECTOR, actions: spaces.Space = BOX, **options) -> Disagreement:
    return Disagreement(
        observation_space=space, action_space=actions, **{"latent_size": 8, **options}
    )


def _copy_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


def test_what_the_class_promises():
    model = _model()
    assert model.scope == Scope.TRANSITION
    assert model.order == Order.REWARD_FIRST
    assert model.preferred_scale == "reward_std"
    assert model.task_free
    assert model.replayable
    assert model.goal_relabelling
    assert model.concurrent_update


def test_published_variance():
    predictions = torch.tensor([[1.0, 2.0], [3.0, 2.0], [5.0, 8.0], [7.0, 4.0]])
    torch.testing.assert_close(float(ensemble_variance(predictions)), 7.333333, atol=1e-5, rtol=0)


def test_the_models_run_side_by_side_as_they_would_alone(make_rollout, action_spaces):
    # More rows than run at once, so that chunks are joined too.
    rollout = make_rollout(action_space=action_spaces["discrete"], steps=200)
    model = _model(actions=action_spaces["discrete"], ensemble_size=3)
    model.update(rollout)
    found = model(rollout)
    with torch.no_grad():
        features = model.encoder(model.normalizer(rollout.observation.flatten(0, 1)))
        inputs = torch.cat([features, model.actions(rollout.action.flatten())], -1)
        alone = torch.stack([member(inputs) for member in model.members])
    torch.testing.assert_close(found.flatten(), alone.var(0, unbiased=True).mean(-1))


def test_lower_precision_is_close(make_rollout):
    exact, fast = (_model(precision=name) for name in ("float32", "bfloat16"))
    rollout = make_rollout(steps=40)
    for _ in range(60):
        exact.update(rollout)
    fast.load_state_dict(exact.state_dict())
    first, second = exact(rollout), fast(rollout)
    assert second.dtype == torch.float32
    assert not torch.equal(first, second)
    torch.testing.assert_close(first, second, rtol=0.1, atol=0.01 * float(first.mean()))
    assert float((first - second).abs().mean() / first.mean()) < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_runs_on_every_kind_of_observation(make_rollout, observation_spaces, kind):
    space = observation_spaces[kind]
    model, rollout = _model(space), make_rollout(space)
    before = model(rollout)
    loss = model.update(rollout)["loss"]
    after = model(rollout)
    for reward in (before, after):
        assert tuple(reward.shape) == (6, 3)
        assert bool(reward.isfinite().all())
        assert bool((reward > 0).all())
    assert math.isfinite(loss)
    assert not torch.equal(before, after)


@pytest.mark.parametrize("kind", ACTIONS)
def test_the_action_counts(make_rollout, action_spaces, kind):
    space = action_spaces[kind]
    model, rollout = _model(actions=space), make_rollout(action_space=space)
    other = make_rollout(action_space=space, seed=3)
    assert not torch.equal(model(rollout), model(rollout.replace(action=other.action)))
    assert math.isfinite(model.update(rollout)["loss"])


def test_each_minibatch_trains_the_next_model_alone(make_rollout):
    model = _model(ensemble_size=3, batch_size=4)
    start = [_copy_of(member) for member in model.members]
    short = make_rollout(steps=2, columns=4)  # two minibatches
    model.update(short)
    changed = [
        not _same(before, member.state_dict())
        for before, member in zip(start, model.members, strict=True)
    ]
    assert changed == [True, True, False]
    before = [_copy_of(member) for member in model.members]
    model.update(make_rollout(steps=1, columns=4, seed=1))  # the third minibatch
    changed = [
        not _same(old, member.state_dict())
        for old, member in zip(before, model.members, strict=True)
    ]
    assert changed == [False, False, True]


def test_each_sample_is_dealt_once_a_pass():
    model = _model(batch_size=4)
    hands = model._dealt(18, torch.Generator().manual_seed(0))
    assert [len(hand) for hand in hands] == [6, 4, 4, 4]
    assert torch.cat(hands).sort().values.tolist() == list(range(18))


def test_disagreement_falls_on_repeated_data(make_rollout):
    rollout, model = make_rollout(steps=64), _model()
    start = float(model(rollout).mean())
    for _ in range(150):
        model.update(rollout)
    assert float(model(rollout).mean()) < 0.05 * start


def test_noise_is_not_rewarded_forever(make_rollout):
    """Successors drawn at random lose their reward, though no model can predict them."""
    ratios = []
    for seed in range(6):
        model = _model(seed=seed, normalize_observations=False)
        rollout = make_rollout(steps=100, seed=seed)
        still = torch.zeros_like(rollout.observation)
        start = float(model(rollout.replace(observation=still)).mean())
        for draw in range(120):
            noise = make_rollout(steps=100, seed=1000 * seed + draw).next_observation
            loss = model.update(rollout.replace(observation=still, next_observation=noise))["loss"]
        ratios.append(float(model(rollout.replace(observation=still)).mean()) / start)
        # The successor is as unpredictable as at the beginning.
        assert loss > 0.9 * float(model.encoder(noise.flatten(0, 1)).var(0).mean())
    assert stats.ttest_1samp(ratios, 0.2, alternative="less").pvalue < 0.01


def test_the_encoder_is_frozen(make_rollout):
    encoder = make_encoder(VECTOR, size=6, seed=5)
    model = Disagreement(observation_space=VECTOR, action_space=BOX, encoder=encoder)
    before = _copy_of(encoder)
    model.update(make_rollout())
    assert _same(before, model.encoder.state_dict())


def test_calling_changes_nothing(make_rollout):
    model, rollout = _model(), make_rollout()
    model.update(rollout)
    state, generator = _copy_of(model), torch.get_rng_state()
    assert torch.equal(model(rollout), model(rollout))
    assert _same(state, model.state_dict())
    assert torch.equal(torch.get_rng_state(), generator)


def test_neither_building_nor_learning_draws_from_the_global_generator(make_rollout):
    rollout, generator = make_rollout(), torch.get_rng_state()
    _model(update_proportion=0.5, epochs=2).update(rollout)
    assert torch.equal(torch.get_rng_state(), generator)


def test_columns_are_treated_alike(make_rollout):
    model, rollout = _model(), make_rollout()
    order = torch.tensor([2, 0, 1])
    turned = rollout.replace(
        observation=rollout.observation[:, order], action=rollout.action[:, order]
    )
    torch.testing.assert_close(model(turned), model(rollout)[:, order])


@pytest.mark.parametrize("kind", ["box", "discrete"])
def test_padding_is_not_learned_and_need_not_be_valid(make_rollout, action_spaces, kind):
    mask = torch.ones(6, 3, dtype=torch.bool)
    mask[4:, 1] = False
    space = action_spaces[kind]
    rollout = make_rollout(action_space=space, mask=mask)
    dirty = rollout.replace(
        observation=rollout.observation.masked_fill(~mask.unsqueeze(-1), math.nan),
        action=rollout.action.masked_fill(~mask.reshape(6, 3, *[1] * len(space.shape)), -100),
    )
    padded, flat = (_model(actions=space, batch_size=5) for _ in range(2))
    assert padded.update(dirty) == flat.update(rollout.flatten())
    assert _same(padded.state_dict(), flat.state_dict())
    torch.testing.assert_close(padded(dirty)[mask], flat(rollout.flatten())[0])
    nothing = rollout.replace(mask=torch.zeros(6, 3, dtype=torch.bool))
    assert padded.update(nothing) == {}
    assert tuple(padded(nothing).shape) == (6, 3)


def test_constant_observations_stay_finite(make_rollout):
    constant = torch.full((4, 1, 5), 3.0, dtype=torch.float64)
    rollout = make_rollout(
        steps=4, columns=1, observation=constant, next_observation=constant.clone()
    )
    model = _model()
    for _ in range(5):
        assert math.isfinite(model.update(rollout)["loss"])
        assert bool(model(rollout).isfinite().all())


def test_hidden_features_are_read_from_the_record(make_rollout):
    hidden = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0))
    model = _model(actions=spaces.Discrete(50), encoder=HiddenEncoder(hidden_size=4, size=8))
    assert model.requires == {"hidden"}
    assert not model.replayable  # what it learns is in the next step
    rollout = make_rollout(hidden=hidden, action=torch.arange(18).reshape(6, 3))
    assert bool((model(rollout) > 0).all())  # the reward needs no successor
    assert model.update(rollout)["loss"] > 0


@pytest.mark.parametrize("epochs", [1, 2])
def test_restored_model_continues_bit_for_bit(make_rollout, tmp_path, epochs):
    rollouts = [make_rollout(steps=20, seed=seed) for seed in range(3)]
    options = {"batch_size": 16, "update_proportion": 0.7, "epochs": epochs}
    model = _model(**options)
    model.update(rollouts[0])
    save_file(_copy_of(model), tmp_path / "disagreement.safetensors")
    restored = _model(seed=7, **options)
    restored.load_state_dict(load_file(tmp_path / "disagreement.safetensors"))
    for rollout in rollouts[1:]:
        assert torch.equal(model(rollout), restored(rollout))
        assert model.update(rollout) == restored.update(rollout)
    assert _same(model.state_dict(), restored.state_dict())


def test_unknown_observations_are_not_learned(make_rollout):
    rollout = make_rollout()
    model = _model()
    state = _copy_of(model)
    for name in ("observation", "next_observation", "action"):
        broken = rollout.data[name].clone()
        broken[2, 1, 0] = math.inf
        with pytest.raises(UserError, match=f"^{name} must be finite"):
            model.update(rollout.replace(**{name: broken}))
    assert _same(state, model.state_dict())


def test_it_keeps_the_contract(action_spaces):
    report = check_reward(
        Disagreement, observation_space=VECTOR, action_space=action_spaces["discrete"]
    )
    assert report.ok, report.violations


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ensemble_size": 1}, UserError, "at least 2, got 1"),
        ({"precision": "bfloat61"}, UnknownNameError, "Did you mean 'bfloat16'"),
        ({"actions": spaces.Text(3)}, UserError, "Discrete, MultiDiscrete"),
        ({"latent_size": 0}, UserError, "at least one feature"),
        ({"epochs": 0}, UserError, "epochs"),
        ({"batch_size": 0}, UserError, "batch_size"),
        ({"learning_rate": math.nan}, UserError, "learning_rate"),
        ({"update_proportion": 0.0}, UserError, "update_proportion"),
    ],
)
def test_what_cannot_work_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        _model(**options)
