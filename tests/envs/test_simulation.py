"""Random numbers per column: the same alone or in a batch, in whatever pieces they are asked."""

import gymnasium
import numpy as np
import pytest

from envs.simulation import ColumnRandom, load, pick
from envs.worlds.tracker_maze import TrackerMaze


def seeded(*seeds: int) -> ColumnRandom:
    random = ColumnRandom(len(seeds))
    for column, seed in enumerate(seeds):
        random.seed(column, seed)
    return random


@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_that_a_column_sees_the_numbers_it_would_see_alone(kind):
    sizes = [1, 3, 255, 2, 256, 1, 600, 7]
    batch, alone = seeded(4, 9, 4), seeded(9)
    for size in sizes:
        together, own = getattr(batch, kind)(size), getattr(alone, kind)(size)
        assert together.shape == (3, size)
        assert np.array_equal(together[1], own[0])
        assert np.array_equal(together[0], together[2])
        assert not np.array_equal(together[0], together[1])


def test_that_numbers_come_in_the_order_of_the_generator():
    expected = np.random.default_rng(3).random(512)
    random = seeded(3)
    found = np.concatenate([random.uniform(size)[0] for size in (1, 2, 253, 256)])
    assert np.array_equal(found, expected)


def test_that_no_number_is_given_twice():
    random = seeded(0)
    numbers = np.concatenate([random.uniform(100)[0] for _ in range(50)])
    assert len(np.unique(numbers)) == 5000


def test_that_a_column_seeded_later_does_not_disturb_the_others():
    random, twin = seeded(1, 2), seeded(1, 2)
    random.uniform(10)
    twin.uniform(10)
    twin.seed(0, 50)
    assert np.array_equal(random.uniform(5)[1], twin.uniform(5)[1])
    fresh = seeded(50)
    fresh.uniform(5)
    assert np.array_equal(twin.uniform(4)[0], fresh.uniform(4)[0])


def test_that_numbers_for_resets_and_for_steps_do_not_meet():
    random, alone = seeded(8, 9), seeded(9)
    found = []
    for source in (random, alone):
        column = 1 if source is random else 0
        numbers = [source.uniform(200)[column]]
        numbers.append(source.generator(column).random(3))
        numbers.append(source.uniform(100)[column])
        found.append(np.concatenate(numbers))
    assert np.array_equal(*found)
    assert len(np.unique(found[0])) == 303


def test_that_a_snapshot_continues_in_the_middle_of_a_block():
    random = seeded(5, 6)
    random.uniform(100)
    random.normal(3)
    saved = random.snapshot()
    expected = [random.uniform(200), random.normal(300), random.generator(1).random(4)]
    later = ColumnRandom(2)
    for target in (random, later):
        target.restore(saved)
        found = [target.uniform(200), target.normal(300), target.generator(1).random(4)]
        assert all(map(np.array_equal, found, expected))


def test_that_a_column_without_a_seed_says_so():
    random = ColumnRandom(2)
    random.seed(0, 1)
    assert (random.is_seeded(0), random.is_seeded(1)) == (True, False)
    for draw in (random.uniform, lambda: random.generator(1)):
        with pytest.raises(gymnasium.error.ResetNeeded):
            draw()
    later = ColumnRandom(2)
    later.restore(random.snapshot())
    assert (later.is_seeded(0), later.is_seeded(1)) == (True, False)


def test_that_the_numbers_are_uniform_and_normal():
    from scipy.stats import kstest

    random = seeded(*range(64))
    uniform = np.concatenate([random.uniform(7).ravel() for _ in range(50)])
    normal = np.concatenate([random.normal(7).ravel() for _ in range(50)])
    assert kstest(uniform, "uniform").pvalue > 1e-3
    assert kstest(normal, "norm").pvalue > 1e-3


def test_that_picking_a_column_copies_it():
    arrays = {"image": np.zeros((2, 3, 3)), "state": np.array([4, 5])}
    one = pick(arrays, 1)
    assert one["image"].shape == (3, 3)
    assert isinstance(one["state"], np.int64)
    arrays["image"][1] += 1
    assert not one["image"].any()


def test_that_classes_and_functions_are_loaded_by_name():
    assert load("envs.worlds.tracker_maze:TrackerMaze") is TrackerMaze
    assert load("envs.worlds.grids:lava_grid")(num_envs=2).num_envs == 2
