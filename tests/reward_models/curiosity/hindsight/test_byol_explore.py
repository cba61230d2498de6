from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces

from reward_models.curiosity import BYOLExplore
from reward_models.curiosity.hindsight.latent_errors import direction_error, unit

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
ACTIONS = spaces.Discrete(4, start=3)


def _model(**options) -> BYOLExplore:
    sizes = {
        "embedding_size": 8,
        "belief_size": 6,
        "hidden": (12,),
        "normalize_observations": False,
    }
    return BYOLExplore(observation_space=VECTOR, action_space=ACTIONS, **{**sizes, **options})


@torch.no_grad()
def test_one_step_reward_is_the_error_of_the_next_embedding(make_rollout):
    model, rollout = _model(), make_rollout(action_space=ACTIONS)
    raw, known, _ = model._raw(rollout)
    code = torch.nn.functional.one_hot(rollout.action - 3, 4).float()
    context = torch.cat([model.encoder(rollout.observation), code], -1)
    expected = direction_error(
        model.world.predictor(context), model.target(rollout.next_observation)
    )
    torch.testing.assert_close(raw, expected)
    assert bool(known.all())
    torch.testing.assert_close(model(rollout).flatten(), model.surprise(raw.flatten()))


@torch.no_grad()
def test_multi_step_reward_sums_over_earlier_predictions(make_rollout):
    model = _model(mode="multi_step", horizon=2)
    terminated = torch.zeros(6, 3, dtype=torch.bool)
    terminated[2] = True
    rollout = make_rollout(action_space=ACTIONS, terminated=terminated)
    raw, _, _ = model._raw(rollout)
    code = torch.nn.functional.one_hot(rollout.action - 3, 4).float()
    embedding, target = model.encoder(rollout.observation), model.target(rollout.next_observation)
    acted = model.world.action_embedding(code)
    nothing = model.world.action_embedding(torch.zeros(3, 4))
    belief = model.world.closed(torch.cat([embedding[3], nothing], -1), torch.zeros(3, 6))
    ahead = model.world.open(acted[4], model.world.open(acted[3], belief))
    two = direction_error(model.world.predictor(ahead), target[4])
    belief = model.world.closed(torch.cat([embedding[4], acted[3]], -1), belief)
    one = direction_error(model.world.predictor(model.world.open(acted[4], belief)), target[4])
    torch.testing.assert_close(raw[4], one + two)
    # Right after an end there is only the prediction of one step.
    assert bool((raw[3] <= 4).all())


def test_encoder_and_world_learn_and_the_target_gets_no_gradient(make_rollout):
    model, rollout = _model(target_decay=1.0), make_rollout(action_space=ACTIONS)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.update(rollout)
    changed = {
        name.split(".")[0]
        for name, value in model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"encoder", "world", "surprise", "trainer"}
    assert all(p.grad is None for p in model.target.parameters())


def test_a_minibatch_of_one_step_is_the_mean_over_steps(make_rollout):
    model, rollout = _model(batch_size=64), make_rollout(action_space=ACTIONS)
    with torch.no_grad():
        expected = float(model._raw(rollout)[0].mean())
    assert abs(model.update(rollout)["loss"] - expected) < 1e-5


def test_noise_keeps_paying(make_rollout):
    # The successor is noise in column 0 and a function of the observation in the others.
    model = _model(target_decay=1.0, learning_rate=3e-3, batch_size=64)
    for seed in range(150):
        rollout = make_rollout(action_space=ACTIONS, seed=seed, steps=16)
        after = rollout.observation.roll(1, -1)
        after[:, 0] = rollout.next_observation[:, 0]
        rollout = rollout.replace(next_observation=after)
        model.update(rollout)
    with torch.no_grad():
        raw = model._raw(rollout)[0]
    assert float(raw[:, 0].mean()) > 3 * float(raw[:, 1:].mean())
    assert unit(raw).isfinite().all()
