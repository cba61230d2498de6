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
from reward_models.curiosity.counting.density import (
    CountingDensity,
    DensityPseudoCounts,
    density_bonus,
    log_pseudo_count,
)
from reward_models.encoders import HiddenEncoder
from reward_models.errors import UserError
from reward_models.refusals import transition_refusal

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
CELLS = spaces.Discrete(6)
KINDS = ["vector", "image", "small_image", "discrete", "multi_discrete", "multi_binary", "dict"]


def _model(space: spaces.Space = VECTOR, **options) -> DensityPseudoCounts:
    return DensityPseudoCounts(observation_space=space, **options)


def _copy_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _log(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).log()


def test_what_the_class_promises():
    model = _model()
    assert model.scope == Scope.TRANSITION
    assert model.order == Order.REWARD_FIRST
    assert model.preferred_scale == "reward_std"
    assert model.task_free
    assert model.replayable
    assert model.goal_relabelling
    assert transition_refusal(model) is None


def test_published_numbers():
    count = log_pseudo_count(_log(0.02), _log(0.03) - _log(0.02))
    torch.testing.assert_close(count.exp(), torch.tensor([1.94], dtype=torch.float64))
    torch.testing.assert_close(float(density_bonus(count)), 0.716115, atol=1e-6, rtol=0)


def test_learning_nothing_counts_as_infinitely_often():
    count = log_pseudo_count(_log(0.02, 0.02), _log(0.02, 0.01) - _log(0.02, 0.02))
    assert count.tolist() == [math.inf, math.inf]
    assert density_bonus(count).tolist() == [0.0, 0.0]


def test_densities_far_below_any_float():
    # rho = exp(-3000): no float, but rho' / rho = 2 or exp(900) says all.
    density = torch.full((2,), -3000.0, dtype=torch.float64)
    count = log_pseudo_count(density, torch.tensor([math.log(2), 900.0], dtype=torch.float64))
    torch.testing.assert_close(count, torch.tensor([0.0, -900.0], dtype=torch.float64))
    assert float(density_bonus(count)[1]) == pytest.approx(10.0)


def test_estimators_by_hand():
    density = CountingDensity(sizes=[2, 3], contexts=2)
    rows = torch.tensor([[0, 2], [0, 1], [1, 2]])
    contexts = torch.tensor([[0, 1], [0, 1], [1, 1]])
    density.learn(rows, contexts)
    found = density(torch.tensor([[0, 2], [1, 0]]), torch.tensor([[0, 1], [0, 0]]))
    before = [2.5 / 3 * 2.5 / 4.5, 0.5 / 3 * 0.5 / 1.5]
    after = [3.5 / 4 * 3.5 / 5.5, 1.5 / 4 * 1.5 / 2.5]
    expected = torch.stack([_log(*before), _log(*after) - _log(*before)], 1)
    torch.testing.assert_close(found, expected)


def test_densities_sum_to_one():
    density = CountingDensity(sizes=[3, 4], contexts=1)
    generator = torch.Generator().manual_seed(0)
    rows = torch.stack([torch.randint(0, n, (30,), generator=generator) for n in (3, 4)], 1)
    density.learn(rows, torch.zeros_like(rows))
    every = torch.cartesian_prod(torch.arange(3), torch.arange(4))
    logs = density(every, torch.zeros_like(every))
    torch.testing.assert_close(float(logs[:, 0].exp().sum()), 1.0)
    # What would be learned is what is learned.
    learned = every[5:6]
    promised = logs[5].sum()
    density.learn(learned, torch.zeros_like(learned))
    torch.testing.assert_close(density(learned, torch.zeros_like(learned))[0, 0], promised)


def test_pseudo_counts_of_single_symbols_follow_real_ones(make_rollout):
    """With one place the pseudo-count is close to the number of visits."""
    model = _model(CELLS)
    cells = torch.tensor([[0] * 100 + [1] * 25 + [2] * 4])
    shape = {"steps": 1, "columns": cells.shape[1]}
    model.update(make_rollout(CELLS, **shape, next_observation=cells))
    tried = make_rollout(CELLS, steps=1, columns=4, next_observation=torch.arange(4)[None])
    counts = model(tried)[0].double().pow(-2) - 0.01
    expected = [(n + 0.5) / (132 - n - 0.5) * (133 - n - 1.5) for n in (100, 25, 4, 0)]
    torch.testing.assert_close(counts, torch.tensor(expected).double(), rtol=1e-4, atol=0)
    assert counts[:3].tolist() == pytest.approx([100, 25, 4], rel=0.15)


