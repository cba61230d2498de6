"""The mazes: their cells, ways, marks and ends."""

import numpy as np
import pytest

import envs
from envs.worlds.grid import Grid
from envs.worlds.grids import (
    coffee_office_grid,
    lava_grid,
    open_grid,
    serpentine_layout,
    serpentine_maze,
    two_goal_grid,
)
from envs.worlds.solve import finite_horizon, finite_horizon_value, value_iteration

UP, DOWN, LEFT, RIGHT = range(4)


def walk(name: str, moves: str, **options):
    """Return the last step of a walk, and how many steps it took."""
    env = envs.make(name, **options)
    env.reset(seed=0)
    steps = []
    for move in moves:
        steps.append(env.step("UDLR".index(move)))
        if steps[-1][2] or steps[-1][3]:
            break
    return steps[-1], len(steps)


def test_that_moves_into_walls_and_over_edges_stay():
    grid = Grid(["A.#", "#.B"])
    assert grid.cells.tolist() == [[0, 0], [0, 1], [1, 1], [1, 2]]
    assert grid.index.tolist() == [[0, 1, -1], [-1, 2, 3]]
    assert grid.neighbour.tolist() == [[0, 0, 0, 1], [1, 2, 0, 1], [1, 2, 2, 3], [3, 3, 2, 3]]
    assert (grid.size, grid.only("A"), grid.only("B")) == (4, 0, 3)
    assert grid.picture(A=(1, 2, 3))[0, 0].tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="one cell marked 'C', found 0"):
        grid.only("C")
    for layout in (["..", "."], ["##"]):
        with pytest.raises(ValueError, match=r"layout|length"):
            Grid(layout)


def test_that_the_serpentine_maze_has_241_cells_and_no_reward():
    layout = serpentine_layout(21, 21)
    assert sum(row.count(".") for row in layout) == 241
    assert [row.index(".") for row in layout[1::2]] == [20, 0] * 5
    mdp = serpentine_maze(1).mdp
    assert mdp.num_states == 241
    assert not mdp.reward.any()
    assert not mdp.terminal.any()


def test_that_the_far_end_of_the_maze_is_as_far_as_said():
    neighbour = Grid(serpentine_layout(21, 21)).neighbour
    distance, reached = {0: 0}, [0]
    for cell in reached:
        for following in neighbour[cell].tolist():
            if following not in distance:
                distance[following] = distance[cell] + 1
                reached.append(following)
    assert len(distance) == 241
    assert distance[240] == max(distance.values()) == 240


def test_that_the_maze_is_seen_as_scaled_coordinates():
    env = envs.make("SerpentineMaze-v0")
    observation, info = env.reset(seed=0)
    assert observation.tolist() == [-1, -1]
    assert info["position"].tolist() == [0, 0]
    for _ in range(20):
        observation, _, terminated, truncated, info = env.step(RIGHT)
    assert observation.tolist() == [-1, 1]
    observation, _, terminated, truncated, info = env.step(DOWN)
    assert (info["position"].tolist(), terminated, truncated) == ([1, 20], False, False)
    for _ in range(179):
        step = env.step(UP)
    assert step[2:4] == (False, True)


def test_that_lava_and_goal_end_the_episode():
    straight, count = walk("LavaGrid-v0", "R" * 10)
    assert count == 5
    assert (straight[1], straight[2], straight[4]["lava"], straight[4]["is_success"]) == (
        0, True, 1, False,
    )  # fmt: skip
    around, count = walk("LavaGrid-v0", "D" * 7 + "R" * 9 + "U" * 7)
    assert count == 23
    assert (around[1], around[2], around[4]["goal"], around[4]["is_success"]) == (1, True, 1, True)
    assert around[4]["goal_distance"] == 0
    idle, count = walk("LavaGrid-v0", "L" * 99)
    assert (count, idle[2], idle[3]) == (60, False, True)


