from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load_file, save_file

from reward_models.base import Order, Scope
from reward_models.check import check_reward
from reward_models.curiosity.counting.counts import CountBonus, Counts
from reward_models.curiosity.counting.sim_hash import SimHash
from reward_models.errors import UnknownNameError, UserError
from reward_models.refusals import transition_refusal
from reward_models.stepwise import stepwise_refusal

CELLS = spaces.Discrete(6)
VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
KINDS = ["vector", "image", "small_image", "discrete", "multi_discrete", "multi_binary", "dict"]
CLASSES = pytest.mark.parametrize("kind", [Counts, SimHash])


def _model(kind: type[CountBonus] = Counts, space: spaces.Space = CELLS, **options) -> CountBonus:
    return kind(observation_space=space, **options)


def _copy_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _step(rollout, t: int, continued: torch.Tensor):
    entries = {key: value[t : t + 1] for key, value in rollout.data.items()}
    return type(rollout)(continued=continued, **entries)


def _visits(make_rollout, *rows: list[int], **entries):
    cells = torch.tensor(rows)
    return make_rollout(
        CELLS, steps=cells.shape[0], columns=cells.shape[1], next_observation=cells, **entries
    )


@CLASSES
def test_what_the_classes_promise(kind):
    model = _model(kind)
    assert model.scope == Scope.TRANSITION
    assert model.order == Order.REWARD_FIRST
    assert model.preferred_scale == "reward_std"
    assert model.task_free
    assert model.concurrent_update
    assert model.goal_relabelling


@CLASSES
def test_one_over_the_root_of_the_visits(make_rollout, kind):
    model = _model(kind)
    rollout = _visits(make_rollout, [1, 2], [1, 1], [3, 1], [2, 2])
    expected = [[1, 1], [3, 3], [1, 4], [3, 3]]
    torch.testing.assert_close(model(rollout), torch.tensor(expected).float().rsqrt())
    assert model.update(rollout) == {"visited": 3.0}
    following = _visits(make_rollout, [1, 5], [3, 5])
    torch.testing.assert_close(model(following), torch.tensor([[5, 1], [2, 2]]).float().rsqrt())


def test_counts_match_a_dictionary(make_rollout):
    model, seen = _model(), Counter()
    for seed in range(4):
        rollout = make_rollout(CELLS, steps=50, columns=4, seed=seed)
        reward = model(rollout)
        for t in range(50):
            arrived = rollout.next_observation[t].tolist()
            seen.update(arrived)
            expected = [seen[cell] ** -0.5 for cell in arrived]
            assert reward[t].tolist() == pytest.approx(expected)
        assert model.update(rollout)["visited"] == len(seen)


@CLASSES
@pytest.mark.parametrize("episodic", [False, True])
def test_single_steps_equal_one_rollout(make_rollout, kind, episodic):
    done = torch.zeros(20, 3, dtype=torch.bool)
    done[4, 1] = done[6, 2] = done[7, 2] = True
    rollout = make_rollout(CELLS, steps=20, truncated=done)
    whole, stepped = _model(kind, episodic=episodic), _model(kind, episodic=episodic)
    expected = whole(rollout)
    going = torch.zeros(3, dtype=torch.bool)
    for t in range(20):
        step = _step(rollout, t, going)
        assert torch.equal(stepped(step)[0], expected[t])
        stepped.update(step)
        going = ~done[t]
    whole.update(rollout)
    assert all(
        torch.equal(value, stepped.state_dict()[name]) for name, value in whole.state_dict().items()
    )


def test_episodic_counts_begin_anew_in_every_episode_and_column(make_rollout):
    model = _model(episodic=True)
    done = torch.tensor([[False, False], [True, False], [False, False]])
    rollout = _visits(make_rollout, [1, 1], [1, 1], [1, 1], terminated=done)
    expected = torch.tensor([[1, 1], [2, 2], [1, 3]]).float().rsqrt()
    torch.testing.assert_close(model(rollout), expected)
    assert model.update(rollout) == {"visited": 1.0}
    both = torch.tensor([True, True])
    following = _visits(make_rollout, [1, 1], continued=both)
    torch.testing.assert_close(model(following), torch.tensor([[2, 4]]).float().rsqrt())
    again = _visits(make_rollout, [1, 1], continued=~both)
    assert model(again).tolist() == [[1.0, 1.0]]