def test_all_steps_are_measured_with_the_counts_of_the_beginning(make_rollout):
    model = _model(CELLS)
    cells = torch.tensor([[1, 2], [1, 1], [1, 1]])
    rollout = make_rollout(CELLS, steps=3, columns=2, next_observation=cells)
    reward = model(rollout)
    assert len(reward.unique()) == 1
    model.update(rollout)
    again = model(rollout)
    assert float(again[0, 1]) > float(again[0, 0])
    torch.testing.assert_close(model(rollout.flatten())[0], again.flatten())


@pytest.mark.parametrize("kind", KINDS)
def test_runs_on_every_kind_of_observation(make_rollout, observation_spaces, kind):
    space = observation_spaces[kind]
    model, rollout = _model(space), make_rollout(space)
    for _ in range(3):
        reward = model(rollout)
        assert tuple(reward.shape) == (6, 3)
        assert reward.dtype == torch.float32
        assert bool(((reward > 0) & (reward <= 10)).all())
        assert math.isfinite(model.update(rollout)["log_density"])


@pytest.mark.parametrize("kind", KINDS)
def test_novelty_falls_on_repeated_data(make_rollout, observation_spaces, kind):
    space = observation_spaces[kind]
    model, rollout = _model(space), make_rollout(space)
    model.update(rollout)
    rewards = [float(model(rollout).double().mean())]
    densities = []
    for _ in range(4):
        densities.append(model.update(rollout)["log_density"])
        rewards.append(float(model(rollout).double().mean()))
    assert densities == sorted(densities)
    assert rewards[-1] <= rewards[0]
    if kind not in ("image", "dict"):  # hundreds of places need more than five looks
        assert rewards[-1] < rewards[0]


def test_rare_states_pay_more(make_rollout):
    space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    gaps = []
    for seed in range(6):
        model = _model(space)
        model.update(make_rollout(space, steps=200, columns=8, seed=seed))
        usual = make_rollout(space, steps=20, seed=100 + seed)
        rare = usual.replace(next_observation=usual.next_observation.sign() * 4.0)
        gaps.append(float((model(rare) - model(usual)).mean()))
    assert stats.ttest_1samp(gaps, 0.0, alternative="greater").pvalue < 0.01


def test_an_image_seen_often_is_known_and_another_is_not(make_rollout, observation_spaces):
    space = observation_spaces["image"]
    image = make_rollout(space, steps=1, columns=1).next_observation
    other = make_rollout(space, steps=1, columns=1, seed=1)
    known = make_rollout(
        space, steps=300, columns=1, next_observation=image.expand(300, *image.shape[1:])
    )
    model = _model(space)
    first = float(model(known)[0])
    for _ in range(10):
        model.update(known)
    assert float(model(known)[0]) < 0.1 * first
    assert float(model(other)) == pytest.approx(10.0, rel=1e-3)


def test_keys_choose_what_is_counted(make_rollout, observation_spaces):
    space = observation_spaces["dict"]
    whole, flag = _model(space), _model(space, keys=["inner"])
    assert flag.paths == (("inner", "flag"),)
    rollout = make_rollout(space)
    for model in (whole, flag):
        model.update(rollout)
    assert float(flag(rollout).max()) < float(whole(rollout).min())


def test_hidden_features_are_read_from_the_record(make_rollout):
    hidden = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0))
    model = _model(encoder=HiddenEncoder(hidden_size=4, size=8))
    assert model.requires == {"hidden"}
    assert not model.replayable
    done = torch.zeros(6, 3, dtype=torch.bool)
    done[2, 0] = True
    rollout = make_rollout(hidden=hidden, truncated=done)
    reward, extras = model(rollout)
    assert extras["defined"].sum(0).tolist() == [4, 5, 5]
    assert bool((reward > 0).equal(extras["defined"]))
    assert math.isfinite(model.update(rollout)["log_density"])
    assert model.update(make_rollout(hidden=hidden[:1], steps=1)) == {}


