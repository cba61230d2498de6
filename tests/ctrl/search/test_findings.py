"""Which of the kept episodes become elites."""

import numpy as np

from ctrl.search.episodes import Episodes
from ctrl.search.findings import choose_elites


def episodes(places, rewards, areas):
    count = len(places)
    return Episodes(
        genomes=np.arange(count, dtype=np.float64)[:, None],
        evaluation=np.arange(count, dtype=np.int64),
        reward=np.array(rewards, dtype=np.float64),
        task_reward=np.array(rewards, dtype=np.float64),
        area=np.array(areas, dtype=np.int64),
        length=np.ones(count, dtype=np.int64),
        samples=np.zeros((count, 1, 2)),
        images=None,
        place=np.array(places, dtype=np.float64),
    )


def test_the_best_of_every_area_and_what_ended_far_from_them():
    kept = episodes(
        [[0, 0], [0.1, 0], [5, 5], [9, 0], [5, 5.1]], [0.2, 0.7, 0, 0, 0], [1, 1, -1, -1, -1]
    )
    found = choose_elites([kept], areas=3, spread=2)
    assert list(found) == ["area_1", "novelty_0", "novelty_1"]
    assert [one.evaluation[0] for one in found.values()] == [1, 3, 4]


def test_without_areas_the_best_comes_first():
    kept = episodes([[0, 0], [1, 0]], [-2.0, -1.0], [-1, -1])
    found = choose_elites([kept[:1], kept[1:]], areas=1)
    assert [one.evaluation[0] for one in found.values()] == [1, 0]


def test_equal_ends_are_one_elite_and_nothing_gives_nothing():
    kept = episodes([[1, 1], [1, 1]], [0.0, 0.0], [-1, -1])
    assert list(choose_elites([kept], areas=0)) == ["novelty_0"]
    assert choose_elites([], areas=2) == {}
