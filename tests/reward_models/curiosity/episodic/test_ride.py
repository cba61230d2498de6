from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.curiosity.episodic.neighbour_novelty import NeighbourNovelty
from reward_models.curiosity.episodic.ride import RIDE
from reward_models.errors import UnknownNameError, UserError

FEW = spaces.Discrete(4)
BOX = spaces.Box(-1, 1, (2,), np.float32)


def _model(**options) -> RIDE:
    return RIDE(observation_space=FEW, action_space=BOX, **{"latent_size": 8, **options})


def _impact(model: RIDE, rollout) -> torch.Tensor:
    with torch.no_grad():
        before = model.icm.encoder(rollout.observation)
        return torch.linalg.vector_norm(
            model.icm.encoder(rollout.next_observation) - before, dim=-1
        )


def test_change_of_features_over_the_root_of_visits_in_the_episode(make_rollout):
    ended = torch.zeros(30, 3, dtype=torch.bool)
    ended[11, 0] = ended[20, 2] = True
    rollout = make_rollout(FEW, steps=30, truncated=ended)
    visits = torch.zeros(30, 3)
    for b in range(3):
        counts: dict[int, int] = {}
        for t in range(30):
            state = int(rollout.next_observation[t, b])
            counts[state] = counts.get(state, 0) + 1
            visits[t, b] = counts[state]
            if bool(ended[t, b]):
                counts = {}
    assert float(visits.max()) > 5
    model = _model()
    torch.testing.assert_close(model(rollout), _impact(model, rollout) / visits.sqrt())


def test_visits_of_an_open_episode_go_on(make_rollout):
    rollout = make_rollout(FEW, steps=12)
    again = rollout.replace()
    again.continued = torch.tensor([True, False, True])
    model = _model(learning_rate=1e-9)
    first = model(rollout)
    model.update(rollout)
    second = model(again)
    torch.testing.assert_close(second[:, 1], first[:, 1], rtol=1e-4, atol=1e-5)
    moved = (first > 1e-4).all(1)
    assert bool((second[moved][:, [0, 2]] < first[moved][:, [0, 2]]).all())


def test_pseudo_counts_instead_of_visits(make_rollout):
    rollout = make_rollout(FEW, steps=20)
    model = _model(episodic="pseudo_counts", neighbours=3)
    novelty = NeighbourNovelty(size=8, neighbours=3)
    with torch.no_grad():
        factor = novelty(rollout, model.icm.encoder(rollout.next_observation), rollout.mask)
    torch.testing.assert_close(model(rollout), _impact(model, rollout) * factor)
    assert not bool(model(rollout)[0].any())


def test_a_step_that_changes_nothing_earns_nothing(make_rollout):
    rollout = make_rollout(FEW)
    still = rollout.replace(next_observation=rollout.observation)
    assert not bool(_model()(still).any())


def test_features_are_those_of_the_curiosity_module(make_rollout):
    model, rollout = _model(beta=0.2, stop_forward_grad=True), make_rollout(FEW, steps=30)
    metrics = [model.update(rollout) for _ in range(60)]
    assert set(metrics[0]) == {"loss", "forward_loss", "inverse_loss"}
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    weighted = 0.8 * metrics[0]["inverse_loss"] + 0.2 * metrics[0]["forward_loss"]
    assert metrics[0]["loss"] == pytest.approx(weighted)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"episodic": "visit"}, UnknownNameError, "Did you mean 'visits'"),
        ({"hash_bits": 0}, UserError, "hash_bits must be at least 1"),
        ({"beta": math.nan}, UserError, "beta must lie"),
        (
            {"episodic": "pseudo_counts", "neighbours": 20, "capacity": 10},
            UserError,
            "capacity must be at least",
        ),
    ],
)
def test_what_cannot_work_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        _model(**options)
