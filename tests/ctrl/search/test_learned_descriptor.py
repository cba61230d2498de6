from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from ctrl.checkpoint import load_tree, save_tree
from ctrl.search.episodes import Episodes
from ctrl.search.learned_descriptor import AutoencoderCode
from reward_models.errors import UserError

FAST = {"epochs": 2, "batch_size": 8}


@pytest.fixture
def make_episodes() -> Callable[..., Episodes]:
    """Return a function that makes episodes with pictures of random boxes."""

    def make(count: int = 6, samples: int = 1, seed: int = 0) -> Episodes:
        rng = np.random.default_rng(seed)
        images = np.zeros((count, samples, 64, 64, 3), dtype=np.uint8)
        for row, moment in np.ndindex(count, samples):
            x, y = rng.integers(0, 48, 2)
            images[row, moment, y : y + 16, x : x + 16] = 255
        return Episodes(
            genomes=np.zeros((count, 1)),
            evaluation=np.arange(count, dtype=np.int64),
            reward=np.zeros(count),
            task_reward=np.zeros(count),
            area=np.full(count, -1),
            length=np.ones(count, dtype=np.int64),
            samples=np.zeros((count, samples, 2)),
            images=images,
            place=np.zeros((count, 2)),
        )

    return make


def test_codes_of_all_pictures_one_after_the_other(make_episodes):
    episodes = make_episodes(samples=3)
    descriptor = AutoencoderCode(samples=3, code_size=4)
    found = descriptor.describe(episodes)
    assert descriptor.learned
    assert found.shape == (6, descriptor.size) == (6, 12)
    assert found.dtype == np.float64
    second = descriptor.autoencoder.codes(torch.from_numpy(episodes.images[:, 1])).numpy()
    np.testing.assert_allclose(found[:, 4:8], second, rtol=1e-4, atol=1e-6)
    assert descriptor.describe(episodes[slice(0, 0)]).shape == (0, 12)


def test_surprise_adds_up_over_pictures(make_episodes):
    episodes = make_episodes(samples=3)
    descriptor = AutoencoderCode(samples=3)
    each = descriptor.autoencoder.errors(torch.from_numpy(episodes.images).flatten(0, 1))
    expected = each.reshape(6, 3).sum(1).numpy()
    np.testing.assert_allclose(descriptor.surprise(episodes), expected, rtol=1e-6)
    assert descriptor.surprise(episodes[slice(0, 0)]).shape == (0,)


def test_learning_makes_a_new_version_that_is_less_surprised(make_episodes):
    episodes = make_episodes(20)
    descriptor = AutoencoderCode(epochs=6, batch_size=4)
    before, surprise = descriptor.describe(episodes), descriptor.surprise(episodes)
    measured = descriptor.learn(episodes)
    assert descriptor.version == 1
    assert measured["pictures"] == 20
    assert not np.allclose(descriptor.describe(episodes), before)
    assert descriptor.surprise(episodes).mean() < surprise.mean()
    descriptor.learn(episodes)
    assert descriptor.version == 2


def test_state_goes_through_a_checkpoint_and_learning_goes_on(make_episodes, tmp_path):
    episodes = make_episodes(12)
    descriptor = AutoencoderCode(**FAST, seed=1)
    descriptor.learn(episodes)
    save_tree(descriptor.state_dict(), tmp_path)
    kept = descriptor.state_dict()
    again = AutoencoderCode(**FAST, seed=5)
    again.load_state_dict(load_tree(tmp_path))
    assert again.version == 1
    assert (again.describe(episodes) == descriptor.describe(episodes)).all()
    for each in (descriptor, again):
        each.learn(episodes)
    assert (again.describe(episodes) == descriptor.describe(episodes)).all()
    assert (again.surprise(episodes) == descriptor.surprise(episodes)).all()
    # What was returned before does not follow the weights.
    name = next(iter(kept["weights"]))
    assert not np.array_equal(kept["weights"][name], again.state_dict()["weights"][name])


def test_seeds_and_the_global_generator(make_episodes):
    episodes = make_episodes(12)
    before = torch.get_rng_state()
    codes = []
    for seed in (0, 0, 1):
        descriptor = AutoencoderCode(**FAST, seed=seed)
        descriptor.learn(episodes)
        codes.append(descriptor.describe(episodes))
    assert torch.equal(before, torch.get_rng_state())
    assert (codes[0] == codes[1]).all()
    assert not np.allclose(codes[0], codes[2])


def test_what_cannot_be_described_is_refused(make_episodes):
    episodes = make_episodes()
    blind = Episodes(**{**vars(episodes), "images": None})
    cropped = Episodes(**{**vars(episodes), "images": episodes.images[:, :, :48]})
    descriptor = AutoencoderCode()
    for function in (descriptor.describe, descriptor.surprise, descriptor.learn):
        with pytest.raises(UserError, match="needs pictures of the episodes"):
            function(blind)
        with pytest.raises(UserError, match=r"got shape \[6, 1, 48, 64, 3\]"):
            function(cropped)
        with pytest.raises(UserError, match=r"\[n, 1, 64, 64, 3\], got shape \[6, 2,"):
            function(make_episodes(samples=2))
    assert descriptor.version == 0
    with pytest.raises(UserError, match="at least 2 inputs"):
        descriptor.learn(make_episodes(1))


@pytest.mark.parametrize("option", ["samples", "code_size", "batch_size", "epochs", "patience"])
def test_numbers_out_of_range_are_refused(option):
    with pytest.raises(UserError, match=f"{option} must be at least 1"):
        AutoencoderCode(**{option: 0})
