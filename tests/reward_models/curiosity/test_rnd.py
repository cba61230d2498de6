from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load_file, save_file

from reward_models.base import Order, Scope
from reward_models.curiosity import RND
from reward_models.encoders import Encoder, HiddenEncoder, make_encoder, seeded
from reward_models.errors import UnknownNameError, UserError
from reward_models.mix import RewardMix, Term

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
KINDS = ["vector", "image", "small_image", "discrete", "multi_discrete", "multi_binary", "dict"]


def _rnd(space: spaces.Space = VECTOR, **options) -> RND:
    return RND(observation_space=space, **{"latent_size": 8, **options})


def _copy_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


def test_what_the_class_promises():
    assert RND.scope == Scope.TRANSITION
    assert RND.order == Order.REWARD_FIRST
    assert RND.preferred_scale == "return_std"
    model = _rnd()
    assert model.task_free
    assert model.goal_relabelling
    assert model.replayable
    assert not model.requires


@pytest.mark.parametrize(
    ("prediction", "target", "reward"),
    [((1.0, 2.0, 3.0), (1.0, 0.0, 0.0), 13 / 3), ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1.0)],
)
def test_reward_is_the_mean_squared_error_over_features(make_rollout, prediction, target, reward):
    model = _rnd(latent_size=3)
    with torch.no_grad():
        for network, output in ((model.predictor, prediction), (model.target, target)):
            network.network[-1].weight.zero_()
            network.network[-1].bias.copy_(torch.tensor(output))
    torch.testing.assert_close(model(make_rollout()), torch.full((6, 3), reward))


def test_novelty_is_that_of_the_successor(make_rollout):
    model, rollout = _rnd(normalize_observations=False), make_rollout()
    after = rollout.next_observation
    expected = (model.predictor(after) - model.target(after)).square().mean(-1)
    torch.testing.assert_close(model(rollout), expected.detach())
    moved = rollout.replace(observation=torch.zeros_like(rollout.observation))
    assert torch.equal(model(moved), model(rollout))


def test_how_an_episode_ends_does_not_matter(make_rollout):
    model, rollout = _rnd(), make_rollout()
    ended = torch.zeros(6, 3, dtype=torch.bool)
    ended[2] = True
    reward = model(rollout)
    assert torch.equal(model(rollout.replace(terminated=ended)), reward)
    assert torch.equal(model(rollout.replace(truncated=ended)), reward)


@pytest.mark.parametrize("kind", KINDS)
def test_runs_on_every_kind_of_observation(make_rollout, observation_spaces, kind):
    space = observation_spaces[kind]
    model, rollout = _rnd(space), make_rollout(space)
    before = model(rollout)
    metrics = model.update(rollout)
    after = model(rollout)
    for reward in (before, after):
        assert tuple(reward.shape) == (6, 3)
        assert reward.dtype == torch.float32
        assert bool((reward >= 0).all())
        assert float(reward.mean()) > 0
        assert bool(reward.isfinite().all())
    assert set(metrics) == {"loss"}
    assert not torch.equal(before, after)


def test_chosen_keys_alone_are_read(make_rollout, observation_spaces):
    space = observation_spaces["dict"]
    model, rollout = _rnd(space, keys=["blstats"]), make_rollout(space)
    reward = model(rollout)
    after = rollout.next_observation.clone()
    after["message"] = after["message"] + 1
    assert torch.equal(model(rollout.replace(next_observation=after)), reward)
    after["blstats"] = after["blstats"] + 1
    assert not torch.equal(model(rollout.replace(next_observation=after)), reward)


def test_hidden_features_are_read_from_the_record(make_rollout):
    hidden = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0))
    model = _rnd(encoder=HiddenEncoder(hidden_size=4, size=8))
    assert model.requires == {"hidden"}
    assert not model.replayable
    rollout = make_rollout(hidden=hidden.to(torch.bfloat16))
    reward, extras = model(rollout)
    assert extras["defined"].sum(0).tolist() == [5, 5, 5]
    assert not bool(reward[-1].any())
    assert bool((reward[:-1] > 0).all())
    model.update(rollout)
    assert float(model(rollout)[0].sum()) != float(reward.sum())


def test_error_falls_on_repeated_data_and_stays_high_elsewhere(make_rollout):
    rollout, elsewhere = make_rollout(steps=64), make_rollout(steps=64, seed=1)
    elsewhere = elsewhere.replace(next_observation=elsewhere.next_observation + 4.0)
    model = _rnd(normalize_observations=False)
    first = model(rollout).mean()
    losses = [model.update(rollout)["loss"] for _ in range(100)]
    assert losses[0] > losses[30] > losses[-1]
    assert float(model(rollout).mean()) < 0.05 * float(first)
    assert float(model(elsewhere).mean()) > 5 * float(model(rollout).mean())


