"""The persistent noise: its steps follow the actions, and it is added to every pixel."""

import numpy as np
from scipy.stats import binomtest, chisquare

import envs
from envs.atari.noise import PersistentNoise


def test_that_the_parity_of_the_action_gives_the_size_of_the_step():
    noise, random = PersistentNoise(), np.random.default_rng(0)
    ups = 0
    for index in range(2000):
        before, action = noise.value, index % 7
        noise.step(action, random.random())
        move = (noise.value - before) % 50
        size = 11 if action % 2 else 1
        assert move in (size, 50 - size)
        ups += move == size
        assert 0 <= noise.value < 50
    assert binomtest(ups, 2000).pvalue > 1e-3


def test_that_episodes_begin_anywhere():
    noise, random, counts = PersistentNoise(), np.random.default_rng(0), np.zeros(50)
    for _ in range(5000):
        noise.reset(random.random())
        counts[noise.value] += 1
    assert chisquare(counts).pvalue > 1e-3


def test_that_it_is_added_and_stays_within_a_byte():
    noise = PersistentNoise()
    noise.restore({"value": 49})
    picture = np.array([[0, 100, 205, 206, 207, 255]], np.uint8)
    assert noise.add(picture).tolist() == [[49, 149, 254, 255, 255, 255]]
    assert noise.add(picture).dtype == np.uint8
    assert picture[0, 0] == 0


def test_that_every_picture_keeps_the_noise_of_its_time():
    noisy = envs.make("MontezumaSticky-v0", noise="persistent")
    clean = envs.make("MontezumaSticky-v0")
    one, other = noisy.reset(seed=5)[0], clean.reset(seed=5)[0]
    values = []
    for action in (2, 3, 3, 2, 5, 0):
        values.append(noisy.unwrapped._noise.value)
        assert np.array_equal(one[-1], np.minimum(other[-1].astype(int) + values[-1], 255))
        one, other = noisy.step(action)[0], clean.step(action)[0]
    values.append(noisy.unwrapped._noise.value)
    shifts = np.array(values[-4:]).reshape(4, 1, 1)
    assert np.array_equal(one, np.minimum(other.astype(int) + shifts, 255))
    moves = np.diff(values) % 50
    assert [min(move, 50 - move) for move in moves.tolist()] == [1, 11, 11, 1, 11, 1]
