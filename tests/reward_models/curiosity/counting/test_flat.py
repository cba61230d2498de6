from __future__ import annotations

import pytest
import torch
from gymnasium import spaces

from reward_models.curiosity.counting.flat import FlatEncoder, chosen_space
from reward_models.errors import UnknownNameError, UserError

KINDS = ["vector", "image", "small_image", "discrete", "multi_discrete", "multi_binary", "dict"]
SIZES = [5, 4320, 147, 7, 7, 4, 81 + 27 + 256 + 2]


@pytest.mark.parametrize(("kind", "size"), list(zip(KINDS, SIZES, strict=True)))
def test_every_kind_of_observation_in_one_row(make_rollout, observation_spaces, kind, size):
    encoder = FlatEncoder(space=observation_spaces[kind])
    assert encoder.output_size == size
    assert not list(encoder.parameters())
    features = encoder.features(make_rollout(observation_spaces[kind]))
    assert tuple(features.shape) == (6, 3, size)
    assert features.dtype == torch.float32
    if kind != "dict":  # blstats stay as they are
        bounded = kind != "vector"
        assert (float(features.min()) >= 0 and float(features.max()) <= 1) is bounded


def test_numbers_stay_as_they_are(make_rollout, observation_spaces):
    rollout = make_rollout()
    features = FlatEncoder(space=observation_spaces["vector"]).features(rollout)
    assert torch.equal(features, rollout.observation.float())


def test_space_by_keys(observation_spaces):
    chosen = chosen_space(observation_spaces["dict"], ["blstats", "inner"])
    assert isinstance(chosen, spaces.Dict)
    assert set(chosen) == {"blstats", "inner"}
    assert chosen_space(observation_spaces["vector"]) == observation_spaces["vector"]
    with pytest.raises(UnknownNameError, match="Did you mean 'blstats'"):
        chosen_space(observation_spaces["dict"], ["blstat"])
    with pytest.raises(UserError, match="no encoder"):
        chosen_space(spaces.Text(4))
