from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.demonstrations import Demonstration, write_demonstrations
from reward_models.encoders import HiddenEncoder
from reward_models.errors import UserError
from reward_models.imitation.expert import as_rollout, read_expert
from reward_models.imitation.pairs import PairCode, chosen_numbers

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)


def _demonstration(steps=10, seed=0, *, terminated=False) -> Demonstration:
    rng = np.random.default_rng(seed)
    end = np.zeros(steps, dtype=bool)
    end[-1] = True
    return Demonstration(
        observations=rng.normal(size=(steps + 1, 5)),
        actions=rng.uniform(-1, 1, (steps, 2)).astype(np.float32),
        rewards=np.zeros(steps),
        terminations=end & terminated,
        truncations=end & (not terminated),
        infos={"hidden": rng.normal(size=(steps + 1, 4)).astype(np.float32)},
    )


def _read(source, *, code=None, **options):
    code = code or PairCode(encoder=chosen_numbers(None, VECTOR, 8, None, 0), action_space=BOX)
    return read_expert(source, code=code, action_space=BOX, **options), code


def test_transitions_of_demonstrations(tmp_path):
    pytest.importorskip("h5py")
    shown = [_demonstration(10, 0), _demonstration(7, 1, terminated=True)]
    expert, code = _read(shown)
    assert expert.lengths == (10, 7)
    assert expert.terminates
    expected = np.concatenate(
        [np.concatenate([each.observations[:-1], each.actions], 1) for each in shown]
    )
    np.testing.assert_allclose(code(expert.pairs).numpy(), expected, rtol=1e-6)
    folder = write_demonstrations(
        tmp_path / "set", shown, dataset_id="ctrl/test-v0", observation_space=VECTOR,
        action_space=BOX,
    )  # fmt: skip
    for source in (folder, str(folder)):
        assert torch.equal(code(_read(source, code=code)[0].pairs), code(expert.pairs))


def test_records_of_an_expert(make_rollout):
    rollout = make_rollout()
    ends = torch.zeros(6, 3, dtype=torch.bool)
    ends[3, 0], ends[5, 1] = True, True
    expert, _ = _read(make_rollout(truncated=ends, continued=torch.tensor([0, 0, 1]).bool()))
    assert expert.lengths == (4, 6)
    assert len(expert.pairs) == 18
    assert not expert.terminates
    assert len(_read(rollout.replace(truncated=ends), count=2)[0].pairs) == 6


def test_the_first_demonstrations_are_used():
    shown = [_demonstration(10 + seed, seed) for seed in range(4)]
    expert, code = _read(shown, count=2)
    assert expert.lengths == (10, 11)
    assert torch.equal(code(expert.pairs), code(_read(shown[:2], code=code)[0].pairs))


def test_every_so_many_steps_from_a_random_one_on():
    shown = [_demonstration(20, seed) for seed in range(40)]
    expert, code = _read(shown, every=5, seed=3)
    rows = code(expert.pairs)[:, :5].reshape(40, 4, 5).double()
    begins = []
    for each, kept in zip(shown, rows, strict=True):
        seen = torch.as_tensor(each.observations).float().double()
        (begin,) = (seen[:5] == kept[0]).all(1).nonzero().flatten().tolist()
        assert torch.equal(kept, seen[begin:20:5])
        begins.append(begin)
    assert set(begins) == set(range(5))
    assert expert.lengths == (20,) * 40
    assert len(_read([_demonstration(2)], every=50)[0].pairs) == 1


def test_ends_of_experts_add_absorbing_pairs():
    code = PairCode(
        encoder=chosen_numbers(None, VECTOR, 8, None, 0), action_space=BOX, absorbing=True
    )
    shown = [_demonstration(5, seed, terminated=seed < 2) for seed in range(3)]
    expert, _ = _read(shown, code=code)
    assert len(expert.pairs) == 15 + 2
    assert int(expert.pairs.absorbing.all(1).sum()) == 2


def test_hidden_features_come_with_the_demonstration():
    code = PairCode(encoder=HiddenEncoder(hidden_size=4, size=3), action_space=BOX, state_only=True)
    shown = [_demonstration(5), _demonstration(8, 1)]
    expert, _ = _read(shown, code=code)
    assert len(expert.pairs) == 4 + 7  # nothing is known behind the last step
    features = torch.as_tensor(shown[0].infos["hidden"])
    assert torch.equal(expert.pairs.second[:4], features[1:5])
    with pytest.raises(UserError, match="hidden"):
        _read([replace(shown[0], infos={})], code=code)


def test_simulator_quantities_come_under_their_name():
    rollout = as_rollout(_demonstration(), frozenset({"state.hidden"}))
    assert rollout["state.hidden"].shape == (10, 1, 4)


def _broken(**entries):
    return [_demonstration(), replace(_demonstration(), **entries)]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "at least one transition"),
        (_broken(observations=np.full((11, 5), np.nan)), "Demonstration 1.*NaN"),
        (_broken(actions=np.full((10, 2), np.inf, np.float32)), "Demonstration 1"),
        (_broken(actions=np.full((10, 2), 1.0001, np.float32)), "outside of its bounds"),
        (_broken(actions=np.zeros((10, 3), np.float32)), r"shape \[3\]"),
        (_broken(observations=np.zeros((11, 4))), r"\[10, 1, 5\]"),
        (_broken(observations={"x": np.zeros((11, 5))}), "got a dict"),
    ],
)
def test_what_cannot_be_used_is_refused(source, message):
    with pytest.raises(UserError, match=message):
        _read(source)


def test_actions_may_miss_their_bounds_by_rounding():
    actions = np.full((10, 2), 1.0 + 0.9e-5)
    assert len(_read(_broken(actions=actions))[0].pairs) == 20


@pytest.mark.parametrize("options", [{"count": 0}, {"every": 0}])
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(UserError, match="at least 1"):
        _read([_demonstration()], **options)


def test_a_missing_data_set_is_refused(tmp_path):
    with pytest.raises(UserError):
        _read(tmp_path / "nothing")
