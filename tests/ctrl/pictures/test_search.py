"""Pictures of a search show what they were given."""

import numpy as np
import pytest

from ctrl.pictures.search import draw_archives, draw_grid, draw_progress, draw_ways
from ctrl.search.episodes import Episodes

SQUARE = [[-1.0, 1.0], [-2.0, 2.0]]


def episodes(places, rewards):
    count = len(places)
    return Episodes(
        genomes=np.zeros((count, 1)),
        evaluation=np.arange(count, dtype=np.int64),
        reward=np.array(rewards, dtype=np.float64),
        task_reward=np.zeros(count),
        area=np.full(count, -1, dtype=np.int64),
        length=np.ones(count, dtype=np.int64),
        samples=np.zeros((count, 1, 1)),
        images=None,
        place=np.array(places, dtype=np.float64).reshape(count, 2),
    )


def test_archives_are_points_where_episodes_ended():
    kept = episodes([[0.0, 1.0], [0.5, -1.0], [-1.0, 2.0]], [0.0, 0.4, 0.8])
    figure = draw_archives({"novelty": kept, "empty": kept[:0]}, SQUARE)
    panel = figure.axes[0]
    assert panel.get_title(loc="left") == "novelty: 3"
    grey, coloured = panel.collections
    np.testing.assert_array_equal(grey.get_offsets(), [[0.0, 1.0]])
    np.testing.assert_array_equal(coloured.get_offsets(), [[0.5, -1.0], [-1.0, 2.0]])
    np.testing.assert_array_equal(coloured.get_array(), [0.4, 0.8])
    # A wall is inside of the picture.
    assert panel.get_xlim()[0] < -1.0
    assert panel.get_ylim()[1] > 2.0
    assert len([axes for axes in figure.axes if axes.get_title(loc="left")]) == 1


def test_nothing_kept_is_said():
    figure = draw_archives({}, SQUARE)
    assert figure.axes[0].texts[0].get_text() == "nothing kept"


def test_the_grid_shows_reached_cells_alone_with_x_to_the_right():
    visits = np.zeros((3, 3), dtype=np.int64)
    visits[2, 0] = 5
    best = np.zeros((3, 3))
    best[2, 0] = 0.7
    figure = draw_grid(visits, best, SQUARE, title="a title")
    counts, rewards = (axes.images[0].get_array() for axes in figure.axes[:2])
    # Row is y, column is x.
    assert counts[0, 2] == 5
    assert rewards[0, 2] == 0.7
    assert counts.mask.sum() == rewards.mask.sum() == 8
    assert "11.1% of 9 cells" in figure.axes[0].get_title(loc="left")


def test_progress_leaves_out_what_a_row_does_not_know():
    rows = {
        "search/evaluations": np.array([10.0, 20.0, 30.0]),
        "search/coverage": np.array([0.1, 0.2, 0.3]),
        "search/archive_coverage": np.array([np.nan, 0.1, np.nan]),
        "search/best/0": np.array([0.0, 0.0, 0.5]),
        "search/best/1": np.array([0.0, 0.2, 0.2]),
    }
    left, right = draw_progress(rows).axes
    everything, kept = left.lines
    np.testing.assert_array_equal(everything.get_xdata(), [10.0, 20.0, 30.0])
    np.testing.assert_array_equal(kept.get_xdata(), [20.0])
    assert [line.get_label() for line in right.lines] == ["area 0", "area 1"]


def test_ways_end_in_a_dot():
    way = np.array([[0.0, 0.0], [0.5, 1.0], [1.0, 1.5]])
    figure = draw_ways({"area_0": way}, SQUARE, np.zeros((0, 2)))
    line, dot = figure.axes[0].lines
    np.testing.assert_array_equal(line.get_xydata(), way)
    np.testing.assert_array_equal(dot.get_xydata(), way[-1:])


@pytest.mark.parametrize("names", [[], ["a", "b"]])
def test_pictures_can_be_written(tmp_path, names):
    from ctrl.pictures.style import save_png

    ways = {name: np.zeros((2, 2)) for name in names}
    path = save_png(draw_ways(ways, SQUARE, np.zeros((1, 2))), tmp_path / "ways.png")
    assert path.stat().st_size > 1000
