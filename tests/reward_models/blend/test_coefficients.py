from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.blend.coefficients import BlendCoefficients, blended
from reward_models.blend.features import make_features
from reward_models.errors import UserError

TABLE, BOX = spaces.Discrete(4), spaces.Box(-1.0, 1.0, (3,), np.float32)


def _blend(space, **options):
    return BlendCoefficients(make_features(None, space), **{"auxiliary": 2, **options})


@pytest.mark.parametrize(
    ("space", "observation"),
    [
        (TABLE, torch.arange(4)),
        (BOX, torch.randn(4, 3, generator=torch.Generator().manual_seed(0))),
    ],
)
@pytest.mark.parametrize("hidden", [(), (5,)])
@pytest.mark.parametrize("start", [None, [0.5, 1.0, -1.0, 2.0]])
def test_at_first_it_is_the_start_everywhere(space, observation, hidden, start):
    model = _blend(space, hidden=hidden, start=start)
    expected = torch.tensor(start or [0.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    assert torch.equal(model(observation), expected.expand(4, 4))


def test_a_fixed_task_is_never_moved():
    model = _blend(TABLE, fixed_task=True)
    assert model.weight.shape == (3, 4)
    with torch.no_grad():
        model.weight += 7.0
    assert model(torch.arange(4))[:, 1].tolist() == [1.0] * 4
    assert model(torch.arange(4))[:, 0].tolist() == [7.0] * 4
    with pytest.raises(UserError, match="phi_2 stays 1"):
        _blend(TABLE, fixed_task=True, start=[0.0, 2.0, 1.0, 1.0])


def test_blended_is_the_formula():
    phi = torch.tensor([0.1, 2.0, -1.0, 0.5])
    assert float(blended(phi, torch.tensor(3.0), torch.tensor([4.0, 8.0]))) == pytest.approx(6.1)


@pytest.mark.parametrize("fixed_task", [False, True])
def test_offsets_of_a_table(fixed_task):
    model = _blend(TABLE, fixed_task=fixed_task)
    primary = torch.tensor([0.0, 1.0, 0.0, 0.0])
    norms = [offset.norm().item() for offset in model.offsets(primary)]
    hints = [2.0, 2.0]  # 1 in each of 4 states
    assert norms == ([0.0, *hints] if fixed_task else [0.0, 0.0, *hints])
    if not fixed_task:
        assert [o.norm().item() for o in model.offsets(torch.zeros(4))] == [0.0, 2.0, *hints]


def test_offsets_of_a_network_count_hidden_layers_from_zero():
    model = _blend(BOX, hidden=(5,))
    found = model.offsets(torch.tensor([0.0, 1.0, 1.0, 1.0]))
    assert [offset.norm().item() for offset in found[:4]] == [0.0] * 4
    assert len(found) == 6
    assert torch.equal(found[4], model.trunk[0].weight.flatten())


def test_parameters_at_the_anchor_give_it_everywhere():
    model = _blend(BOX, hidden=(5,), start=[0.0, 1.0, 0.0, 0.0])
    assert all(o.norm().item() == 0 for o in model.offsets(torch.tensor([0.0, 1, 0, 0]))[:4])
    assert model(torch.zeros(2, 3)).tolist() == [[0.0, 1.0, 0.0, 0.0]] * 2


def test_equal_seeds_give_equal_layers_and_no_global_draw():
    before = torch.get_rng_state()
    first, second, other = (_blend(BOX, hidden=(5,), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.trunk[0].weight, second.trunk[0].weight)
    assert not torch.equal(first.trunk[0].weight, other.trunk[0].weight)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"auxiliary": 0}, "at least one auxiliary"),
        ({"start": [0.0, 1.0]}, "4 finite numbers"),
        ({"start": [0.0, 1.0, 1.0, math.nan]}, "finite"),
        ({"hidden": [0]}, "at least 1 unit"),
    ],
)
def test_what_cannot_work_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        _blend(TABLE, **options)
