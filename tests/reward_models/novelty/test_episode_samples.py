from __future__ import annotations

import numpy as np
import pytest
import torch

from reward_models.errors import UserError
from reward_models.novelty.episode_samples import EpisodeSamples


def _model(samples=1, horizon=None) -> EpisodeSamples:
    return EpisodeSamples(shape=(3,), dtype=torch.float64, samples=samples, horizon=horizon)


def test_the_end_is_the_only_sample(make_stream):
    model = _model()
    stream, finished = make_stream()
    assert sum(map(len, finished)) > 10
    for rollout, episodes in zip(stream, finished, strict=True):
        found = model.finished(rollout, rollout.next_observation)
        assert found.described.shape == (len(episodes), 1, 3)
        for step, column, described, episode in zip(*found, episodes, strict=True):
            assert bool(rollout.done[step, column])
            assert (described[0].numpy() == episode[-1]).all()
        model.remember(rollout, rollout.next_observation)


@pytest.mark.parametrize(("samples", "horizon"), [(2, 9), (3, 3), (4, 30), (5, 7)])
def test_moments_of_the_longest_episode(make_stream, samples, horizon):
    # By hand: after step ceil(i * horizon / S), or the end where that comes before; the last is
    # the end. Most episodes go through several rollouts.
    model = _model(samples, horizon)
    stream, finished = make_stream(rollouts=12, steps=5, ends=0.08)
    assert max(len(episode) for episodes in finished for episode in episodes) > 12
    for rollout, episodes in zip(stream, finished, strict=True):
        found = model.finished(rollout, rollout.next_observation).described
        for described, episode in zip(found, episodes, strict=True):
            length = len(episode) - 1
            moments = [min(-(-i * horizon // samples), length) for i in range(1, samples)]
            expected = episode[[*moments, length]]
            np.testing.assert_array_equal(described.numpy(), expected)
        model.remember(rollout, rollout.next_observation)


def test_looking_changes_nothing(make_stream):
    model = _model(3, 9)
    stream, _ = make_stream()
    model.remember(stream[0], stream[0].next_observation)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model.finished(stream[1], stream[1].next_observation)
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])


@pytest.mark.parametrize(
    ("samples", "horizon", "message"),
    [(0, None, "samples must be at least 1"), (3, None, "need horizon"), (3, 2, "at least 3")],
)
def test_moments_that_do_not_exist_are_refused(samples, horizon, message):
    with pytest.raises(UserError, match=message):
        _model(samples, horizon)