@pytest.mark.parametrize("kind", ["vector", "small_image", "discrete"])
def test_padding_is_not_learned(make_rollout, observation_spaces, kind):
    mask = torch.ones(6, 3, dtype=torch.bool)
    mask[4:, 1] = False
    space = observation_spaces[kind]
    rollout = make_rollout(space, mask=mask)
    other = make_rollout(space, seed=4).next_observation
    real = mask.reshape(6, 3, *[1] * len(space.shape))
    dirty = rollout.replace(next_observation=torch.where(real, rollout.next_observation, other))
    first, second = _model(space), _model(space)
    assert first.update(dirty) == second.update(rollout.flatten())
    assert torch.equal(first(dirty)[mask], second(rollout.flatten())[0])
    state = _copy_of(first)
    nothing = rollout.replace(mask=torch.zeros(6, 3, dtype=torch.bool))
    assert first.update(nothing) == {}
    assert all(torch.equal(value, state[name]) for name, value in first.state_dict().items())


def test_restored_model_continues_bit_for_bit(make_rollout, observation_spaces, tmp_path):
    for kind in ("vector", "small_image", "dict"):
        space = observation_spaces[kind]
        rollouts = [make_rollout(space, seed=seed) for seed in range(3)]
        model = _model(space)
        model.update(rollouts[0])
        save_file(_copy_of(model), tmp_path / f"{kind}.safetensors")
        restored = _model(space)
        restored.load_state_dict(load_file(tmp_path / f"{kind}.safetensors"))
        for rollout in rollouts[1:]:
            assert torch.equal(model(rollout), restored(rollout))
            assert model.update(rollout) == restored.update(rollout)


def test_columns_are_treated_alike(make_rollout):
    model, rollout = _model(), make_rollout()
    model.update(make_rollout(seed=3))
    order = torch.tensor([2, 0, 1])
    turned = rollout.replace(next_observation=rollout.next_observation[:, order])
    assert torch.equal(model(turned), model(rollout)[:, order])


def test_constant_observations_are_soon_known(make_rollout):
    constant = torch.full((6, 3, 5), 2.5, dtype=torch.float64)
    rollout = make_rollout(observation=constant, next_observation=constant.clone())
    model = _model()
    for _ in range(20):
        model.update(rollout)
    assert 0 < float(model(rollout).max()) < 0.2


def test_calling_changes_nothing(make_rollout):
    model, rollout = _model(), make_rollout()
    model.update(rollout)
    state, generator = _copy_of(model), torch.get_rng_state()
    assert torch.equal(model(rollout), model(rollout))
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)


def test_unknown_observations_are_not_learned(make_rollout):
    model, rollout = _model(), make_rollout()
    state = _copy_of(model)
    broken = rollout.next_observation.clone()
    broken[2, 1, 0] = math.inf
    with pytest.raises(UserError, match="next_observation must be finite"):
        model.update(rollout.replace(next_observation=broken))
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("kind", ["vector", "small_image", "discrete", "dict"])
def test_it_keeps_the_contract(observation_spaces, action_spaces, kind):
    report = check_reward(
        DensityPseudoCounts,
        observation_space=observation_spaces[kind],
        action_space=action_spaces["discrete"],
    )
    assert report.ok, report.violations


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": 1}, "levels must lie between 2 and 1024"),
        ({"levels": 1025}, "levels must lie between 2 and 1024"),
        ({"levels": 17, "space": spaces.Box(0, 255, (9, 9, 3), np.uint8)}, "at most 16 for images"),
        ({"keys": ["a"]}, "leave keys out"),
        ({"keys": ["a"], "encoder": HiddenEncoder(hidden_size=2)}, "either keys or an encoder"),
        ({"space": spaces.Text(3)}, "no encoder"),
    ],
)
def test_what_cannot_work_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        _model(**options)
