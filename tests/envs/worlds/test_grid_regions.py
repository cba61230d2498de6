"""The unit square: parts of a move, regions, walls and random actions."""

import numpy as np
import pytest
from scipy.stats import binomtest

import envs
from envs.worlds.grid_regions import GridRegions

UP, DOWN, LEFT, RIGHT = range(4)


def run(actions, **options):
    env = envs.make("GridRegions-v0", random_action=0.0, **options)
    env.reset(seed=0)
    steps = []
    for action in actions:
        steps.append(env.step(action))
        if steps[-1][2] or steps[-1][3]:
            break
    return steps


def test_that_moves_are_straight_and_walls_stop_them():
    steps = run([LEFT, LEFT, UP, RIGHT, DOWN])
    found = [step[4]["position"].tolist() for step in steps]
    assert found == [
        pytest.approx(position)
        for position in ([0, 0.1], [0, 0.1], [0, 0.2], [0.1, 0.2], [0.1, 0.1])
    ]
    assert all(step[1] == pytest.approx(-0.1) and not step[2] for step in steps)


def test_that_the_goal_region_ends_the_episode_within_the_move():
    steps = run([RIGHT] * 7 + [UP] * 9)
    assert len(steps) == 14
    last = steps[-1]
    assert last[1] == pytest.approx(99.9)
    assert (last[2], last[4]["goal"], last[4]["is_success"]) == (True, 1, True)
    # 0.7 + one part of 0.02 too far: the move stops in the part that arrives at 0.76.
    assert last[4]["position"] == pytest.approx([0.8, 0.76])


def test_that_the_middle_pays_its_lure_per_part():
    steps = run([UP] * 4 + [RIGHT] * 5)
    assert [step[4]["middle"] for step in steps] == [0, 0, 0, 0, 0, 0, 1, 5, 5]
    assert steps[7][4]["auxiliary_reward_bad"] == 250
    assert steps[7][1] == pytest.approx(-0.1)
    good = steps[7][4]["auxiliary_reward_good"]
    assert good == pytest.approx(-((0.5 - 0.87) ** 2) * 2)


def test_that_every_tenth_action_is_random():
    vector = envs.make_vec("GridRegions-v0", 2000, start=(0.5, 0.3))
    vector.reset(seed=0)
    infos = vector.step(np.full(2000, LEFT))[4]
    moved = infos["position"] - [0.5, 0.3]
    went = [(moved[:, 0] > 0.05), (moved[:, 1] > 0.05), (moved[:, 1] < -0.05)]
    for direction in went:
        assert binomtest(int(direction.sum()), 2000, 0.025).pvalue > 1e-3


@pytest.mark.parametrize(
    "wrong", [{"start": (2.0, 0.0)}, {"step": 0.0}, {"substeps": 0}, {"random_action": 1.5}]
)
def test_that_impossible_options_are_refused(wrong):
    with pytest.raises(ValueError, match="Expected"):
        GridRegions(1, **wrong)