def test_two_epochs_learn_what_two_updates_do(make_rollout):
    # The targets of several epochs are computed once, those of one epoch with each minibatch.
    rollout = make_rollout(steps=20)
    once, twice = (_rnd(epochs=n, batch_size=16, normalize_observations=False) for n in (1, 2))
    once.update(rollout)
    once.update(rollout)
    twice.update(rollout)
    torch.testing.assert_close(once(rollout), twice(rollout))
    assert torch.equal(once.trainer.generator_state, twice.trainer.generator_state)


def test_calling_changes_nothing(make_rollout):
    model, rollout = _rnd(), make_rollout()
    model.update(rollout)
    state, generator = _copy_of(model), torch.get_rng_state()
    first = model(rollout)
    assert torch.equal(first, model(rollout))
    assert _same(state, model.state_dict())
    assert torch.equal(torch.get_rng_state(), generator)
    assert not first.requires_grad


def test_neither_building_nor_learning_draws_from_the_global_generator(make_rollout):
    rollout, generator = make_rollout(), torch.get_rng_state()
    _rnd(update_proportion=0.5).update(rollout)
    assert torch.equal(torch.get_rng_state(), generator)


def test_gradient_is_there_when_asked_for(make_rollout):
    rollout = make_rollout()
    after = rollout.next_observation.clone().requires_grad_()
    _rnd()(rollout.replace(next_observation=after), gradient=True).sum().backward()
    assert bool((after.grad != 0).any())


def test_task_reward_is_not_read(make_rollout):
    first, second, rollout = _rnd(), _rnd(), make_rollout()
    unknown = rollout.replace(reward=torch.full((6, 3), math.nan))
    first.update(rollout)
    second.update(unknown)
    assert torch.equal(first(rollout), second(unknown))


def test_columns_are_treated_alike(make_rollout):
    model, rollout = _rnd(), make_rollout()
    order = torch.tensor([2, 0, 1])
    turned = rollout.replace(
        observation=rollout.observation[:, order],
        next_observation=rollout.next_observation[:, order],
    )
    model.update(rollout)
    torch.testing.assert_close(model(turned), model(rollout)[:, order])


def test_padding_is_not_learned(make_rollout):
    mask = torch.ones(6, 3, dtype=torch.bool)
    mask[4:, 1] = False
    rollout = make_rollout(mask=mask)
    dirty = rollout.observation.masked_fill(~mask.unsqueeze(-1), math.nan)
    padded, flat = _rnd(batch_size=5), _rnd(batch_size=5)
    assert padded.update(rollout.replace(observation=dirty)) == flat.update(rollout.flatten())
    assert _same(padded.state_dict(), flat.state_dict())


def test_a_rollout_of_padding_teaches_nothing(make_rollout):
    model = _rnd()
    state = _copy_of(model)
    assert model.update(make_rollout(mask=torch.zeros(6, 3, dtype=torch.bool))) == {}
    assert _same(state, model.state_dict())


@pytest.mark.parametrize(("steps", "columns"), [(1, 1), (1, 4), (4, 1)])
def test_small_rollouts_stay_finite(make_rollout, steps, columns):
    model, rollout = _rnd(), make_rollout(steps=steps, columns=columns)
    for _ in range(3):
        assert math.isfinite(model.update(rollout)["loss"])
        assert bool(model(rollout).isfinite().all())


@pytest.mark.parametrize("value", [0.0, 1e4, -1e-9])
def test_constant_observations_stay_finite(make_rollout, value):
    constant = torch.full((6, 3, 5), value, dtype=torch.float64)
    rollout = make_rollout(observation=constant, next_observation=constant)
    model = _rnd()
    for _ in range(5):
        assert bool(model(rollout).isfinite().all())
        model.update(rollout)


def test_statistics_learn_in_update_alone_and_scale_the_inputs(make_rollout):
    rollout = make_rollout(steps=200)
    far = rollout.replace(
        observation=rollout.observation * 1e3 + 1e5,
        next_observation=rollout.next_observation * 1e3 + 1e5,
    )
    model = _rnd()
    # Before anything was learned every observation is clipped to the same corner.
    assert float(model(far).std()) < 1e-5
    model.update(far)
    assert float(model.normalizer.statistics.count) == pytest.approx(600, abs=1e-3)
    assert float(model(far).std()) > 1e-2
    assert not list(_rnd(normalize_observations=False).normalizer.buffers())


