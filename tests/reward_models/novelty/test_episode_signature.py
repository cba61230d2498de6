from __future__ import annotations

import numpy as np
import pytest
import torch

from reward_models.errors import UserError
from reward_models.novelty.episode_signature import EpisodeSignature
from reward_models.novelty.signature import log_signature, signature, with_time


@pytest.mark.parametrize("horizon", [None, 40])
@pytest.mark.parametrize("logarithm", [False, True])
def test_equal_to_the_signature_of_the_whole_path(make_stream, logarithm, horizon):
    model = EpisodeSignature(size=3, logarithm=logarithm, horizon=horizon)
    whole = log_signature if logarithm else signature
    stream, finished = make_stream(rollouts=12, steps=5, ends=0.08)
    described = 0
    for rollout, episodes in zip(stream, finished, strict=True):
        before, after = rollout.observation, rollout.next_observation
        found = model.finished(rollout, after, before).described
        assert found.shape == (len(episodes), model.output_size)
        for one, episode in zip(found, episodes, strict=True):
            path = torch.from_numpy(episode)
            if horizon is not None:
                path = with_time(path, torch.arange(len(path)) / horizon)
            torch.testing.assert_close(one, whole(path), rtol=1e-9, atol=1e-9)
            described += 1
        model.remember(rollout, after, before)
    assert described > 6


def test_a_quantity_without_a_beginning_stands_still_at_first(make_stream):
    model = EpisodeSignature(size=3, logarithm=False, horizon=None)
    stream, finished = make_stream(rollouts=8, steps=6)
    for rollout, episodes in zip(stream, finished, strict=True):
        found = model.finished(rollout, rollout.next_observation, None).described
        for one, episode in zip(found, episodes, strict=True):
            if len(episode) > 2:
                expected = signature(torch.from_numpy(episode[1:]))
                torch.testing.assert_close(one, expected, rtol=1e-9, atol=1e-9)
            else:
                assert not one.any()
        model.remember(rollout, rollout.next_observation, None)


def test_memory_does_not_grow_with_the_episode(make_stream):
    model = EpisodeSignature(size=3, logarithm=False, horizon=None)
    stream, _ = make_stream(rollouts=8, ends=0.0)
    sizes = set()
    for rollout in stream:
        model.remember(rollout, rollout.next_observation, rollout.observation)
        sizes.add(sum(value.numel() for value in model.state_dict().values()))
    assert len(sizes) == 1
    assert np.all(model.memory.steps.numpy() > 60)


def test_a_horizon_without_steps_is_refused():
    with pytest.raises(UserError, match="horizon must be at least 1"):
        EpisodeSignature(size=3, logarithm=False, horizon=0)
