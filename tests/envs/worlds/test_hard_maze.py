"""The maze holds the robot, its sensors tell the truth, and its dead ends mislead."""

import numpy as np
import pytest

from envs.registry import make_vec
from envs.worlds import hard_maze

LAST_ROOM = [
    (-0.3, -0.85), (0.7, -0.6), (0.7, -0.1), (0.0, -0.28), (-0.6, 0.1),
    (-0.6, 0.85), (0.0, 0.85), (0.0, 0.4), (0.5, 0.4), (0.75, 0.75),
]  # fmt: skip
HALF_WAY = [*LAST_ROOM[:4], (-0.75, -0.1)]


def distance_to_walls(position):
    """Return the distance of points ``[n, 2]`` to the walls by looking at 1001 points of each."""
    walls = np.array(hard_maze.WALLS)
    share = np.linspace(0.0, 1.0, 1001)[:, None, None]
    points = (walls[:, :2] + share * (walls[:, 2:] - walls[:, :2])).reshape(-1, 2)
    return np.array([np.hypot(*(points - place).T).min() for place in position])


@pytest.fixture(scope="module")
def driven():
    """Drive four robots, each through its points in straight lines; their rewards and areas."""
    paths = [LAST_ROOM, HALF_WAY, [hard_maze.AREAS[0][:2]], [hard_maze.AREAS[1][:2]]]
    paths, index = [np.array(path) for path in paths], np.zeros(4, dtype=int)
    venv = make_vec("HardMaze-v0", 4)
    venv.reset(seed=0)
    terminated = np.zeros(4, dtype=bool)
    while not terminated.any():
        state = venv.simulation.state()
        away = np.array([path[i] for path, i in zip(paths, index, strict=True)]) - state["position"]
        distance = np.hypot(*away.T)
        index = np.minimum(index + (distance < 0.05), [len(path) - 1 for path in paths])
        error = np.arctan2(away[:, 1], away[:, 0]) - state["heading"]
        error = np.mod(error + np.pi, 2.0 * np.pi) - np.pi
        forward = np.where(np.abs(error) < 0.5, np.minimum(1.0, distance / 0.05), 0.0)
        turn = np.clip(2.0 * error, -0.5, 0.5)
        actions = np.clip(np.stack([forward - turn, forward + turn], axis=1), -1.0, 1.0)
        _, reward, terminated, _, infos = venv.step(actions)
    assert terminated.all()
    return reward, infos


def test_a_driver_with_a_map_reaches_both_areas(driven):
    reward, infos = driven
    assert (reward[:2] > 0.9).all()
    assert infos["area"][:2].tolist() == [0, 1]
    assert infos["is_success"][:2].all()


def test_the_direct_ways_are_dead_ends(driven):
    reward, infos = driven
    assert reward[2:].tolist() == [0.0, 0.0]
    assert infos["area"][2:].tolist() == [-1, -1]


def test_no_wall_is_passed_under_violent_actions():
    venv = make_vec("HardMaze-v0", 64, horizon=10_000)
    venv.reset(seed=0)
    random = np.random.default_rng(0)
    simulation, touched, closest = venv.simulation, np.zeros(64, dtype=bool), np.inf
    before = simulation.state()["position"]
    for step in range(1000):
        if step % 25 == 0:
            actions = random.choice([-1e30, -1.0, 0.9, 1.0, 1e30], (64, 2))
        observation = venv.step(actions)[0]
        assert np.isfinite(observation).all()
        position = simulation.state()["position"]
        # A step is at most its length and the way out of a wall, far below the diameter.
        assert np.hypot(*(position - before).T).max() <= 0.05
        touched |= observation[:, 5:].any(axis=1)
        before = position
        if step % 50 == 0:
            closest = min(closest, distance_to_walls(position).min())
    assert closest >= hard_maze.RADIUS - 1e-6
    assert touched.mean() > 0.5


def test_driving_is_that_of_two_wheels():
    venv = make_vec("HardMaze-v0", 3)
    venv.reset(seed=0)
    for _ in range(10):
        venv.step(np.array([[1.0, 1.0], [-1.0, 1.0], [0.5, 1.0]]))
    state = venv.simulation.state()
    start = np.array(hard_maze.START[:2])
    assert state["position"][0] - start == pytest.approx([0.1, 0.0])
    assert state["position"][1] - start == pytest.approx([0.0, 0.0])
    assert state["heading"] == pytest.approx([0.0, 2.0, 0.5])
    # An arc: radius = speed / turn rate = 0.0075 / 0.05, up to the chords.
    arc = 0.15 * np.array([np.sin(0.5), 1.0 - np.cos(0.5)])
    assert state["position"][2] - start == pytest.approx(arc, rel=1e-3)


def test_ranges_agree_with_marching_along_the_rays():
    venv = make_vec("HardMaze-v0", 20)
    venv.reset(seed=0)
    random = np.random.default_rng(1)
    state = venv.simulation.state()
    places = random.uniform(-0.95, 0.95, (400, 2))
    state["position"][...] = places[distance_to_walls(places) > 0.05][:20]
    state["heading"][...] = random.uniform(-np.pi, np.pi, 20)
    venv.simulation.set_state(state)
    seen = venv.simulation.observe()[:, :5]
    walls = np.array(hard_maze.WALLS)

    def crosses(start, end):
        """Whether the way from start to end crosses a wall, by the sides of the end points."""

        def side(a, b, c):
            return np.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))

        return any(
            side(wall[:2], wall[2:], start) != side(wall[:2], wall[2:], end)
            and side(start, end, wall[:2]) != side(start, end, wall[2:])
            for wall in walls
        )

    for column in range(20):
        for ray, offset in enumerate(hard_maze.RAY_ANGLES):
            place, angle = state["position"][column], state["heading"][column] + offset
            unit = np.array([np.cos(angle), np.sin(angle)])
            length = float(seen[column, ray])
            assert not crosses(place, place + (length - 1e-4) * unit)
            assert length == 1.0 or crosses(place, place + (length + 1e-4) * unit)


def test_bumpers_tell_left_from_right():
    venv = make_vec("HardMaze-v0", 3)
    venv.reset(seed=0)
    state = venv.simulation.state()
    state["position"][...] = (-0.8, -0.945)
    state["heading"][...] = (-np.pi / 2, -np.pi / 4, -3 * np.pi / 4)
    venv.simulation.set_state(state)
    assert not venv.simulation.observe()[:, 5:].any()
    seen = venv.step(np.ones((3, 2)))[0]
    # The floor is straight ahead; ahead on the right; ahead on the left.
    assert seen[:, 5:].tolist() == [[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]]
    away = venv.step(-np.ones((3, 2)))[0]
    assert not away[:, 5:].any()
