"""The text of a state, and commands in words."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.nethack.packages import nethack
from envs.nethack.text import (
    Commands,
    action_names,
    decode,
    direction_word,
    distance_word,
    surroundings,
)

FULL = Commands(nethack.ACTIONS)


@pytest.mark.parametrize(
    ("name", "seed", "line"),
    [
        ("MiniHack-Room-5x5-v0", 0, "near southeast staircase down"),
        ("MiniHack-KeyRoom-S5-v0", 42, "very near southwest a key"),
        ("MiniHack-Corridor-R2-v0", 14, "very near northeast doorway"),
    ],
)
def test_that_known_levels_read_as_they_should(make, name, seed, line):
    env = make(name, text=True)
    env.reset(seed=seed)
    assert line in env.unwrapped.text().split("\n")


def test_that_the_text_is_that_of_the_state(street):
    env = street(text=True)
    env.reset(seed=0)
    lines = env.unwrapped.text().split("\n")
    seen = lines[lines.index("You see:") + 1 : lines.index("You carry:")]
    assert seen == [
        "adjacent east 10 gold pieces",
        "very near east an apple",
        "very near east newt",
        "near east closed door",
    ]
    assert lines[-1] == (
        "Hit points 12 of 12, armor class 7, experience level 1, gold 0, depth 1, turn 1."
    )
    for _ in range(2):
        env.step(0)
    text = env.unwrapped.text()
    assert text.startswith("g - an apple. The newt bites!\nYou see:\nadjacent east newt\n")
    assert "\ng: an apple\n" in text
    assert "Hit points 10 of 12" in text
    env.reset(seed=0)
    assert env.unwrapped.text().split("\n") == lines


def test_that_the_text_at_the_end_is_that_of_the_last_true_state(deadly, make):
    env = deadly(text=True)
    env.reset(seed=0)
    terminated = False
    while not terminated:
        _, _, terminated, _, _ = env.step(0)
    assert env.unwrapped.text().startswith("You die...\nYou see:\nadjacent east minotaur\n")
    env.reset(seed=0)
    assert not env.unwrapped.text().startswith("You die")
    room = make("MiniHack-Room-5x5-v0", text=True)
    room.reset(seed=0)
    for _ in range(4):
        room.step(5)
    assert "northwest staircase up" in room.unwrapped.text()


def test_that_text_has_to_be_asked_for(make):
    env = make("MiniHack-Room-5x5-v0")
    env.reset(seed=0)
    with pytest.raises(RuntimeError, match="text=True"):
        env.unwrapped.text()
    with pytest.raises(RuntimeError, match="before the first reset"):
        make("MiniHack-Room-5x5-v0", text=True).unwrapped.text()


def test_that_glyphs_and_words_of_the_same_actions_get_the_same_rewards(make):
    """One reward function, once fed by an agent of numbers and once by an agent of words."""

    def reward_of(info):
        return info["new_tile"] - 0.1 * info["hit_points_lost"] + info["gold_gained"]

    name = "MiniHack-KeyRoom-S5-v0"
    glyphs, words = make(name, text=True), make(name, text=True)
    names = glyphs.unwrapped.action_names
    spoken = {"N": "north", "SE": "southeast", "PICKUP": "pick up", "APPLY": "apply"}
    for seed in range(3):
        glyphs.reset(seed=seed)
        words.reset(seed=seed)
        for action in np.random.default_rng(seed).integers(len(names), size=150).tolist():
            _, task, *ends, info = glyphs.step(action)
            (typed,) = words.unwrapped.parse(spoken.get(names[action], names[action]))
            _, task_in_words, *ends_in_words, info_in_words = words.step(typed)
            assert words.unwrapped.text() == glyphs.unwrapped.text()
            assert (task, ends) == (task_in_words, ends_in_words)
            assert reward_of(info) == reward_of(info_in_words)
            if any(ends):
                break


def test_that_a_command_with_answers_is_carried_out(street):
    env = street(text=True)
    env.reset(seed=0)
    opened = 0
    for command in [*["east"] * 6, *["open east"] * 5]:
        for action in env.unwrapped.parse(command):
            *_, info = env.step(action)
            opened += info["doors_opened"]
        if opened:
            break
    assert opened == 1
    assert "adjacent east open door" in env.unwrapped.text().split("\n")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("north", ["N"]),
        ("n", ["N"]),
        ("NE", ["NE"]),
        ("far west", ["FAR_W"]),
        ("run southeast", ["FAR_SE"]),
        ("pick up", ["PICKUP"]),
        ("PICKUP", ["PICKUP"]),
        ("take", ["PICKUP"]),
        ("put_on", ["PUTON"]),
        ("take off all", ["TAKEOFFALL"]),
        ("descend", ["DOWN"]),
        ("go up", ["UP"]),
        ("kick north", ["KICK", "N"]),
        ("open sw", ["OPEN", "SW"]),
        ("apply f west", ["APPLY", "FIRE", "W"]),
        ("eat n", ["EAT", "SE"]),  # the key n, which is also the one of southeast
        ("pray yes", ["PRAY", "NW"]),
        ("eat e no", ["EAT", "EAT", "SE"]),
        ("force self", ["FORCE", "WAIT"]),
    ],
)
def test_what_commands_type(command, expected):
    assert [FULL.names[index] for index in FULL.parse(command)] == expected


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "empty"),
        ("nroth", "Did you mean 'north'"),
        ("open sideways", "answers no question"),
    ],
)
def test_that_unknown_words_are_named(command, message):
    with pytest.raises(ValueError, match=message):
        FULL.parse(command)


def test_that_an_answer_no_action_can_type_is_named():
    commands = Commands([nethack.CompassDirection.N, nethack.Command.APPLY])
    with pytest.raises(ValueError, match="needs the key 'f'"):
        commands.parse("apply f")


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=200))
def test_that_any_text_is_a_command_or_a_value_error(text):
    try:
        actions = FULL.parse(text)
    except ValueError:
        return
    assert actions
    assert all(0 <= action < len(FULL.names) for action in actions)


def test_that_action_names_are_unique():
    names = action_names(nethack.ACTIONS)
    assert len(set(names)) == len(names) == 121


def test_words_for_distances_and_directions():
    words = [distance_word(n) for n in (1, 2, 3, 4, 6, 7, 70)]
    assert words == ["adjacent", "very near", "very near", "near", "near", "far", "far"]
    offsets = [(0, -1), (1, 1), (2, 1), (3, 1), (-1, 2), (-1, 3), (-5, 0)]
    assert [direction_word(*offset) for offset in offsets] == [
        "north", "southeast", "southeast", "east", "southwest", "south", "west",
    ]  # fmt: skip


def test_that_the_nearest_of_a_name_is_kept_and_plain_squares_are_left_out():
    screen = np.zeros((21, 79, 80), np.uint8)

    def put(x, y, name):
        screen[y, x, : len(name)] = list(name.encode("latin-1"))

    put(10, 10, "hero")
    put(13, 10, "fountain")
    put(8, 10, "fountain")
    put(10, 0, "altar")
    put(11, 11, "floor of a room")
    put(9, 9, "wall")
    assert surroundings(screen, 10, 10) == ["very near west fountain", "far north altar"]


def test_that_bytes_beyond_ascii_are_read():
    assert decode(np.array([99, 97, 102, 233, 0, 120], np.uint8)) == "café"