def test_target_is_never_trained(make_rollout):
    model, rollout = _rnd(), make_rollout()
    target, predictor = _copy_of(model.target), _copy_of(model.predictor)
    assert not _same(target, predictor)
    model.update(rollout)
    assert _same(target, model.target.state_dict())
    assert not _same(predictor, model.predictor.state_dict())


def test_your_encoder_is_copied_and_gives_both_networks_their_size(make_rollout):
    encoder = make_encoder(VECTOR, size=6, seed=5)
    before = _copy_of(encoder)
    model = RND(observation_space=VECTOR, encoder=encoder)
    model.update(make_rollout())
    assert _same(before, encoder.state_dict())
    assert model.target.output_size == model.predictor.output_size == 6
    assert not torch.equal(model.target.network[0].weight, before["network.0.weight"])


class _Fourier(Encoder):
    """Sines and cosines of fixed random projections, then a trainable layer."""

    def __init__(self) -> None:
        super().__init__(input_space=VECTOR, output_size=4)
        with seeded(0):
            self.register_buffer("projection", 3.0 * torch.randn(5, 16))
            self.layer = torch.nn.Linear(32, 4)
            self.redraw()

    def forward(self, inputs):
        angles = inputs.float() @ self.projection
        return self.layer(torch.cat([angles.sin(), angles.cos()], -1))


def test_fixed_parts_of_your_encoder_are_shared_by_both_networks(make_rollout):
    model = RND(observation_space=VECTOR, encoder=_Fourier())
    assert torch.equal(model.target.projection, model.predictor.projection)
    assert not torch.equal(model.target.layer.weight, model.predictor.layer.weight)
    rollout = make_rollout()
    first = model.update(rollout)["loss"]
    assert model.update(rollout)["loss"] < first


def test_restored_model_continues_bit_for_bit(make_rollout, tmp_path):
    rollouts = [make_rollout(steps=20, seed=seed) for seed in range(3)]
    model = _rnd(batch_size=16, update_proportion=0.7, epochs=2)
    model.update(rollouts[0])
    assert all(isinstance(value, torch.Tensor) for value in model.state_dict().values())
    save_file(_copy_of(model), tmp_path / "rnd.safetensors")
    restored = _rnd(batch_size=16, update_proportion=0.7, epochs=2, seed=7)
    restored.load_state_dict(load_file(tmp_path / "rnd.safetensors"))
    for rollout in rollouts[1:]:
        assert torch.equal(model(rollout), restored(rollout))
        assert model.update(rollout) == restored.update(rollout)
    assert _same(model.state_dict(), restored.state_dict())


def test_a_deep_copy_learns_on_its_own(make_rollout):
    model, rollout = _rnd(), make_rollout()
    model.update(rollout)
    twin = copy.deepcopy(model)
    state = _copy_of(model)
    twin.update(rollout)
    assert _same(state, model.state_dict())
    model.update(rollout)
    assert _same(twin.state_dict(), model.state_dict())


def test_equal_seeds_give_equal_models(make_rollout):
    rollout = make_rollout()
    first, second, other = _rnd(seed=1), _rnd(seed=1), _rnd(seed=2)
    for model in (first, second, other):
        model.update(rollout)
    assert _same(first.state_dict(), second.state_dict())
    assert not torch.equal(first(rollout), other(rollout))


def test_unknown_observations_are_not_learned(make_rollout):
    rollout = make_rollout()
    broken = rollout.observation.clone()
    broken[2, 1, 0] = math.inf
    model = _rnd()
    state = _copy_of(model)
    with pytest.raises(UserError, match="observation must be finite"):
        model.update(rollout.replace(observation=broken))
    assert _same(state, model.state_dict())


def test_in_a_mix_it_is_rewarded_first_and_scaled(make_rollout):
    model = _rnd()
    mix = RewardMix({"rnd": Term(model, weight=0.5)}, gamma=0.99)
    rollout = make_rollout()
    expected = model(rollout)
    mixed, metrics = mix.collect(rollout, steps=18)
    assert torch.equal(mixed.raw[..., 1], expected)
    assert float(mixed.divisors[1]) not in (0.0, 1.0)
    assert metrics["rnd/loss"] > 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"latent_size": 0}, UserError, "at least one feature"),
        ({"keys": ["a"]}, UserError, "leave keys out"),
        ({"keys": ["a"], "encoder": HiddenEncoder(hidden_size=2)}, UserError, "either keys or"),
        (
            {"keys": ["mesage"], "space": spaces.Dict({"message": spaces.Discrete(2)})},
            UnknownNameError,
            "Did you mean 'message'",
        ),
        ({"epochs": 0}, UserError, "epochs"),
    ],
    ids=["size", "no_keys", "both", "typo", "epochs"],
)
def test_what_cannot_work_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        _rnd(**options)
