from __future__ import annotations

from collections import Counter

import pytest
import torch
from tensordict import TensorDict

from reward_models.curiosity.counting.visits import (
    EpisodeVisits,
    VisitTable,
    state_keys,
    visits_until,
)
from reward_models.errors import UserError


def _keys(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.int64)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.int64, torch.int16, torch.uint8, torch.bool]
)
def test_equal_rows_have_equal_keys_and_others_do_not(dtype):
    rows = torch.cartesian_prod(*[torch.arange(2 if dtype == torch.bool else 6)] * 5).to(dtype)
    keys = state_keys(rows, 1)
    assert len(keys.unique()) == len(rows)
    assert torch.equal(state_keys(rows.flip(0), 1).flip(0), keys)
    assert torch.equal(state_keys(rows.reshape(2, -1, 5), 2).flatten(), keys)


def test_keys_of_structured_numbers_do_not_collide():
    # Few low bits differ here, where a weak hash would fail.
    grid = torch.cartesian_prod(*[torch.arange(0, 512)] * 2).to(torch.float64)
    for rows in (grid, grid * 2.0**40, grid / 512, grid.to(torch.int32) * 1024):
        keys = state_keys(rows, 1)
        assert len(keys.unique()) == len(grid)
        assert len((keys & 0xFFFFFF).unique()) > 0.98 * len(grid)  # 262144 in 2^24 places


def test_place_and_length_count():
    one = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert len(state_keys(one, 1).unique()) == 3
    assert len(state_keys(one.to(torch.uint8), 1).unique()) == 3
    short, long = torch.zeros(1, 2), torch.zeros(1, 3)
    assert not torch.equal(state_keys(short, 1), state_keys(long, 1))


def test_numbers_compare_by_value():
    values = torch.tensor([0.5, -0.0, 3.0])
    keys = state_keys(values, 1)
    assert torch.equal(state_keys(values.to(torch.float64), 1), keys)
    assert torch.equal(state_keys(torch.tensor([0.5, 0.0, 3.0]), 1), keys)


def test_nested_entries():
    data = TensorDict(
        {"a": torch.tensor([1, 1, 2]), "b": TensorDict({"c": torch.tensor([5, 6, 5])}, [3])}, [3]
    )
    assert len(state_keys(data, 1).unique()) == 3
    swapped = TensorDict({"a": data["b", "c"], "b": {"c": data["a"]}}, [3])
    assert not torch.equal(state_keys(swapped, 1), state_keys(data, 1))
    assert torch.equal(state_keys(dict(data.items()), 1), state_keys(data, 1))


def test_visits_inside_a_rollout():
    keys = _keys([7, 7, 3], [7, 3, 3], [4, 7, 4])
    real = torch.ones(3, 3, dtype=torch.bool)
    real[0, 2] = False
    found, distinct, total = visits_until(keys, real)
    # Two columns arrive at 7 at once, so both see both visits.
    assert found.tolist() == [[2, 2, 0], [3, 2, 2], [2, 4, 2]]
    assert distinct.tolist() == [3, 4, 7]
    assert total.tolist() == [2, 2, 4]


def test_table_counts_like_a_dictionary():
    generator = torch.Generator().manual_seed(0)
    table, expected = VisitTable(), Counter()
    for _ in range(30):
        keys = torch.randint(-40, 40, (25,), generator=generator) * 2**50
        table.add(*keys.unique(return_counts=True))
        expected.update(keys.tolist())
        assert bool((table.keys[1:] > table.keys[:-1]).all())
    probes = torch.arange(-45, 45) * 2**50
    assert table.count(probes).tolist() == [expected[key] for key in probes.tolist()]
    assert table.count(probes.reshape(9, 10)).shape == (9, 10)
    assert len(table) == len(expected)


def test_table_takes_unsorted_keys():
    table = VisitTable()
    table.add(_keys(5, -3, 9), _keys(1, 2, 3))
    table.add(_keys(7, 5), _keys(1, 1))
    assert table.keys.tolist() == [-3, 5, 7, 9]
    assert table.visits.tolist() == [2, 2, 1, 3]


def test_a_table_of_any_length_is_restored():
    table, restored = VisitTable(), VisitTable()
    table.add(_keys(5, 9), _keys(1, 4))
    restored.add(_keys(1, 2, 3), _keys(1, 1, 1))
    restored.load_state_dict(table.state_dict())
    assert restored.count(_keys(1, 5, 9)).tolist() == [0, 1, 4]
    restored.load_state_dict(VisitTable().state_dict())
    assert len(restored) == 0


def test_episodes_are_counted_by_column(make_rollout):
    done = torch.zeros(6, 2, dtype=torch.bool)
    done[2, 0] = done[4, 1] = True
    rollout = make_rollout(steps=6, columns=2, terminated=done)
    visits = EpisodeVisits()
    keys = torch.tensor([[1, 1], [1, 2], [1, 1], [1, 1], [2, 1], [1, 1]])
    found = visits.count(rollout, keys, rollout.mask)
    assert found.t().tolist() == [[1, 2, 3, 1, 1, 2], [1, 1, 2, 3, 4, 1]]
    visits.add(rollout, keys, rollout.mask)
    assert len(visits) == 3  # keys 1 and 2 in column 0, key 1 in column 1
    following = make_rollout(steps=2, columns=2, continued=torch.tensor([True, False]))
    keys = torch.tensor([[1, 1], [2, 1]])
    assert visits.count(following, keys, following.mask).t().tolist() == [[3, 2], [1, 2]]


def test_what_an_episode_counted_is_forgotten_at_either_end(make_rollout):
    for flag in ("terminated", "truncated"):
        ended = torch.tensor([[False, False], [True, False]])
        first = make_rollout(steps=2, columns=2, **{flag: ended})
        visits, keys = EpisodeVisits(), torch.ones(2, 2, dtype=torch.int64)
        visits.add(first, keys, first.mask)
        assert visits.column.tolist() == [1]
        # Even where a rollout claims to continue what has ended.
        following = make_rollout(steps=2, columns=2, continued=torch.ones(2, dtype=torch.bool))
        found = visits.count(following, keys, following.mask)
        assert found.tolist() == [[1, 3], [2, 4]]


def test_a_column_of_padding_keeps_its_open_episode(make_rollout):
    visits, keys = EpisodeVisits(), torch.ones(2, 2, dtype=torch.int64)
    first = make_rollout(steps=2, columns=2)
    visits.add(first, keys, first.mask)
    mask = torch.tensor([[False, True], [False, True]])
    go_on = torch.ones(2, dtype=torch.bool)
    second = make_rollout(steps=2, columns=2, mask=mask, continued=go_on)
    visits.add(second, keys, second.mask)
    third = make_rollout(steps=1, columns=2, continued=go_on)
    assert visits.count(third, keys[:1], third.mask).tolist() == [[3, 5]]


def test_another_number_of_columns_cannot_continue(make_rollout):
    visits, keys = EpisodeVisits(), torch.ones(2, 2, dtype=torch.int64)
    first = make_rollout(steps=2, columns=2)
    visits.add(first, keys, first.mask)
    other = make_rollout(steps=2, columns=3, continued=torch.ones(3, dtype=torch.bool))
    with pytest.raises(UserError, match="holds 2 columns"):
        visits.count(other, torch.ones(2, 3, dtype=torch.int64), other.mask)
