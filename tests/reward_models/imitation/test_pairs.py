from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.errors import UserError
from reward_models.imitation.pairs import PairCode, PairMemory, chosen_numbers

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)


def _code(space=VECTOR, actions=BOX, **options) -> PairCode:
    encoder = chosen_numbers(None, space, 8, None, 0)
    return PairCode(encoder=encoder, action_space=actions, **options)


def _ends(*places) -> torch.Tensor:
    ends = torch.zeros(6, 3, dtype=torch.bool)
    for place in places:
        ends[place] = True
    return ends


def test_rows_are_observation_and_action(make_rollout):
    code, rollout = _code(), make_rollout()
    rows = code(code.pairs(rollout))
    assert rows.shape == (18, 7)
    assert (code.size, code.split) == (7, 5)
    expected = torch.cat(
        [rollout.observation.flatten(0, 1).float(), rollout.action.flatten(0, 1)], 1
    )
    assert torch.equal(rows, expected)


def test_rows_of_states_alone_do_not_read_the_action(make_rollout):
    code, rollout = _code(state_only=True), make_rollout()
    rows = code(code.pairs(rollout.replace(action=torch.full_like(rollout.action, torch.nan))))
    assert torch.equal(rows[:, 5:], rollout.next_observation.flatten(0, 1).float())


def test_termination_adds_one_absorbing_pair_and_truncation_none(make_rollout):
    code = _code(absorbing=True)
    rollout = make_rollout(terminated=_ends((2, 1)), truncated=_ends((4, 0), (5, 2)))
    pairs = code.pairs(rollout)
    assert len(pairs) == 19
    rows = code(pairs)
    assert (code.size, code.split) == (9, 6)
    # Indicators are zero on all recorded pairs, also on the one that ended.
    assert float(rows[:18, [5, 8]].abs().sum()) == 0.0
    assert torch.equal(rows[18:], torch.tensor([[0.0, 0, 0, 0, 0, 1, 0, 0, 1]]))
    assert torch.equal(rows[18:], code.absorbing_row())


def test_behind_an_end_the_successor_is_the_absorbing_state(make_rollout):
    code = _code(absorbing=True, state_only=True)
    rollout = make_rollout(terminated=_ends((2, 1)))
    rows = code(code.pairs(rollout))
    assert rows.shape == (19, 12)
    ended = rows[2 * 3 + 1]
    assert torch.equal(ended[:5], rollout.observation[2, 1].float())
    assert torch.equal(ended[5:], torch.tensor([0.0, 0, 0, 0, 0, 0, 1]))
    assert float(rows[:18, 11].sum()) == 1.0
    assert torch.equal(rows[18:], code.absorbing_row())


def test_padding_is_no_pair(make_rollout):
    code, mask = _code(absorbing=True), ~_ends((3, 0), (4, 0), (5, 0))
    broken = make_rollout(mask=mask, terminated=_ends((4, 0)))
    broken.observation[4, 0] = torch.nan
    assert len(code.pairs(broken)) == 15


def test_numbers_are_kept_in_their_bound(make_rollout):
    rows = _code(clamp=0.5)(_code().pairs(make_rollout()))
    assert float(rows.abs().max()) == 0.5
    for clamp in (0.0, -1.0):
        with pytest.raises(UserError, match="clamp"):
            _code(clamp=clamp)


def test_everybody_is_normalised_by_the_numbers_that_were_learned(make_rollout):
    code = _code(normalize=True)
    expert, policy = (code.pairs(make_rollout(shift=shift)) for shift in (3.0, 4.0))
    code.learn_scale(expert)
    rows = code(expert)[:, :5]
    torch.testing.assert_close(rows.mean(0), torch.zeros(5), atol=1e-4, rtol=0)
    std = make_rollout().observation.flatten(0, 1).std(0)
    expected = (1 / std).expand(18, 5).float()
    torch.testing.assert_close(code(policy)[:, :5] - rows, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "actions", [spaces.Discrete(3), spaces.MultiDiscrete([2, 2]), spaces.MultiBinary(2)]
)
def test_choices_need_an_explicit_code(actions, make_rollout):
    with pytest.raises(UserError, match="one_hot_actions"):
        _code(actions=actions)
    assert _code(actions=actions, state_only=True).size == 10
    code = _code(actions=actions, one_hot_actions=True)
    rows = code(code.pairs(make_rollout(action_space=actions)))[:, 5:]
    assert set(rows.flatten().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("name", ["observation", "action"])
def test_nan_is_refused(make_rollout, name):
    rollout = make_rollout()
    rollout.data[name][3, 1] = torch.nan
    with pytest.raises(UserError, match=name):
        _code().pairs(rollout)


@pytest.mark.parametrize("options", [{}, {"state_only": True}])
def test_memory_keeps_the_newest_pairs_of_any_space(make_rollout, dungeon, options):
    actions = spaces.Discrete(4)
    code = _code(dungeon, actions, one_hot_actions=True, **options)
    memory = PairMemory(code=code, capacity=25)
    first, second = (code.pairs(make_rollout(dungeon, actions, seed=seed)) for seed in (0, 1))
    assert torch.equal(code(memory.add(code, first)), code(first))
    kept = memory.add(code, second)
    assert len(kept) == 25
    torch.testing.assert_close(code(kept), torch.cat([code(first)[-7:], code(second)]))
    restored = PairMemory(code=code, capacity=25)
    restored.load_state_dict(memory.state_dict())
    third = code.pairs(make_rollout(dungeon, actions, seed=2))
    assert torch.equal(code(restored.add(code, third)), code(memory.add(code, third)))


def test_memory_is_a_hundred_thousand_pairs_or_a_quarter_gibibyte(dungeon):
    assert _code().memory_rows(None) == 100_000
    assert _code().memory_rows(7) == 7
    pictures = spaces.Box(0, 255, (84, 84, 4), np.uint8)
    rows = _code(pictures).memory_rows(None)
    assert rows * 84 * 84 * 4 <= 2**28 < (rows + 1) * (84 * 84 * 4 + 10)
