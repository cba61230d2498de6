from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.errors import UserError
from reward_models.imitation.forward_model import ForwardModel

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)


def _model(**options) -> ForwardModel:
    return ForwardModel(observation_space=VECTOR, action_space=BOX, **options)


def _linear(model: ForwardModel, slope: float) -> None:
    """Make the network ``x -> slope x`` on positive inputs, for the first five numbers."""
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.zero_()
        first, second, last = (model.network[index].weight for index in (0, 2, 4))
        first[:5, :5] = second[:5, :5] = torch.eye(5)
        last[:, :5] = slope * torch.eye(5)


def test_the_penalty_is_of_the_gradient_of_the_summed_outputs(make_rollout):
    model, rollout = _model(target=9.0), make_rollout()
    positive = rollout.replace(observation=rollout.observation.abs() + 0.1)
    _linear(model, 5.0)  # the gradient of the sum is (5, 5, 5, 5, 5, 0, 0)
    expected = torch.full((6, 3), (5 * 5**0.5 - 9) ** 2)
    torch.testing.assert_close(model.penalties(positive), expected, rtol=1e-4, atol=1e-4)
    _linear(model, 4.0)  # of norm 8.94
    assert torch.equal(model.penalties(positive), torch.zeros(6, 3))


def test_it_learns_the_next_state_of_real_steps(make_rollout):
    def world(seed, **entries):
        rollout = make_rollout(steps=16, columns=4, seed=seed, **entries)
        seen = rollout.observation
        return rollout.replace(next_observation=0.5 * seen + rollout.action.sum(-1, keepdim=True))

    model = _model(learning_rate=3e-3, batch_size=16)
    losses = [model.learn(world(seed))["forward_loss"] for seed in range(40)]
    assert np.mean(losses[-5:]) < 0.4 * np.mean(losses[:5])
    mask = torch.zeros(16, 4, dtype=torch.bool)
    assert model.learn(world(0, mask=mask)) == {}


def test_the_scale_is_the_deviation_of_recent_means(make_rollout):
    model = _model(window=3, target=0.1)
    assert float(model.scale) == 1.0
    means = [model.learn(make_rollout(seed=seed))["forward_penalty"] for seed in range(5)]
    assert float(model.scale) == pytest.approx(float(np.std(means[-3:])), rel=1e-4)


@pytest.mark.parametrize("options", [{"window": 1}, {"target": 0.0}])
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(UserError):
        _model(**options)
