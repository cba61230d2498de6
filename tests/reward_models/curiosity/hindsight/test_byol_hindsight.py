from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.curiosity import BYOLExplore, BYOLHindsight
from reward_models.errors import UserError

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
ACTIONS = spaces.Discrete(4, start=3)


def _model(**options) -> BYOLHindsight:
    sizes = {"embedding_size": 8, "belief_size": 6, "hidden": (12, 12)}
    return BYOLHindsight(observation_space=VECTOR, action_space=ACTIONS, **{**sizes, **options})


def test_numbers_follow_the_mode():
    small, large = _model(), _model(mode="multi_step")
    assert (small.learner.trade_off, large.learner.trade_off) == (0.1, 1.0)
    assert (small.learner.hindsight.noise_size, large.learner.hindsight.noise_size) == (8, 256)
    assert (small.world.horizon, large.world.horizon) == (1, 8)
    assert (small.learning_rate, large.learning_rate) == (1e-3, 1e-4)


def test_noise_stops_paying(noisy_rollout):
    models = [
        cls(
            observation_space=spaces.Box(-9, 9, (5,)),
            action_space=spaces.Discrete(4),
            embedding_size=16,
            learning_rate=3e-3,
            batch_size=48,
            target_decay=1.0,
        )
        for cls in (BYOLExplore, BYOLHindsight)
    ]
    for seed in range(100):
        _, metrics = (model.update(noisy_rollout(seed)[0]) for model in models)
    rollout, noisy = noisy_rollout(1000)
    with torch.no_grad():
        explore, hindsight = (model._raw(rollout)[0] for model in models)
    # The same errors, but for the factor 1 / lambda = 10 and for what hindsight takes away.
    assert float(hindsight[noisy].mean()) < 0.3 * 10 * float(explore[noisy].mean())
    assert float(explore[noisy].mean()) > 5 * float(explore[~noisy].mean())
    assert metrics["invariance"] < 0.7


def test_one_column_has_nothing_to_compare_with(make_rollout):
    rollout = make_rollout(action_space=ACTIONS, columns=1)
    model = _model(mode="multi_step")
    with pytest.warns(UserWarning, match="Use 8 environments"):
        metrics = model.update(rollout)
    assert metrics["invariance"] == pytest.approx(0.0, abs=1e-6)


def test_negatives_come_from_one_minibatch(make_rollout):
    model = _model(negatives=5, batch_size=9)
    assert model.update(make_rollout(action_space=ACTIONS))["invariance"] <= math.log(5)
    with pytest.raises(UserError, match="negatives must be at least 2"):
        _model(negatives=1)


def test_metrics_have_names(make_rollout):
    for mode in ("one_step", "multi_step"):
        assert set(_model(mode=mode).update(make_rollout(action_space=ACTIONS))) == {
            "reconstruction",
            "invariance",
            "raw_reward",
            "raw_reward_deviation",
        }
