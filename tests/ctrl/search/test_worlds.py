"""What is known about worlds is true of them."""

import numpy as np
import pytest

import envs
from ctrl.config import EnvConfig
from ctrl.search.evaluation import Evaluator, Setting
from ctrl.search.worlds import _AREAS, _BOUNDS, area_count, place_bounds
from reward_models.errors import UserError


@pytest.mark.parametrize("name", [name for name in _BOUNDS if "Maze" not in name])
def test_episodes_end_inside_of_the_bounds(name):
    env = EnvConfig(f"{name}-v0")
    (low_x, high_x), (low_y, high_y) = place_bounds(env, None)
    with Evaluator(Setting(env=env)) as evaluator:
        genomes = np.random.default_rng(0).normal(0, 3, (32, evaluator.genome.size))
        place = evaluator.evaluate(genomes, 0).place
    assert (place >= [low_x, low_y]).all()
    assert (place <= [high_x, high_y]).all()
    # Bounds of another world would be far too wide.
    assert np.ptp(place, axis=0).max() > 0.25 * (high_x - low_x)


@pytest.mark.parametrize("name", list(_AREAS))
def test_areas_are_those_of_the_world(name):
    world = envs.make_vec(f"{name}-v0", 1)
    assert len(world.unwrapped.simulation.goal.areas.radii) == area_count(
        EnvConfig(f"{name}-v0"), None
    )
    world.close()


@pytest.mark.parametrize("name", [name for name in _BOUNDS if "MazeGoal" in name])
def test_bounds_of_mazes_are_their_free_cells(name):
    pytest.importorskip("gymnasium_robotics")
    env = envs.make(f"{name}-v0")
    free = env.unwrapped.robot_env.maze
    (low_x, high_x), (low_y, high_y) = place_bounds(EnvConfig(f"{name}-v0"), None)
    cells = [
        free.cell_rowcol_to_xy(np.array([row, column]))
        for row, line in enumerate(free.maze_map)
        for column, cell in enumerate(line)
        if cell != 1
    ]
    centres = np.array(cells)
    half = 0.5 * free.maze_size_scaling
    np.testing.assert_allclose(centres.min(0) - half, [low_x, low_y])
    np.testing.assert_allclose(centres.max(0) + half, [high_x, high_y])
    env.close()


def test_the_users_word_counts():
    assert place_bounds(EnvConfig("Nowhere-v0"), [[0.0, 1.0], [0.0, 2.0]])[1] == [0.0, 2.0]
    assert area_count(EnvConfig("PointWalker-v0", options={"areas": []}), None) == 0
    assert area_count(EnvConfig("PointWalker-v0"), 7) == 7
    with pytest.raises(UserError, match="bounds"):
        place_bounds(EnvConfig("Nowhere-v0"), None)
