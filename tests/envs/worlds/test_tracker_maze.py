"""Rooms, blocks, trackers, the window and the four kinds of noise."""

import numpy as np
import pytest
from scipy.stats import binomtest

import envs
from envs.worlds.tracker_maze import TrackerMaze

UP, DOWN, LEFT, RIGHT, WAIT = range(5)
WALL, BLOCK, TRACKER, PIXELS = range(4)


def run(actions, **options):
    env = envs.make("TrackerMaze-v0", **options)
    observation, info = env.reset(seed=0)
    return observation, info, [env.step(action) for action in actions]


def test_that_the_window_shows_what_is_around():
    observation, info, _ = run([])
    assert observation.shape == (4, 5, 5)
    assert info["position"].tolist() == [2, 2]
    assert not observation.any()  # the middle of an empty room
    _, _, steps = run([RIGHT, RIGHT, RIGHT])
    window = steps[-1][0]  # in the door of room 1
    assert steps[-1][4]["position"].tolist() == [2, 5]
    assert (steps[-2][4]["room"], steps[-1][4]["room"]) == (0, 1)
    assert window[WALL].tolist() == [[0, 0, 1, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0],
                                     [0, 0, 1, 0, 0], [0, 0, 1, 0, 0]]  # fmt: skip
    _, _, steps = run([UP, UP, UP])
    assert steps[-1][4]["position"].tolist() == [0, 2]
    assert steps[-1][0][WALL, :2].all()
    assert not steps[-1][0][WALL, 2:].any()


def test_that_trackers_count_once_each_and_in_every_episode_anew():
    vector = envs.make_vec("TrackerMaze-v0", 1, max_episode_steps=60)
    vector.reset(seed=0)
    events, counts, rooms = [], [], []
    for _ in range(60):
        _, reward, terminated, truncated, infos = vector.step(np.array([RIGHT]))
        events.append(int(infos["tracker"][0]))
        counts.append(int(infos["trackers_reached"][0]))
        rooms.append(int(infos["room"][0]))
        assert not terminated[0]
        assert reward[0] == 0
    assert truncated[0]
    assert counts[-1] == 4 == sum(events)
    assert np.all(np.diff(counts) == np.array(events[1:]))
    assert rooms[-1] == 4
    assert vector.step(np.array([RIGHT]))[4]["trackers_reached"][0] == 0


def test_that_blocks_patrol_and_cannot_be_entered():
    """Whatever happens, agents and blocks share no cell and stay where they belong."""
    for noise in ("none", "brownian_blocks"):
        vector = envs.make_vec("TrackerMaze-v0", 100, noise=noise)
        vector.reset(seed=0)
        generator = np.random.default_rng(0)
        simulation = vector.simulation
        meetings = 0
        for step in range(200):
            drift = generator.random(100) < 0.6
            vector.step(np.where(drift, RIGHT, generator.integers(5, size=100)))
            state = simulation.state()
            row, column = state["agent"][:, :1], state["agent"][:, 1:]
            assert not ((row == state["block"]) & (column == simulation._block_column)).any()
            assert not simulation._walls[row, column].any()
            assert state["block"].min() >= 2
            assert state["block"].max() <= 6
            meetings += int((column == simulation._block_column).any(axis=1).sum())
            if noise == "none" and step < 9:
                rows = state["block"][0, 3]
                assert rows == [5, 6, 5, 4, 3, 2, 3, 4, 5][step]
        assert meetings > 500


def test_that_brownian_blocks_go_up_down_or_nowhere_equally_often():
    vector = envs.make_vec("TrackerMaze-v0", 3000, noise="brownian_blocks")
    vector.reset(seed=0)
    vector.step(np.full(3000, WAIT))
    moved = vector.simulation.state()["block"][:, 0] - 4
    for direction in (-1, 0, 1):
        assert binomtest(int((moved == direction).sum()), 3000, 1 / 3).pvalue > 1e-3


def test_that_pixels_are_drawn_always_or_on_demand():
    for noise, seen in (("pixels", True), ("pixels_on_demand", False), ("none", None)):
        vector = envs.make_vec("TrackerMaze-v0", 100, noise=noise)
        observation, infos = vector.reset(seed=0)
        assert not observation[:, PIXELS].any()
        observation, *_, infos = vector.step(np.full(100, LEFT))
        assert bool(observation[:, PIXELS].any()) == bool(seen)
        assert infos["tv"].tolist() == [int(bool(seen))] * 100
        observation, *_, infos = vector.step(np.full(100, WAIT))
        assert bool(infos["tv"].all()) == (noise != "none")
        pixels = observation[:, PIXELS]
        if noise == "none":
            assert not pixels.any()
        else:
            assert binomtest(int(pixels.sum()), pixels.size, 0.25).pvalue > 1e-3
            assert len({picture.tobytes() for picture in pixels}) == 100


def test_that_an_unknown_noise_is_named():
    with pytest.raises(ValueError, match="Did you mean 'pixels'"):
        TrackerMaze(1, noise="pixel")
