from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.curiosity.episodic.neighbour_novelty import NeighbourNovelty
from reward_models.curiosity.episodic.pseudo_counts import PseudoCounts
from reward_models.errors import UnknownNameError, UserError

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
BOX = spaces.Box(-1, 1, (2,), np.float32)


def _model(**options) -> PseudoCounts:
    return PseudoCounts(observation_space=VECTOR, action_space=BOX, **options)


def test_bonus_is_that_of_the_learned_embeddings(make_rollout):
    rollout = make_rollout()
    for of in ("next", "present"):
        model = _model(neighbours=2, features_of=of)
        embeddings, known = model.dynamics.features(rollout, of=of)
        novelty = NeighbourNovelty(size=32, neighbours=2)
        assert torch.equal(model(rollout), novelty(rollout, embeddings, known).detach())


def test_a_state_that_comes_again_and_again_earns_like_a_count(make_rollout):
    observation = make_rollout(steps=40, columns=1).observation
    observation[10:] = observation[3]
    rollout = make_rollout(
        steps=40, columns=1, observation=observation, next_observation=observation
    )
    bonus = _model()(rollout)[:, 0]
    # At step 10 + n the state was seen n + 1 times before; ten neighbours are compared.
    visits = torch.arange(1, 11)
    torch.testing.assert_close(bonus[10:20], 1 / visits.sqrt(), rtol=2e-2, atol=0)
    torch.testing.assert_close(bonus[20:], torch.full((20,), 10**-0.5), rtol=2e-2, atol=0)
    assert float(bonus[:10].max()) > 3 * float(bonus[10])


def test_learning_tells_actions_from_embeddings(make_rollout):
    model, rollout = _model(), make_rollout(steps=30)
    losses = [model.update(rollout)["inverse_loss"] for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"features_of": "last"}, UnknownNameError, "features_of"),
        ({"neighbours": 20, "capacity": 10}, UserError, "capacity must be at least"),
        ({"latent_size": 0}, UserError, "at least one feature"),
        ({"batch_size": 0}, UserError, "batch_size"),
    ],
)
def test_what_cannot_work_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        _model(**options)
