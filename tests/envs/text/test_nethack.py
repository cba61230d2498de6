"""NetHack in words: the same records as the environment for networks."""

import numpy as np
import pytest

pytest.importorskip("nle")
pytest.importorskip("minihack")

import envs
from envs.nethack.environment import OBSERVATION_KEYS
from envs.text.nethack_paths import towards_stairs

ROOM = "MiniHack-Room-Random-5x5-v0"
STREET = """MAZE:"mylevel",' '
FLAGS:noteleport
GEOMETRY:center,center
MAP
|------|
|......|
|------|
ENDMAP
REGION:(0,0,7,2),lit,"ordinary"
BRANCH:(1,1,1,1),(0,0,0,0)
OBJECT:('%',"apple"),(2,1)
DOOR:closed,(5,1)
STAIR:(6,1),down
"""


def _same(left, right):
    assert set(left) == set(right)
    for key in left:
        assert np.array_equal(left[key], right[key]), key


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (ROOM, {"text": True}),
        (ROOM, {}),  # in a room without items naming the screen changes nothing
        ("MiniHack-Room-Ultimate-5x5-v0", {"text": True}),
        ("MiniHack-Corridor-R2-v0", {"text": True}),
        ("NetHackScore-v0", {"text": True}),
    ],
)
def test_that_equal_actions_leave_equal_records(make, name, options):
    glyphs, text = envs.make(name, **options), make(name)
    assert text.observation_space == glyphs.observation_space
    assert text.action_space == glyphs.action_space
    assert text.info_keys == glyphs.unwrapped.info_keys
    random = np.random.default_rng(0)
    for seed in range(3):
        observation, info = glyphs.reset(seed=seed)
        turn = text.reset(seed=seed)
        _same(observation, turn.observation)
        _same(info, turn.info["state"])
        for _ in range(150):
            action = int(random.integers(text.action_space.n))
            if info["prompt"]:
                action = text.action_names.index("N")
            observation, reward, terminated, truncated, info = glyphs.step(action)
            turn = text.step(turn.admissible[action])
            assert turn.info["valid_command"]
            assert turn.action == action
            assert text.action_space.contains(turn.action)
            assert (turn.reward, turn.terminated, turn.truncated) == (
                reward, terminated, truncated,
            )  # fmt: skip
            _same(observation, turn.observation)
            _same(info, turn.info["state"])
            if terminated or truncated:
                break
    glyphs.close()


def test_that_the_limit_truncates_in_both_forms(make):
    for options in ({}, {"step_limit": 100, "max_turns": 200}):
        env = make("MiniHack-Room-5x5-v0", **options)
        env.reset(seed=0)
        for _ in range(100):
            turn = env.step("northwest")
        assert turn.info["turn"] == 100
        assert (turn.terminated, turn.truncated) == (False, True)
        assert not turn.info["lost"]
        assert turn.info["state"]["end_status"] == (-1 if options else 0)


def test_that_the_expert_solves_rooms(make, play):
    env = make(ROOM)
    for task in range(20):
        turns = play(env, task=task)
        assert turns[-1].info["won"]
        assert turns[-1].terminated
        assert turns[-1].info["progress"] == 1.0
        assert turns[-1].reward == 1.0
        assert turns[-1].observation["blstats"].any()  # nle returns a blank screen here
        x, y = (turns[0].info["state"][key] for key in "xy")
        goal = turns[-1].info["state"]
        assert len(turns) - 1 == max(abs(goal["x"] - x), abs(goal["y"] - y))


def test_that_the_text_says_what_is_to_be_done_and_seen(make):
    env = make("MiniHack-Room-5x5-v0", show_admissible=True)
    first = env.reset(task=0)
    lines = first.text.split("\n")
    assert lines[0] == "Task: reach the stairs down in a room."
    assert "You see: near southeast staircase down." in lines
    assert lines[-2] == "HP 12/12, turn 1."
    assert lines[-1].startswith("Commands: north; east; south; west; northeast;")
    later = env.step("southeast")
    assert "Task:" not in later.text
    assert "You see: adjacent northwest staircase up; very near southeast staircase down." in (
        later.text
    )


@pytest.mark.parametrize("inventory", ["new", "all", "none"])
def test_what_is_shown_of_the_inventory(make, inventory):
    options = {"des_file": STREET, "actions": ["E", "W", "PICKUP", "OPEN"]}
    env = make("MiniHack-Skill-Custom-v0", inventory=inventory, **options)
    assert ("(being worn)" in env.reset(task=0).text) == (inventory == "all")
    env.step("east")
    turn = env.step("pick up")
    assert turn.info["valid_command"]
    assert ("You carry" in turn.text) == (inventory != "none")
    assert ("an apple" in turn.text.partition("You carry")[2]) == (inventory != "none")


