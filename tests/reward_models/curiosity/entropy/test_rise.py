from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.curiosity.entropy.rise import RISE
from reward_models.encoders import Encoder
from reward_models.errors import UserError

PLANE = spaces.Box(-np.inf, np.inf, (2,), np.float32)


class _Identity(Encoder):
    def __init__(self) -> None:
        super().__init__(input_space=PLANE, output_size=2)

    def forward(self, inputs):
        return inputs


@pytest.mark.parametrize(("k", "reward"), [(1, 1.0), (2, 2.236068), (3, 3.162278)])
def test_published_numbers(make_rollout, k, reward):
    model = RISE(
        observation_space=PLANE, encoder=_Identity(), k=k, alpha=0.5, normalize_observations=False
    )
    states = torch.tensor([[3.0, 4.0], [6.0, 8.0], [0.0, 1.0], [0.0, 0.0]]).unsqueeze(1)
    rollout = make_rollout(
        PLANE, steps=4, columns=1, observation=states, next_observation=states.clone()
    )
    torch.testing.assert_close(float(model(rollout)[-1]), reward, atol=1e-6, rtol=0)


def test_order_of_the_entropy():
    distances = torch.tensor([[0.0, 2.0, 16.0]])
    for alpha, expected in ((0.25, 8.0), (0.5, 4.0), (0.75, 2.0)):
        assert float(RISE(observation_space=PLANE, k=2, alpha=alpha).reward_of(distances)) == (
            pytest.approx(expected)
        )


def test_defaults():
    model = RISE(observation_space=PLANE)
    assert (model.k, model.alpha, model.storage, model.encoder.output_size) == (3, 0.5, 1000, 128)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.5, math.nan])
def test_order_out_of_range_is_refused(alpha):
    with pytest.raises(UserError, match="alpha must lie strictly between 0 and 1"):
        RISE(observation_space=PLANE, alpha=alpha)
