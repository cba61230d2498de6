"""Every event is counted exactly where it happens, on levels that make it happen."""

import numpy as np
import pytest

from envs.nethack.quantities import EVENTS
from envs.nethack.text import decode

EAST, WEST, OPEN = 0, 1, 2


def events(info):
    """Return the events of a step that are not 0."""
    return {name: info[name] for name in EVENTS if info[name]}


def test_that_a_walk_down_the_street_counts_what_happens(street):
    env = street()
    _, info = env.reset(seed=0)
    assert events(info) == {}
    assert info["prompt"] == 0

    *_, info = env.step(EAST)  # onto the gold
    assert events(info) == {"turns_passed": 1, "new_tile": 1, "gold_gained": 10}
    assert info["gold"] == 10
    assert decode(info["message"]) == "$ - 10 gold pieces."

    *_, info = env.step(EAST)  # onto the apple; the newt bites
    assert events(info) == {
        "turns_passed": 1, "new_tile": 1, "items_gained": 1, "hit_points_lost": 2,
    }  # fmt: skip
    assert (info["hit_points"], info["max_hit_points"]) == (10, 12)
    slot = info["inventory_letters"].tolist().index(ord("g"))
    assert decode(info["inventory_strings"][slot]) == "an apple"
    assert info["inventory_glyphs"][slot] < 5976 == info["inventory_glyphs"][slot + 1]

    *_, info = env.step(EAST)
    assert events(info) == {"turns_passed": 1}
    *_, info = env.step(EAST)
    assert decode(info["message"]) == "You kill the newt!"
    assert events(info) == {"turns_passed": 1, "experience_gained": 1}
    *_, info = env.step(EAST)
    assert events(info) == {"turns_passed": 1, "new_tile": 1, "items_gained": 1}

    *_, info = env.step(EAST)
    assert "door" in decode(info["message"])  # walking into it does not open it at this seed
    assert events(info) == {"turns_passed": 1}
    *_, info = env.step(OPEN)  # asks for the direction, and no time passes
    assert (events(info), info["prompt"]) == ({}, 1)
    *_, info = env.step(EAST)
    assert decode(info["message"]) == "The door opens."
    assert events(info) == {"turns_passed": 1, "doors_opened": 1}
    *_, info = env.step(WEST)  # a square it has been on
    assert events(info) == {"turns_passed": 1}


def test_that_the_levels_and_the_depth_reached_count_once(hole):
    hole.reset(seed=0)
    *_, info = hole.step(EAST)
    assert (info["depth"], info["dungeon_number"], info["dungeon_level"]) == (2, 0, 2)
    assert (info["new_level"], info["new_depth"], info["new_tile"]) == (1, 1, 1)
    *_, info = hole.step(WEST)
    assert (info["new_level"], info["new_depth"]) == (0, 0)
    _, info = hole.reset(seed=0)
    assert events(info) == {}
    *_, info = hole.step(EAST)
    assert (info["new_level"], info["new_depth"]) == (1, 1)


def test_that_dropping_counts_as_losing_an_item(street):
    # The key of FIRE is f, the letter of an item.
    env = street(actions=["E", "DROP", "FIRE"], allow_all_yn_questions=True)
    _, before = env.reset(seed=0)
    assert ord("f") in before["inventory_letters"]
    *_, asked = env.step(1)
    assert asked["prompt"] == 1
    assert decode(asked["message"]).startswith("What do you want to drop?")
    assert events(asked) == {}
    *_, info = env.step(2)
    assert events(info) == {"turns_passed": 1, "items_lost": 1}
    assert ord("f") not in info["inventory_letters"]


def test_that_sums_of_events_are_the_changes_of_the_status(make):
    env = make("NetHackScore-v0")
    random = np.random.default_rng(3)
    hurt = 0
    for seed in range(2):
        _, first = env.reset(seed=seed)
        totals = dict.fromkeys(EVENTS, 0)
        tiles = {(0, 1, first["x"], first["y"])}
        for _ in range(700):
            *_, terminated, truncated, info = env.step(int(random.integers(1, 17)))
            for name in EVENTS:
                totals[name] += info[name]
            tiles.add((info["dungeon_number"], info["dungeon_level"], info["x"], info["y"]))
            if terminated or truncated:
                break
        change = totals["hit_points_gained"] - totals["hit_points_lost"]
        assert change == info["hit_points"] - first["hit_points"]
        assert totals["turns_passed"] == info["turn"] - first["turn"]
        assert totals["experience_gained"] == info["experience_points"]
        assert totals["new_tile"] == len(tiles) - 1
        assert totals["new_depth"] == info["depth"] - 1
        hurt += totals["hit_points_lost"]
    assert hurt > 0


@pytest.mark.parametrize("key", ["x", "strength", "alignment"])
def test_that_status_is_in_the_order_of_the_engine(make, key):
    env = make("NetHackScore-v0")
    observation, info = env.reset(seed=0)
    index = {"x": 0, "strength": 2, "alignment": 26}[key]
    assert info[key] == observation["blstats"][index]
    assert info["experience_level"] == 1
    assert info["armor_class"] == observation["blstats"][16]