def test_that_a_question_is_answered_by_the_next_command(make):
    options = {"des_file": STREET, "actions": ["E", "W", "OPEN"]}
    env = make("MiniHack-Skill-Custom-v0", **options)
    env.reset(task=0)
    for _ in range(3):
        env.step("east")
    turn = env.step("open")
    assert "In what direction?" in turn.text
    assert turn.info["state"]["prompt"] == 1
    assert env.expert() is None
    turn = env.step("east")
    assert "The door opens." in turn.text
    assert turn.action == 0


def test_that_several_keys_can_be_one_turn(make):
    options = {"des_file": STREET, "actions": ["E", "W", "OPEN"]}
    env = make("MiniHack-Skill-Custom-v0", keys_per_command=3, **options)
    env.reset(task=0)
    for _ in range(3):
        env.step("east")
    turn = env.step("open east")
    assert "The door opens." in turn.text
    assert turn.action.tolist() == [2, 0, -1]
    assert env.action_space.contains(turn.action)
    single = make("MiniHack-Skill-Custom-v0", **options)
    single.reset(task=0)
    turn = single.step("open east")
    assert not turn.info["valid_command"]
    assert "At most 1 key" in turn.text


def test_that_an_unknown_command_does_nothing_and_costs_a_turn(make):
    env = make(ROOM, max_turns=3)
    first = env.reset(task=0)
    for command in ("fly", "", "pick up"):
        turn = env.step(command)
        assert not turn.info["valid_command"]
        assert turn.reward == 0.0
        assert turn.text.startswith("Unknown command.\nYou see:")
        _same(first.observation, turn.observation)
    assert turn.truncated


def test_that_another_action_can_stand_in_for_unknown_commands(make):
    env = make("NetHackScore-v0", on_invalid="SEARCH")
    env.reset(task=0)
    turn = env.step("fly")
    assert not turn.info["valid_command"]
    assert turn.info["state"]["turns_passed"] == 1
    assert env.action_names[turn.action] == "SEARCH"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"inventory": "some"}, "inventory must be"),
        ({"keys_per_command": 0}, "keys_per_command must be"),
        ({"on_invalid": "FLY"}, "on_invalid must be one of"),
    ],
)
def test_that_bad_options_are_named(make, options, said):
    with pytest.raises(ValueError, match=said):
        make(ROOM, **options)


def test_that_only_what_was_asked_for_is_observed(make):
    env = make(ROOM)
    assert set(env.reset(task=0).observation) == set(OBSERVATION_KEYS)
    env = make(ROOM, observation_keys=["chars"])
    assert set(env.reset(task=0).observation) == {"chars"}


def test_that_a_snapshot_continues_exactly(make):
    env, other = make("MiniHack-Room-Ultimate-5x5-v0"), make("MiniHack-Room-Ultimate-5x5-v0")
    env.reset(task=5)
    for command in ("north", "east", "east"):
        env.step(command)
    other.restore(env.snapshot())
    for command in ("south", "south", "west"):
        _same(env.step(command).observation, other.step(command).observation)


def _names(*lines):
    kinds = {
        " ": "", ".": "floor of a room", ">": "staircase down", "+": "closed door",
        "|": "open door", "0": "boulder", "@": "human", "#": "wall", "n": "newt",
    }  # fmt: skip
    found = np.zeros((21, 79, 80), np.uint8)
    for y, line in enumerate(lines):
        for x, kind in enumerate(line):
            name = kinds[kind].encode()
            found[y, x, : len(name)] = np.frombuffer(name, np.uint8)
    return found


@pytest.mark.parametrize(
    ("lines", "way"),
    [
        (("@.>",), "east"),
        (("@.", ".>"), "southeast"),
        (("@0>", "..."), "southeast"),
        (("@#>", "##."), None),
        (("@n>",), "east"),
        (("@+>",), None),
        (("@|>",), "east"),
        (("@#", ".|", "#>"), "south"),  # no diagonal step through a door
        (("@####", "....>"), "southeast"),
        (("#####", "@....", "#####"), "east"),  # the end of what is seen
    ],
)
def test_which_way_leads_to_the_stairs(lines, way):
    # A frame of walls, so that nothing unseen lies around the level.
    width = max(map(len, lines))
    framed = ["#" * (width + 2), *(f"#{line:#<{width}}#" for line in lines), "#" * (width + 2)]
    if lines[0] == "#####":
        framed = [line.removesuffix("#") for line in framed]
    y, x = next((y, line.index("@")) for y, line in enumerate(framed) if "@" in line)
    assert towards_stairs(_names(*framed), x, y) == way