def test_that_a_greedy_walk_towards_the_goal_dies():
    """The distance rewards every step of the straight way, and the way around not at all."""
    simulation = lava_grid(1)
    distance = simulation.state_info["goal_distance"]
    closer = (distance[None, None, :] < distance[:, None, None]).astype(float)
    further = (distance[None, None, :] > distance[:, None, None]).astype(float)
    program = np.sign(simulation.mdp.reward) + 0.1 * (closer - further)
    shaped = value_iteration(simulation.mdp.with_reward(program), 0.5)
    state, positions = 10, []
    while not simulation.mdp.terminal[state]:
        state = int(simulation.mdp.transition[state, shaped.policy[state]].argmax())
        positions.append(simulation.state_info["position"][state].tolist())
    assert positions[-1][1] == 5
    assert simulation.state_info["lava"][state]


def test_that_two_goals_are_two_and_three_moves_away():
    for moves, event, paid in (("LL", "goal_a", 0.25), ("RRR", "goal_b", 0.75)):
        step, count = walk("TwoGoalGrid-v0", moves * 2, weights=(0.25, 0.75))
        assert count == len(moves)
        assert (step[1], step[2], step[4][event]) == (paid, True, 1)
        assert step[4]["goal_a"] + step[4]["goal_b"] == 1
    with pytest.raises(ValueError, match="two weights"):
        two_goal_grid(1, weights=(1.0,))


def test_that_coffee_comes_before_the_office():
    success, count = walk("CoffeeOfficeGrid-v0", "LLLL" + "RRRRR" + "DDD" + "U")
    assert (count, success[1], success[2], success[4]["is_success"]) == (12, 1, True, True)
    early, count = walk("CoffeeOfficeGrid-v0", "RDDD" + "U")
    assert (count, early[1], early[2], early[4]["is_success"]) == (4, 0, True, False)
    wet, count = walk("CoffeeOfficeGrid-v0", "LLLL" + "RRRRD" + "U")
    assert (count, wet[1], wet[2], wet[4]["water"], wet[4]["has_coffee"]) == (9, 0, True, 1, 1)
    fetched, _ = walk("CoffeeOfficeGrid-v0", "LLLL")
    assert (fetched[4]["coffee"], fetched[4]["has_coffee"]) == (1, 1)
    left, _ = walk("CoffeeOfficeGrid-v0", "LLLLR")
    assert (left[4]["coffee"], left[4]["has_coffee"]) == (0, 1)


def test_that_coffee_needs_a_memory():
    simulation = coffee_office_grid(1)
    mdp = simulation.mdp
    start = int(mdp.start.argmax())
    assert finite_horizon(mdp, 60).value[0][start] == 1.0
    # Policies that see the cell alone, the same for both halves of the states.
    generator = np.random.default_rng(0)
    policies = generator.dirichlet(np.full(4, 0.5), size=(300, mdp.num_states // 2))
    rates = [finite_horizon_value(mdp, np.concatenate([p, p]), 60)[start] for p in policies]
    assert max(rates) < 0.4
    # Mixing the two moves that the dead end asks for is about the best of them.
    position = simulation.state_info["position"][: mdp.num_states // 2]
    mixed = np.full((mdp.num_states // 2, 4), 0.0)
    mixed[:, RIGHT] = 1.0
    row = position[:, 0] == 2
    dead_end = row & (position[:, 1] >= 1) & (position[:, 1] <= 4)
    mixed[dead_end] = [0, 0, 0.5, 0.5]
    mixed[position[:, 1] == 5] = [0, 1, 0, 0]
    rate = finite_horizon_value(mdp, np.concatenate([mixed, mixed]), 60)[start]
    assert max(rates) < rate < 0.4


def test_that_your_own_layout_has_starts_goals_pits_and_slips():
    simulation = open_grid(1, layout=["SG", "XS"], slip=0.4)
    assert simulation.mdp.start.tolist() == [0.5, 0, 0, 0.5]
    assert simulation.mdp.terminal.tolist() == [False, True, True, False]
    # From the upper left: right is the goal, down the pit, up and left stay.
    assert simulation.mdp.transition[0, RIGHT] == pytest.approx([0.2, 0.7, 0.1, 0])
    assert simulation.mdp.expected_reward[0, RIGHT] == pytest.approx(0.7)
    assert open_grid(1).mdp.start == pytest.approx(np.full(36, 1 / 36))
    for wrong in ({"layout": ["S?"]}, {"slip": 1.5}):
        with pytest.raises(ValueError, match=r"Unknown characters|probability"):
            open_grid(1, **wrong)
