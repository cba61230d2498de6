from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.curiosity.entropy.re3 import RE3
from reward_models.encoders import Encoder

PLANE = spaces.Box(-np.inf, np.inf, (2,), np.float32)
STORAGE = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0], [0.0, 1.0]])


class _Identity(Encoder):
    def __init__(self) -> None:
        super().__init__(input_space=PLANE, output_size=2)

    def forward(self, inputs):
        return inputs


def _model(**options) -> RE3:
    return RE3(
        observation_space=PLANE, encoder=_Identity(), normalize_observations=False, **options
    )


def _visits(make_rollout, states: torch.Tensor):
    states = states.unsqueeze(1)
    return make_rollout(
        PLANE, steps=len(states), columns=1, observation=states, next_observation=states.clone()
    )


@pytest.mark.parametrize(
    ("options", "reward"),
    [
        ({"k": 1}, 0.693147),
        ({"k": 2}, 1.791759),
        ({"k": 3}, 2.397895),
        ({"k": 3, "average": True}, 0.828302),
    ],
)
@pytest.mark.parametrize("stored", [True, False])
def test_published_numbers(make_rollout, options, reward, stored):
    # The query (0, 0) is one of the four stored states, and the last to arrive.
    model = _model(**options)
    others, query = STORAGE[1:], STORAGE[:1]
    if stored:
        model.update(_visits(make_rollout, others))
        found = model(_visits(make_rollout, query))[-1]
    else:
        found = model(_visits(make_rollout, torch.cat([others, query])))[-1]
    torch.testing.assert_close(float(found), reward, atol=1e-6, rtol=0)


def test_with_few_stored_states_the_farthest_counts(make_rollout):
    model = _model(k=5)
    reward = model(_visits(make_rollout, STORAGE[:3]))[:, 0]
    expected = torch.tensor([0.0, 5.0, 10.0]).log1p()
    torch.testing.assert_close(reward, expected)


def test_defaults():
    model = RE3(observation_space=PLANE)
    assert (model.k, model.storage, model.average, model.encoder.output_size) == (
        5,
        1000,
        False,
        128,
    )
    assert model.normalizer.statistics is not None


def test_average_counts_the_zero_distance_and_not_the_last():
    distances = torch.tensor([[0.0, 1.0, 5.0, 100.0]])
    expected = (np.log(1) + np.log(2) + np.log(6)) / 3
    assert float(_model(k=3, average=True).reward_of(distances)) == pytest.approx(expected)