@CLASSES
@pytest.mark.parametrize("episodic", [False, True])
def test_restored_in_an_open_episode_it_continues_bit_for_bit(
    make_rollout, tmp_path, kind, episodic
):
    rollouts = [
        make_rollout(CELLS, steps=8, seed=seed, continued=torch.tensor([seed > 0] * 3))
        for seed in range(3)
    ]
    model = _model(kind, episodic=episodic)
    fresh = _copy_of(model)
    model.update(rollouts[0])
    save_file(_copy_of(model), tmp_path / "counts.safetensors")
    restored = _model(kind, episodic=episodic)
    restored.update(rollouts[2])
    restored.load_state_dict(load_file(tmp_path / "counts.safetensors"))
    for rollout in rollouts[1:]:
        assert torch.equal(model(rollout), restored(rollout))
        assert model.update(rollout) == restored.update(rollout)
    assert not torch.equal(_model(kind, episodic=episodic)(rollouts[1]), model(rollouts[1]))
    save_file(fresh, tmp_path / "fresh.safetensors")
    restored.load_state_dict(load_file(tmp_path / "fresh.safetensors"))
    first = _model(kind, episodic=episodic)(rollouts[0])
    assert torch.equal(restored(rollouts[0]), first)


def test_without_arrival_order_a_value_belongs_to_its_transition(make_rollout):
    model = _model(arrival_order=False)
    assert model.replayable
    assert transition_refusal(model) is None
    rollout = _visits(make_rollout, [1, 2], [1, 1])
    assert model(rollout).tolist() == [[1.0, 1.0], [1.0, 1.0]]
    model.update(rollout)
    torch.testing.assert_close(model(rollout), torch.tensor([[4, 2], [4, 4]]).float().rsqrt())
    torch.testing.assert_close(model(rollout.flatten())[0], model(rollout).flatten())


@CLASSES
def test_arrival_order_refuses_replay_with_the_reason(kind):
    for options in ({}, {"episodic": True}):
        assert "steps in their order" in str(transition_refusal(_model(kind, **options)))
        assert "update_every=1" in str(stepwise_refusal(_model(kind, **options), 2))


@CLASSES
@pytest.mark.parametrize("episodic", [False, True])
def test_columns_are_treated_alike(make_rollout, kind, episodic):
    rollout, order = make_rollout(CELLS, steps=12), torch.tensor([2, 0, 1])
    turned = rollout.replace(
        observation=rollout.observation[:, order],
        next_observation=rollout.next_observation[:, order],
    )
    straight, permuted = (_model(kind, episodic=episodic) for _ in range(2))
    for _ in range(2):
        assert torch.equal(permuted(turned), straight(rollout)[:, order])
        straight.update(rollout)
        permuted.update(turned)


def test_episodic_columns_do_not_mix(make_rollout):
    rollout = make_rollout(CELLS, steps=12)
    other = rollout.next_observation.clone()
    other[:, 1] = 3
    changed = rollout.replace(next_observation=other)
    first, second = _model(episodic=True), _model(episodic=True)
    for _ in range(2):
        assert torch.equal(second(changed)[:, [0, 2]], first(rollout)[:, [0, 2]])
        first.update(rollout)
        second.update(changed)


@CLASSES
@pytest.mark.parametrize("episodic", [False, True])
def test_padding_is_not_counted(make_rollout, kind, episodic):
    mask = torch.ones(5, 2, dtype=torch.bool)
    mask[2:, 1] = False
    rollout = _visits(make_rollout, [1, 1], [1, 2], [2, 1], [1, 1], [1, 1], mask=mask)
    model, clean = _model(kind, episodic=episodic), _model(kind, episodic=episodic)
    other = rollout.replace(next_observation=torch.where(mask, rollout.next_observation, 4))
    assert torch.equal(model(rollout), clean(other))
    assert not bool(model(rollout)[~mask].any())
    assert model.update(rollout) == clean.update(other)
    state = _copy_of(model)
    padding = rollout.replace(mask=torch.zeros_like(mask))
    assert model.update(padding) == {}
    if not episodic:  # a rollout that continues nothing ends what was open
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@CLASSES
@pytest.mark.parametrize("name", KINDS)
def test_runs_on_every_kind_of_observation(make_rollout, observation_spaces, kind, name):
    space = observation_spaces[name]
    model, rollout = _model(kind, space), make_rollout(space)
    reward = model(rollout)
    assert tuple(reward.shape) == (6, 3)
    assert bool(((reward > 0) & (reward <= 1)).all())
    assert 1 <= model.update(rollout)["visited"] <= 18
    assert bool((model(rollout) <= 2**-0.5).all())


