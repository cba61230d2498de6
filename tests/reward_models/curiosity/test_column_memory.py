"""What every memory of running episodes promises, alone and in the models that have one."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load_file, save_file

from reward_models.base import RewardModel, split_output
from reward_models.checking.samples import cut, sampled_rollouts
from reward_models.curiosity.column_memory import ColumnMemory
from reward_models.curiosity.episodic.e3b import E3B
from reward_models.curiosity.episodic.ngu import NGU
from reward_models.curiosity.episodic.pseudo_counts import PseudoCounts
from reward_models.curiosity.episodic.ride import RIDE
from reward_models.curiosity.training import MinibatchTrainer
from reward_models.encoders import HiddenEncoder
from reward_models.errors import UserError
from reward_models.refusals import transition_refusal
from reward_models.rollout import Rollout
from reward_models.stepwise import stepwise_refusal

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
FEW = spaces.Discrete(4)
BOX = spaces.Box(-1, 1, (2,), np.float32)
KINDS = ["vector", "image", "small_image", "discrete", "multi_discrete", "multi_binary", "dict"]
MODELS: dict[str, Callable[..., RewardModel]] = {
    "e3b": E3B,
    "e3b_present": functools.partial(E3B, features_of="present"),
    "pseudo_counts": functools.partial(PseudoCounts, neighbours=3, capacity=7),
    "ngu": functools.partial(NGU, neighbours=3, capacity=7),
    # Two signs alone, so that states come again.
    "ride": functools.partial(RIDE, hash_bits=2),
    "ride_pseudo": functools.partial(RIDE, episodic="pseudo_counts", neighbours=3, capacity=7),
}
each_model = pytest.mark.parametrize("name", MODELS)


def _model(name: str, space: spaces.Space = VECTOR, actions: spaces.Space = BOX, **options):
    return MODELS[name](
        observation_space=space, action_space=actions, **{"latent_size": 4, **options}
    )


def _still(name: str) -> RewardModel:
    """Return a model without statistics that depend on which steps are seen together."""
    lone = {"max_modulator": 1.0} if name == "ngu" else {}
    return _model(name, normalize_observations=False, **lone)


def _stream(space: spaces.Space = VECTOR, count: int = 3, seed: int = 0) -> list[Rollout]:
    """Return rollouts ``[16, 4]`` in arrival order with ends of every kind and open episodes."""
    rng = np.random.default_rng(seed)
    return sampled_rollouts(observation_space=space, action_space=BOX, rng=rng, count=count)


def _values(model: RewardModel, rollout: Rollout) -> torch.Tensor:
    return split_output(model(rollout))[0]


def _copy_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


@pytest.fixture
def frozen(monkeypatch) -> None:
    """Let the memories move on while no network learns."""
    monkeypatch.setattr(MinibatchTrainer, "minimize", lambda *_: {"loss": 0.0})


def test_fresh_until_the_first_write_and_then_carried_where_an_episode_goes_on(make_rollout):
    memory = ColumnMemory(total=torch.tensor([1.0, 2.0]), steps=torch.tensor(0))
    goes_on = make_rollout(continued=torch.tensor([True, False, True]))
    assert memory.columns == 0
    found = memory.read(goes_on)
    assert found["total"].tolist() == [[1.0, 2.0]] * 3
    assert found["steps"].tolist() == [0, 0, 0]
    memory.write(total=torch.full((3, 2), 5.0), steps=torch.tensor([7, 8, 9]))
    assert memory.columns == 3
    assert memory.read(goes_on)["steps"].tolist() == [7, 0, 9]
    assert memory.read(goes_on)["total"].tolist() == [[5.0, 5.0], [1.0, 2.0], [5.0, 5.0]]
    assert memory.read(goes_on, lasting=True)["steps"].tolist() == [7, 8, 9]


def test_what_is_read_or_written_is_never_shared(make_rollout):
    memory = ColumnMemory(steps=torch.tensor(0.0))
    rollout = make_rollout(continued=torch.ones(3, dtype=torch.bool))
    memory.read(rollout)["steps"] += 1
    assert memory.read(rollout)["steps"].tolist() == [0.0] * 3
    written = torch.ones(3)
    memory.write(steps=written)
    written += 1
    memory.read(rollout)["steps"] += 1
    assert memory.read(rollout)["steps"].tolist() == [1.0] * 3


def test_another_number_of_columns_cannot_continue_episodes(make_rollout):
    memory = ColumnMemory(steps=torch.tensor(0.0))
    memory.write(steps=torch.ones(4))
    assert memory.read(make_rollout())["steps"].tolist() == [0.0] * 3
    goes_on = make_rollout(continued=torch.tensor([True, False, False]))
    assert memory.read(goes_on, lasting=True)["steps"].tolist() == [0.0] * 3
    with pytest.raises(UserError, match=r"holds 4 columns and the rollout.*has 3"):
        memory.read(goes_on)


def test_any_number_of_columns_can_be_loaded():
    saved, fresh = (ColumnMemory(total=torch.zeros(2)) for _ in range(2))
    saved.write(total=torch.arange(6.0).view(3, 2))
    fresh.load_state_dict(saved.state_dict())
    assert torch.equal(fresh.total, saved.total)
    with pytest.raises(RuntimeError, match="size mismatch"):
        ColumnMemory(total=torch.zeros(5)).load_state_dict(saved.state_dict())


@each_model
def test_step_by_step_gives_what_one_long_rollout_gives(frozen, name):
    steps, long = _still(name), _still(name)
    for rollout in _stream():
        expected = _values(long, rollout)
        long.update(rollout)
        for t in range(rollout.T):
            step = cut(rollout, slice(t, t + 1), slice(None))
            # A network rounds a batch of 1 and one of T otherwise (which way depends on the
            # processor), and neighbours' distances, being differences, enlarge that.
            found = _values(steps, step)[0]
            torch.testing.assert_close(found, expected[t], rtol=1e-4, atol=1e-5)
            steps.update(step)


@each_model
@pytest.mark.parametrize("flag", ["terminated", "truncated"])
def test_either_flag_ends_the_memory_of_an_episode(frozen, make_rollout, name, flag):
    # The same three observations before and after the end.
    half = make_rollout(steps=3).observation
    again = torch.cat([half, half])
    ended = torch.zeros(6, 3, dtype=torch.bool)
    ended[2] = True
    rollout = make_rollout(observation=again, next_observation=again.flip(-1), **{flag: ended})
    running = rollout.replace(**{flag: torch.zeros_like(ended)})
    model = _still(name)
    values, open_values = _values(model, rollout), _values(model, running)
    torch.testing.assert_close(values[:3], open_values[:3])
    assert bool((values[3:] != open_values[3:]).all())
    if "pseudo" not in name and name != "ngu":  # whose running mean outlives episodes
        torch.testing.assert_close(values[3:], values[:3])
    else:
        assert not bool(values[[0, 3]].any())


@each_model
def test_restored_inside_an_open_episode_continues_bit_for_bit(name, tmp_path):
    options = {"batch_size": 16, "update_proportion": 0.7, "normalize_observations": True}
    rollouts = _stream(count=4)
    model = _model(name, **options)
    for rollout in rollouts[:2]:
        model.update(rollout)
    assert bool(rollouts[2].continued.any())
    assert all(isinstance(value, torch.Tensor) for value in model.state_dict().values())
    save_file(_copy_of(model), tmp_path / "model.safetensors")
    restored = _model(name, seed=7, **options)
    restored.load_state_dict(load_file(tmp_path / "model.safetensors"))
    forgetful = _model(name, seed=7, **options)
    for rollout in rollouts[2:]:
        assert torch.equal(_values(model, rollout), _values(restored, rollout))
        assert not torch.equal(_values(model, rollout), _values(forgetful, rollout))
        assert model.update(rollout) == restored.update(rollout)
    assert _same(model.state_dict(), restored.state_dict())


@each_model
def test_the_open_episode_is_remembered(frozen, name):
    first, second = _stream(count=2)
    model = _model(name)
    model.update(first)
    alone = second.replace()
    alone.continued = torch.zeros(4, dtype=torch.bool)
    went_on, fresh = _values(model, second), _values(model, alone)
    # Column 1 is one long episode.
    assert bool((went_on[:, 1] != fresh[:, 1]).any())


@each_model
def test_no_column_sees_another_and_their_order_does_not_matter(frozen, name):
    first, second = _stream(count=2)
    model, turned, single = (_still(name) for _ in range(3))
    order = torch.tensor([2, 0, 3, 1])
    for rollout in (first, second):
        values = _values(model, rollout)
        mixed = cut(rollout, slice(None), order)
        torch.testing.assert_close(_values(turned, mixed), values[:, order])
        alone = cut(rollout, slice(None), slice(1, 2))
        torch.testing.assert_close(_values(single, alone), values[:, 1:2])
        for updated, seen in ((model, rollout), (turned, mixed), (single, alone)):
            updated.update(seen)


@each_model
def test_padding_enters_no_memory(frozen, name):
    rollout, following = _stream(count=2)
    mask = rollout.mask.clone()
    mask[10:, 1] = False
    outside = ~mask.unsqueeze(-1)
    dirty = rollout.replace(
        mask=mask,
        observation=rollout.observation.masked_fill(outside, math.nan),
        next_observation=rollout.next_observation.masked_fill(outside, math.nan),
        action=rollout.action.masked_fill(outside, math.nan),
    )
    padded, short = _still(name), _still(name)
    shorter = cut(rollout, slice(0, 10), slice(1, 2))
    torch.testing.assert_close(_values(padded, dirty)[:10, 1], _values(short, shorter)[:, 0])
    padded.update(dirty)
    short.update(shorter)
    column = cut(following, slice(None), slice(1, 2))
    torch.testing.assert_close(_values(padded, following)[:, 1], _values(short, column)[:, 0])


@each_model
def test_calling_changes_nothing(name):
    first, second = _stream(count=2)
    model = _model(name, normalize_observations=True)
    model.update(first)
    state, generator = _copy_of(model), torch.get_rng_state()
    assert torch.equal(_values(model, second), _values(model, second))
    model(second, gradient=True)
    assert _same(state, model.state_dict())
    model.update(second)
    assert torch.equal(torch.get_rng_state(), generator)


@each_model
def test_finite_on_constant_observations(name):
    rollout = _stream()[0]
    constant = torch.full_like(rollout.observation, 3.0)
    rollout = rollout.replace(observation=constant, next_observation=constant)
    for normalize in (False, True):
        model = _model(name, normalize_observations=normalize)
        for _ in range(4):
            assert bool(_values(model, rollout).isfinite().all())
            assert all(math.isfinite(value) for value in model.update(rollout).values())


@each_model
def test_nothing_is_learned_from_what_is_not_finite(name):
    first, second = _stream(count=2)
    model = _model(name)
    model.update(first)
    state = _copy_of(model)
    broken = second.next_observation.clone()
    broken[3, 1] = math.nan
    with pytest.raises(UserError, match="must be finite"):
        model.update(second.replace(next_observation=broken))
    assert _same(state, model.state_dict())


@each_model
@pytest.mark.parametrize("kind", KINDS)
def test_runs_on_every_kind_of_observation(make_rollout, observation_spaces, name, kind):
    space = observation_spaces[kind]
    model, rollout = _model(name, space, normalize_observations=True), make_rollout(space)
    for _ in range(2):
        values = _values(model, rollout)
        assert tuple(values.shape) == (6, 3)
        assert bool(values.isfinite().all())
        assert bool((values >= 0).all())
        assert model.update(rollout)
    assert bool(values.any())


@each_model
@pytest.mark.parametrize("kind", ["box", "discrete", "multi_discrete", "multi_binary"])
def test_runs_with_every_kind_of_action(make_rollout, action_spaces, name, kind):
    rollout = make_rollout(action_space=action_spaces[kind])
    model = _model(name, actions=action_spaces[kind])
    assert all(math.isfinite(value) for value in model.update(rollout).values())
    assert bool(_values(model, rollout).isfinite().all())


@each_model
def test_hidden_features_have_no_successor_at_an_end(make_rollout, name):
    hidden = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0))
    model = _model(name, actions=spaces.Discrete(50), encoder=HiddenEncoder(hidden_size=4, size=8))
    done = torch.zeros(6, 3, dtype=torch.bool)
    done[2, 0] = True
    tokens = torch.arange(18).reshape(6, 3)
    rollout = make_rollout(hidden=hidden, truncated=done, action=tokens)
    assert model.requires == {"hidden"}
    values, extras = model(rollout)
    counts = [6, 6, 6] if name == "e3b_present" else [4, 5, 5]
    assert extras["defined"].sum(0).tolist() == counts
    assert not bool(values[~extras["defined"]].any())
    assert model.update(rollout)
    last = model.update(make_rollout(hidden=hidden[:1], action=tokens[:1], steps=1))
    assert set(last) == ({"lifelong_loss"} if name == "ngu" else set())


@each_model
def test_single_replayed_transitions_are_refused(name):
    model = _model(name)
    assert not model.replayable
    assert "memory of the running episode" in transition_refusal(model)
    assert "update_every=1" in stepwise_refusal(model, 2)
    assert stepwise_refusal(model, 1) is None
    assert model.preferred_scale == "reward_std"
    assert model.task_free
    assert model.concurrent_update
