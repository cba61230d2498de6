from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.base import Scope
from reward_models.check import check_reward
from reward_models.errors import UserError
from reward_models.novelty.ae_surprise import AESurprise
from reward_models.refusals import transition_refusal
from reward_models.registry import build_reward
from reward_models.rollout import Rollout

VECTOR = spaces.Box(-np.inf, np.inf, (3,), np.float64)
PICTURE = spaces.Box(0, 255, (64, 64, 3), np.uint8)
ACTION = spaces.Discrete(3)
IMAGE = {"quantity": "state.image", "quantity_shape": [64, 64, 3]}


def _rollout(after: torch.Tensor, ends: torch.Tensor) -> Rollout:
    return Rollout(
        observation=after, next_observation=after, action=torch.zeros(*ends.shape, 1),
        reward=torch.zeros(ends.shape), terminated=ends, truncated=torch.zeros_like(ends),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("space", "options"),
    [(VECTOR, {"epochs": 1}), (VECTOR, {"samples": 2, "horizon": 12, "epochs": 1, "memory": 20})],
)
def test_the_contract_holds(space, options):
    report = check_reward(
        functools.partial(AESurprise, **options), observation_space=space, action_space=ACTION
    )
    assert report.ok, report.violations


def test_the_contract_holds_for_pictures():
    # One picture at the end of few episodes: convolutions cost time.
    flags = torch.zeros(3, 2, dtype=torch.bool)
    flags[-1, 0] = True
    rng = np.random.default_rng(0)
    rollouts = [
        _rollout(torch.as_tensor(rng.integers(0, 256, (3, 2, 64, 64, 3), dtype=np.uint8)), flags)
        for _ in range(3)
    ]
    report = check_reward(
        functools.partial(AESurprise, memory=2, epochs=1),
        observation_space=PICTURE,
        action_space=ACTION,
        rollouts=rollouts,
    )
    assert report.ok, report.violations


def test_the_error_of_the_ends_and_nothing_elsewhere(make_stream):
    model = AESurprise(observation_space=VECTOR, code_size=2)
    stream, finished = make_stream()
    for rollout, episodes in zip(stream, finished, strict=True):
        reward, ends = model(rollout), rollout.done & rollout.mask
        assert not reward[~ends].any()
        if episodes:
            last = torch.as_tensor(np.array([episode[-1] for episode in episodes]))
            scaled = model.statistics.normalize(last)
            expected = (model.autoencoder(scaled) - scaled).square().mean(-1)
            torch.testing.assert_close(reward[ends], expected.detach())
            assert (reward[ends] > 0).all()
        assert (model.update(rollout) == {}) == (not episodes)


def test_errors_of_several_samples_add_up(make_stream):
    model = AESurprise(observation_space=VECTOR, code_size=2, samples=3, horizon=3)
    stream, finished = make_stream(rollouts=6)
    for rollout, episodes in zip(stream, finished, strict=True):
        reward = model(rollout)[rollout.done & rollout.mask]
        for value, episode in zip(reward, episodes, strict=True):
            length = len(episode) - 1
            rows = torch.as_tensor(episode[[min(1, length), min(2, length), length]])
            expected = model.autoencoder.errors(model.statistics.normalize(rows)).sum()
            torch.testing.assert_close(value, expected)
        model.update(rollout)


def test_what_is_seen_again_and_again_surprises_less():
    generator = torch.Generator().manual_seed(0)
    ends = torch.ones(1, 64, dtype=torch.bool)
    model = AESurprise(observation_space=spaces.Box(-9, 9, (6,)), code_size=2, memory=64)
    plane = torch.randn(2, 6, generator=generator)
    for _ in range(60):
        model.update(_rollout(torch.randn(1, 64, 2, generator=generator) @ plane, ends))
    seen = model(_rollout(torch.randn(1, 64, 2, generator=generator) @ plane, ends))
    unseen = model(_rollout(torch.randn(1, 64, 6, generator=generator), ends))
    assert float(unseen.mean()) > 3 * float(seen.mean())


def test_pictures_of_the_observation_and_of_the_simulator():
    rng = np.random.default_rng(0)
    pictures = torch.as_tensor(rng.integers(0, 256, (2, 1, 64, 64, 3), dtype=np.uint8))
    ends = torch.tensor([[False], [True]])
    rollout = _rollout(pictures, ends)
    of_observation = AESurprise(observation_space=PICTURE, memory=4, seed=3)
    of_simulator = AESurprise(observation_space=VECTOR, memory=4, seed=3, **IMAGE)
    assert of_simulator.requires == {"state.image"}
    expected = of_observation.autoencoder.errors(pictures[1])
    recorded = rollout.replace(observation=torch.zeros(2, 1, 3), state={"image": pictures})
    for model, record in ((of_observation, rollout), (of_simulator, recorded)):
        reward = model(record)
        assert reward[0].tolist() == [0.0]
        torch.testing.assert_close(reward[1], expected)
        assert model.update(record)["episodes"] == 1.0
        assert model.newest.rows.dtype == torch.uint8
        assert float(model(record)[1]) < float(expected)


def test_a_checkpoint_inside_open_episodes(make_stream):
    stream, _ = make_stream(rollouts=10, steps=5, ends=0.1)
    options = {"samples": 3, "horizon": 9, "memory": 5, "epochs": 1}
    model = AESurprise(observation_space=VECTOR, seed=1, **options)
    for rollout in stream[:5]:
        model.update(rollout)
    assert bool(stream[5].continued.any())
    again = AESurprise(observation_space=VECTOR, seed=7, **options)
    again.load_state_dict(model.state_dict())
    for rollout in stream[5:]:
        assert torch.equal(again(rollout), model(rollout))
        again.update(rollout)
        model.update(rollout)
    assert bool(again(stream[-1]).any() or again(stream[-2]).any())


def test_what_is_not_finite_is_not_learned_from(make_stream):
    stream, _ = make_stream()
    model = AESurprise(observation_space=VECTOR)
    ended = (stream[0].done & stream[0].mask).nonzero()[0].tolist()
    stream[0].next_observation[ended[0], ended[1], 0] = torch.inf
    with pytest.raises(UserError, match="described by must be finite"):
        model.update(stream[0])


def test_replay_is_refused_with_the_reason():
    model = AESurprise(observation_space=VECTOR)
    assert model.scope == Scope.EPISODE
    assert "depends on a whole episode" in (transition_refusal(model) or "")


def test_listed_and_built_by_name():
    model = build_reward("ae_surprise", observation_space=VECTOR, action_space=ACTION, gamma=0.99)
    assert isinstance(model, AESurprise)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"observation_space": spaces.Box(0, 255, (84, 84, 3), np.uint8)}, r"\[64, 64, 3\] alone"),
        ({"memory": 0}, "memory must hold at least 1"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"code_size": 0}, "code_size must be at least 1"),
        ({"samples": 2}, "need horizon"),
    ],
)
def test_what_cannot_be_rebuilt_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        AESurprise(**{"observation_space": VECTOR, **options})
