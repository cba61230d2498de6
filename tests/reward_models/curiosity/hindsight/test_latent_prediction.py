"""What BYOL-Explore and BYOL-Hindsight have in common, in both modes."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load_file, save_file

from reward_models.base import Order, Scope
from reward_models.check import check_reward
from reward_models.curiosity import BYOLExplore, BYOLHindsight
from reward_models.curiosity.hindsight.latent_prediction import LatentPrediction
from reward_models.encoders import HiddenEncoder, VectorEncoder
from reward_models.errors import UnknownNameError, UserError
from reward_models.refusals import transition_refusal

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
BOX = spaces.Box(-1, 1, (2,), np.float32)
MODES = ["one_step", "multi_step"]
CLASSES = [BYOLExplore, BYOLHindsight]
SMALL = {"embedding_size": 8, "belief_size": 6, "action_embedding_size": 3, "hidden": (12, 12)}

pytestmark = [pytest.mark.parametrize("mode", MODES), pytest.mark.parametrize("cls", CLASSES)]


def _build(cls, mode: str, space=VECTOR, actions=BOX, **options) -> LatentPrediction:
    return cls(
        observation_space=space, action_space=actions, mode=mode, horizon=3, **{**SMALL, **options}
    )


def _copy_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


@pytest.fixture
def flags() -> dict[str, torch.Tensor]:
    """Return ends inside a rollout of 6 steps and 3 columns, of both kinds."""
    terminated, truncated = (torch.zeros(6, 3, dtype=torch.bool) for _ in range(2))
    terminated[2, 0] = truncated[3, 1] = True
    return {"terminated": terminated, "truncated": truncated}


def test_what_the_class_promises(cls, mode):
    model = _build(cls, mode)
    assert model.order == Order.REWARD_FIRST
    assert model.task_free
    assert model.batch_dependent
    assert model.scope == (Scope.TRANSITION if mode == "one_step" else Scope.EPISODE)
    assert model.replayable == (mode == "one_step")
    assert (transition_refusal(model) is None) == (mode == "one_step")


@pytest.mark.parametrize("kind", ["vector", "image", "small_image", "discrete", "dict"])
def test_runs_on_every_kind_of_observation(make_rollout, observation_spaces, cls, mode, kind):
    space = observation_spaces[kind]
    model, rollout = _build(cls, mode, space), make_rollout(space)
    before = model(rollout)
    metrics = model.update(rollout)
    assert metrics["raw_reward_deviation"] > 0
    for reward in (before, model(rollout)):
        assert tuple(reward.shape) == (6, 3)
        assert bool(reward.isfinite().all())
        assert bool((reward >= 0).all())
        assert bool((reward > 0).any())
    assert not torch.equal(before, model(rollout))


@pytest.mark.parametrize("kind", ["box", "discrete", "multi_discrete", "multi_binary"])
def test_runs_with_every_kind_of_action(make_rollout, action_spaces, cls, mode, kind):
    model = _build(cls, mode, actions=action_spaces[kind])
    rollout = make_rollout(action_space=action_spaces[kind])
    model.update(rollout)
    assert bool(model(rollout).isfinite().all())


@pytest.mark.parametrize("size", [1, 7])
def test_hidden_states_know_no_last_successor(make_rollout, flags, cls, mode, size):
    model = _build(cls, mode, encoder=HiddenEncoder(hidden_size=size, size=8))
    rollout = make_rollout(**flags, hidden=torch.linspace(-2, 2, 18 * size).reshape(6, 3, size))
    assert model.requires == {"hidden"}
    assert not model.replayable
    reward, extras = model(rollout)
    assert not bool(extras["defined"][-1].any())
    assert not bool(extras["defined"][2, 0])
    assert bool(extras["defined"][1, 0])
    assert float(reward[~extras["defined"]].abs().sum()) == 0
    assert model.update(rollout)


def test_keeps_the_contract(cls, mode):
    build = functools.partial(cls, mode=mode, **SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the smallest sizes have a single column
        report = check_reward(build, observation_space=VECTOR, action_space=spaces.Discrete(3))
    assert report.ok, report


def test_calling_changes_nothing(make_rollout, cls, mode):
    model, rollout = _build(cls, mode), make_rollout()
    model.update(rollout)
    state, generator = _copy_of(model), torch.get_rng_state()
    assert torch.equal(model(rollout), model(rollout))
    model.update(rollout)
    assert torch.equal(generator, torch.get_rng_state())
    assert not _same(state, model.state_dict())


def test_rewards_are_those_before_learning(make_rollout, cls, mode):
    # What update merges into the averages is what forward rewarded with.
    model, rollout = _build(cls, mode), make_rollout()
    model.update(rollout)
    raw, known, _ = model._raw(rollout)
    expected = model.surprise(raw[known])
    averages = model.surprise._merged(raw[known])
    torch.testing.assert_close(model(rollout).flatten(), expected)
    model.update(rollout)
    torch.testing.assert_close(model.surprise.moments, averages)


def test_restored_in_the_middle_of_episodes_it_goes_on_bit_for_bit(
    make_rollout, tmp_path, cls, mode
):
    first, second = (
        make_rollout(seed=1),
        make_rollout(seed=2, continued=torch.tensor([True, False, True])),
    )
    model, other = _build(cls, mode), _build(cls, mode, seed=5)
    model.update(first)
    save_file(model.state_dict(), tmp_path / "state.safetensors")
    other.load_state_dict(load_file(tmp_path / "state.safetensors"))
    for _ in range(2):
        assert torch.equal(model(second), other(second))
        assert model.update(second) == other.update(second)
        assert _same(_copy_of(model), _copy_of(other))


def test_same_seed_same_run(make_rollout, cls, mode):
    rollout = make_rollout()
    first, second, third = (_build(cls, mode, seed=seed) for seed in (3, 3, 4))
    for model in (first, second, third):
        model.update(rollout)
    assert _same(first.state_dict(), second.state_dict())
    assert not torch.equal(first(rollout), third(rollout))


def test_columns_may_come_in_any_order(make_rollout, flags, cls, mode):
    model, rollout = _build(cls, mode), make_rollout(**flags)
    model.update(rollout)
    order = torch.tensor([2, 0, 1])
    permuted = rollout.replace(**{key: value[:, order] for key, value in rollout.data.items()})
    torch.testing.assert_close(model(permuted), model(rollout)[:, order])


def test_padding_reaches_nothing(make_rollout, cls, mode):
    mask = torch.ones(6, 3, dtype=torch.bool)
    mask[4:, 1] = False
    rollout = make_rollout(mask=mask)
    spoiled = {key: rollout.data[key].clone() for key in ("observation", "next_observation")}
    for value in spoiled.values():
        value[~mask] = float("nan")
    models = [_build(cls, mode) for _ in range(2)]
    for model, given in zip(models, (rollout, rollout.replace(**spoiled)), strict=True):
        model.update(given)
        assert bool(model(given)[mask].isfinite().all())
        assert float(model(given)[~mask].abs().sum()) == 0
    assert _same(models[0].state_dict(), models[1].state_dict())


def test_constant_observations_pay_nothing_and_break_nothing(make_rollout, cls, mode):
    still = torch.zeros(6, 3, 5, dtype=torch.float64)
    rollout = make_rollout(observation=still, next_observation=still, action=torch.zeros(6, 3, 2))
    model = _build(cls, mode)
    for _ in range(3):
        assert bool(model(rollout).isfinite().all())
        model.update(rollout)


def test_the_target_follows_slowly(make_rollout, cls, mode):
    model = _build(cls, mode, target_decay=0.5, sequence_length=6)
    start = [p.clone() for p in model.target.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(start, model.encoder.parameters(), strict=True))
    model.update(make_rollout())
    for before, slow, fast in zip(
        start, model.target.parameters(), model.encoder.parameters(), strict=True
    ):
        torch.testing.assert_close(slow, (before + fast) / 2)
        assert not slow.requires_grad
        assert slow.grad is None


def test_three_steps_of_the_average(cls, mode):
    model = _build(cls, mode, encoder=VectorEncoder(space=VECTOR, size=8))
    with torch.no_grad():
        for slow, fast in zip(model.target.parameters(), model.encoder.parameters(), strict=True):
            slow.zero_()
            fast.fill_(2.0)
    for _ in range(3):
        model._follow()
    for slow in model.target.parameters():
        torch.testing.assert_close(slow, torch.full_like(slow, 0.059402), rtol=0, atol=1e-6)


def test_a_target_of_your_own_stays(make_rollout, cls, mode):
    target = VectorEncoder(space=VECTOR, size=4, seed=9)
    model = _build(cls, mode, target_encoder=target)
    model.update(make_rollout())
    assert _same(target.state_dict(), model.target.state_dict())


@torch.no_grad()
def test_surprise_falls_where_it_is_learned(make_rollout, cls, mode):
    # A still observation per column: known once it was seen often enough.
    still = make_rollout(steps=1).observation.expand(6, 3, 5).contiguous()
    rollout = make_rollout(observation=still, next_observation=still)
    model = _build(cls, mode, target_decay=1.0, learning_rate=1e-2)
    first = float(model._raw(rollout)[0].mean())
    for _ in range(60):
        model.update(rollout)
    assert float(model._raw(rollout)[0].mean()) < 0.5 * first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 0}, "horizon must be at least 1"),
        ({"belief_size": 0}, "belief_size must be at least 1"),
        ({"sequence_length": 0}, "sequence_length must be at least 1"),
        ({"target_decay": 1.5}, r"target_decay must lie in \[0, 1\]"),
        ({"reward_decay": 1.0}, r"must lie in \[0, 1\)"),
        ({"hidden": (8, 0)}, "hidden must hold widths of at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"embedding_size": 0}, "at least one feature"),
    ],
)
def test_numbers_out_of_range(cls, mode, options, message):
    with pytest.raises(UserError, match=message):
        cls(observation_space=VECTOR, action_space=BOX, mode=mode, **options)


def test_modes_have_names(cls, mode):
    with pytest.raises(UnknownNameError, match="one_step"):
        cls(observation_space=VECTOR, action_space=BOX, mode=mode.replace("_", ""))


def test_nothing_is_learned_from_what_is_not_finite(make_rollout, cls, mode):
    rollout = make_rollout()
    spoiled = rollout.observation.clone()
    spoiled[2, 1, 0] = float("inf")
    model = _build(cls, mode)
    state = _copy_of(model)
    with pytest.raises(UserError, match="observation must be finite"):
        model.update(rollout.replace(observation=spoiled))
    assert _same(state, model.state_dict())
    nothing = rollout.replace(mask=torch.zeros(6, 3, dtype=torch.bool))
    assert model.update(nothing) == {}