def test_an_entry_of_the_record_is_counted(make_rollout):
    model = _model(key="state.position")
    assert model.requires == {"state.position"}
    position = torch.tensor([[[0, 1], [0, 1]], [[0, 1], [1, 0]]])
    rollout = make_rollout(CELLS, steps=2, columns=2, state={"position": position})
    torch.testing.assert_close(model(rollout), torch.tensor([[2, 2], [3, 1]]).float().rsqrt())
    with pytest.raises(UnknownNameError, match=r"state\.position"):
        model(make_rollout(CELLS))


def test_keys_of_a_dict_observation(make_rollout, observation_spaces):
    space = observation_spaces["dict"]
    rollout = make_rollout(space)
    assert bool((_model(space=space)(rollout) == 1).all())
    flags = rollout.next_observation["inner", "flag"]
    model = _model(space=space, keys=["inner"])
    assert model.update(rollout)["visited"] == len(flags.unique()) == 2


def test_bins_join_what_is_near(make_rollout):
    values = torch.tensor([[0.1, 0.9], [-0.1, 1.1]], dtype=torch.float64).unsqueeze(-1)
    space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
    rollout = make_rollout(space, steps=2, columns=2, next_observation=values)
    assert _model(space=space).update(rollout)["visited"] == 4
    assert _model(space=space, bin_width=1.0).update(rollout)["visited"] == 3
    assert _model(space=space, bin_width=4.0).update(rollout)["visited"] == 2
    state = {"inner": {"x": values}}
    nested = make_rollout(CELLS, steps=2, columns=2, state=state)
    assert _model(key="state.inner", bin_width=1.0).update(nested)["visited"] == 3


def test_unknown_values_are_not_counted(make_rollout):
    model, rollout = _model(space=VECTOR), make_rollout()
    broken = rollout.next_observation.clone()
    broken[2, 1, 0] = math.nan
    with pytest.raises(UserError, match="next_observation must be finite"):
        model.update(rollout.replace(next_observation=broken))
    assert len(model.table) == 0
    keyed = _model(key="state.x")
    with pytest.raises(UserError, match=r"state\.x must be finite"):
        keyed.update(rollout.replace(state={"x": broken}))


@CLASSES
@pytest.mark.parametrize(
    "options", [{}, {"episodic": True}, {"arrival_order": False}], ids=["plain", "episodic", "any"]
)
def test_they_keep_the_contract(kind, options):
    for space in (CELLS, VECTOR):
        report = check_reward(
            _model(kind, space, **options), observation_space=space, action_space=CELLS
        )
        assert report.ok, report.violations


@CLASSES
def test_calling_changes_nothing(make_rollout, kind):
    model, rollout = _model(kind, episodic=True), make_rollout(CELLS)
    model.update(rollout)
    state, generator = _copy_of(model), torch.get_rng_state()
    assert torch.equal(model(rollout), model(rollout))
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodic": True, "arrival_order": False}, "arrival_order must stay true"),
        ({"bin_width": 0.0}, "bin_width must be positive"),
        ({"bin_width": math.nan}, "bin_width must be positive"),
        ({"key": "observation"}, "optional entry of the record"),
        ({"key": "position"}, r"for example state\.position"),
        ({"key": "state"}, "optional entry"),
        ({"key": "state.x", "keys": ["a"]}, "either key="),
        ({"keys": ["a"]}, "leave keys out"),
    ],
)
def test_what_cannot_work_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        _model(**options)
