"""The reward of the search worlds: only the last position is paid, inside of the areas."""

import numpy as np
import pytest

from envs.worlds import curling
from envs.worlds.final_reward import FinalReward, RewardAreas


def test_the_areas_of_curling_pay_by_distance():
    areas = RewardAreas(curling.AREAS)
    places = np.array([(0.8, 0.6), (0.8, -0.7), (0.8, 0.8), (0.8, 0.4), (0.0, 0.0)])
    reward, area = areas.score(places)
    assert reward == pytest.approx([0.5, 0.5, 1.0, 0.0, 0.0], abs=1e-12)
    assert area.tolist() == [0, 1, 0, 0, -1]  # the rim belongs to the area and pays nothing


def test_positions_beyond_the_rim_pay_nothing():
    angle = np.linspace(0.0, 2.0 * np.pi, 100)
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for factor, hit in ((0.999, True), (1.0, True), (1.001, False)):
        reward, area = RewardAreas([(3.0, -2.0, 0.5)]).score((3.0, -2.0) + 0.5 * factor * around)
        assert ((area == 0) == hit).all()
        assert reward == pytest.approx(np.full(100, max(1.0 - factor, 0.0)), abs=1e-12)


def test_overlapping_areas_pay_the_better_one():
    reward, area = RewardAreas([(0.0, 0.0, 1.0), (0.5, 0.0, 1.0)]).score(np.array([[0.4, 0.0]]))
    assert (reward[0], area[0]) == (pytest.approx(0.9), 1)


def test_a_world_without_areas_pays_nothing():
    reward, area = RewardAreas([]).score(np.zeros((3, 2)))
    assert reward.tolist() == [0.0] * 3
    assert area.tolist() == [-1] * 3


def test_only_the_last_step_is_paid():
    goal = FinalReward(2, [(0.0, 0.0, 1.0)], horizon=3)
    inside = np.array([[0.0, 0.25], [2.0, 0.0]])
    seen = [goal.step(inside) for _ in range(3)]
    assert [reward.tolist() for reward, _, _ in seen] == [[0.0, 0.0], [0.0, 0.0], [0.75, 0.0]]
    assert [ended.tolist() for _, ended, _ in seen] == [[False] * 2, [False] * 2, [True] * 2]
    assert [info["is_success"].tolist() for _, _, info in seen][-1] == [True, False]
    assert not seen[0][2]["is_success"].any()
    assert seen[0][2]["area"].tolist() == [0, -1]


def test_columns_count_their_own_steps():
    goal = FinalReward(2, [], horizon=3)
    goal.step(np.zeros((2, 2)))
    goal.reset(np.array([1]))
    ended = [goal.step(np.zeros((2, 2)))[1].tolist() for _ in range(3)]
    assert ended == [[False, False], [True, False], [True, True]]


@pytest.mark.parametrize(
    "areas", [[(0.0, 0.0)], [(0.0, 0.0, 0.0)], [(0.0, np.nan, 1.0)], [(1.0,) * 4]]
)
def test_areas_that_are_none_are_refused(areas):
    with pytest.raises(ValueError, match="areas"):
        RewardAreas(areas)


@pytest.mark.parametrize("horizon", [0, -1])
def test_an_episode_has_at_least_one_step(horizon):
    with pytest.raises(ValueError, match="horizon"):
        FinalReward(1, [], horizon)
