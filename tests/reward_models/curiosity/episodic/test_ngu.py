from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.curiosity.episodic.ngu import NGU
from reward_models.errors import UnknownNameError, UserError
from reward_models.statistics import RunningStatistics

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
BOX = spaces.Box(-1, 1, (2,), np.float32)


def _model(**options) -> NGU:
    return NGU(observation_space=VECTOR, action_space=BOX, **options)


def _statistics(mean: float, variance: float) -> RunningStatistics:
    found = RunningStatistics()
    found.mean.fill_(mean)
    found.variance.fill_(variance)
    return found


def test_the_numbers_of_the_modulator():
    error = torch.tensor([[0.3, 2.7, 9.0]])
    for form in ("paper", "toolkit"):
        found = _model(lifelong=form).modulator(error, _statistics(0.0, 1.0))
        torch.testing.assert_close(found, torch.tensor([[1.3, 3.7, 5.0]]))


def test_both_forms_of_the_lifelong_error():
    error = torch.tensor([[1.0, 2.0, 3.0, 5.0]])
    statistics = _statistics(2.0, 4.0)
    paper = _model().modulator(error, statistics)
    toolkit = _model(lifelong="toolkit", max_modulator=3.0).modulator(error, statistics)
    torch.testing.assert_close(paper, torch.tensor([[1.0, 1.0, 1.5, 2.5]]))
    torch.testing.assert_close(toolkit, torch.tensor([[1.5, 2.0, 2.5, 3.0]]))


@pytest.mark.parametrize("form", ["paper", "toolkit"])
def test_the_rollouts_errors_enter_the_statistics_before_they_are_divided(make_rollout, form):
    model = _model(lifelong=form, first_reward=1.0)
    own = RunningStatistics()
    for seed in range(3):
        rollout = make_rollout(steps=20, seed=seed)
        error, episodic = model.lifelong(rollout), model.episodic(rollout)
        own.update(error[rollout.mask])
        shift = float(own.mean) if form == "paper" else 0.0
        factor = (1 + (error - shift) / float(own.std)).clamp(1, 5)
        torch.testing.assert_close(model(rollout), episodic * factor)
        assert float(factor.max()) > 1.0
        model.update(rollout)
        torch.testing.assert_close(model.statistics.mean, own.mean)
        torch.testing.assert_close(model.statistics.variance, own.variance)


def test_padding_enters_no_statistics(make_rollout):
    mask = torch.ones(6, 3, dtype=torch.bool)
    mask[4:, 1] = False
    rollout = make_rollout(mask=mask)
    far = rollout.next_observation.masked_fill(~mask.unsqueeze(-1), 1e3)
    clean, dirty = _model(), _model()
    clean.update(rollout)
    dirty.update(rollout.replace(next_observation=far))
    assert torch.equal(clean.statistics.mean, dirty.statistics.mean)
    assert torch.equal(clean.statistics.variance, dirty.statistics.variance)


def test_one_leaves_the_episodic_part_alone(make_rollout):
    model, rollout = _model(max_modulator=1.0), make_rollout()
    assert torch.equal(model(rollout), model.episodic(rollout))
    assert model.batch_dependent


def test_what_was_never_seen_in_training_is_raised(make_rollout):
    model = _model(learning_rate=3e-3)
    known = make_rollout(steps=40)
    for _ in range(80):
        model.update(known)
    odd = copy.deepcopy(known.next_observation)
    odd[20:] = odd[20:] * 0.3 + 4.0
    rollout = known.replace(next_observation=odd)
    ratio = model(rollout) / model.episodic(rollout).clamp_min(1e-6)
    assert float(ratio[20:].mean()) > float(ratio[1:20].mean()) + 0.5


def test_both_parts_learn(make_rollout):
    model, rollout = _model(), make_rollout(steps=30)
    metrics = [model.update(rollout) for _ in range(60)]
    assert set(metrics[0]) == {"inverse_loss", "lifelong_loss"}
    for name in metrics[0]:
        assert metrics[-1][name] < 0.5 * metrics[0][name]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_modulator": 0.5}, UserError, "max_modulator must be at least 1"),
        ({"max_modulator": math.nan}, UserError, "max_modulator must be at least 1"),
        ({"lifelong": "papr"}, UnknownNameError, "Did you mean 'paper'"),
        ({"neighbours": 20, "capacity": 10}, UserError, "capacity must be at least"),
    ],
)
def test_what_cannot_work_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        _model(**options)
