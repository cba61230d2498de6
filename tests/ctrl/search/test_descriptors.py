from __future__ import annotations

import numpy as np
import pytest
import torch

from ctrl.search.descriptors import AllSamples, Descriptor, LastSample, LogSignature, Signature
from ctrl.search.episodes import Episodes
from reward_models.errors import UserError
from reward_models.novelty.signature import log_signature, signature

N, S, SIZE = 5, 4, 3


def _episodes(samples, length=None) -> Episodes:
    count = len(samples)
    return Episodes(
        genomes=np.zeros((count, 1)),
        evaluation=np.arange(count, dtype=np.int64),
        reward=np.zeros(count),
        task_reward=np.zeros(count),
        area=np.full(count, -1),
        length=np.full(count, 8) if length is None else np.array(length, dtype=np.int64),
        samples=np.array(samples, dtype=np.float64),
        images=None,
        place=np.zeros((count, 2)),
    )


@pytest.fixture
def samples() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N, S, SIZE))


DESCRIPTORS: dict[str, Descriptor] = {
    "last": LastSample(observation_size=SIZE),
    "all": AllSamples(observation_size=SIZE, samples=S),
    "signature": Signature(observation_size=SIZE, samples=S),
    "log_signature": LogSignature(observation_size=SIZE, samples=S),
    "timed": Signature(observation_size=SIZE, samples=S, horizon=8),
    "timed_log": LogSignature(observation_size=SIZE, samples=S, horizon=8),
}


@pytest.mark.parametrize(
    ("name", "size"),
    [("last", 3), ("all", 12), ("signature", 12), ("log_signature", 6), ("timed", 20),
     ("timed_log", 10)],
)  # fmt: skip
def test_sizes_and_what_is_not_learned(samples, name, size):
    descriptor, episodes = DESCRIPTORS[name], _episodes(samples)
    assert descriptor.size == size
    assert descriptor.describe(episodes).shape == (N, size)
    assert descriptor.describe(episodes).dtype == np.float64
    assert descriptor.describe(episodes[slice(0, 0)]).shape == (0, size)
    assert descriptor.surprise(episodes).tolist() == N * [0.0]
    assert not descriptor.learned
    assert (descriptor.learn(episodes), descriptor.version) == ({}, 0)
    assert descriptor.state_dict() == {}


def test_samples_as_they_are(samples):
    episodes = _episodes(samples)
    last = DESCRIPTORS["last"].describe(episodes)
    assert (last == samples[:, -1]).all()
    assert (DESCRIPTORS["all"].describe(episodes)[:, 3:6] == samples[:, 1]).all()
    last[...] = 0.0
    assert (episodes.samples == samples).all()


def test_signatures_of_the_samples(samples):
    episodes, path = _episodes(samples), torch.from_numpy(samples)
    assert (DESCRIPTORS["signature"].describe(episodes) == signature(path).numpy()).all()
    assert (DESCRIPTORS["log_signature"].describe(episodes) == log_signature(path).numpy()).all()


def test_the_time_of_samples_is_a_fraction_of_the_longest_episode(samples):
    # Of 7 steps, the samples are taken after steps 2, 4, 6 and 7.
    time = torch.tensor([2.0, 4.0, 6.0, 7.0]).reshape(1, S, 1).expand(N, S, 1) / 8
    path = torch.cat([torch.from_numpy(samples), time], -1)
    found = DESCRIPTORS["timed"].describe(_episodes(samples, length=N * [7]))
    np.testing.assert_allclose(found, signature(path).numpy(), rtol=1e-12, atol=1e-12)
    slower = DESCRIPTORS["timed_log"].describe(_episodes(samples, length=N * [8]))
    faster = DESCRIPTORS["timed_log"].describe(_episodes(samples, length=N * [4]))
    assert np.abs(slower - faster).min(0).max() > 0.1


@pytest.mark.parametrize("name", DESCRIPTORS)
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(samples, name, broken):
    samples[2, -1, 1] = broken
    with pytest.raises(UserError, match=r"1 of 5 episodes have NaN or infinity.*number 2"):
        DESCRIPTORS[name].describe(_episodes(samples))


@pytest.mark.parametrize("name", DESCRIPTORS)
def test_other_samples_are_refused(samples, name):
    with pytest.raises(UserError, match=r"O = 3 numbers.* got shape \[5, 4, 2\]"):
        DESCRIPTORS[name].describe(_episodes(samples[..., :2]))
    if name != "last":
        with pytest.raises(UserError, match=r"at S = 4 moments, got shape \[5, 3, 3\]"):
            DESCRIPTORS[name].describe(_episodes(samples[:, 1:]))


def test_numbers_out_of_range_are_refused(samples):
    with pytest.raises(UserError, match="observation_size must be at least 1"):
        LastSample(observation_size=0)
    with pytest.raises(UserError, match="samples must be at least 1"):
        AllSamples(observation_size=1, samples=0)
    with pytest.raises(UserError, match="samples must be at least 2"):
        Signature(observation_size=1, samples=1)
    with pytest.raises(UserError, match="horizon must be at least 1"):
        LogSignature(observation_size=1, samples=2, horizon=0)
    with pytest.raises(UserError, match="took 9 steps, more than horizon = 8"):
        DESCRIPTORS["timed"].describe(_episodes(samples, length=[1, 9, 2, 3, 4]))
