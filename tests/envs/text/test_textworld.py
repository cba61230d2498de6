"""TextWorld: games, their cache, and turns of text."""

import numpy as np
import pytest

pytest.importorskip("textworld")

from envs.text import make_text
from envs.text.textworld_cache import GameDescription, cache_folder, game_file, make_games

SMALL = "TextWorld-W2-O3-Q4-v0"
WALKTHROUGH = [
    "go north", "take American style passkey", "go south",
    "lock American style safe with American style passkey",
]  # fmt: skip


@pytest.fixture(scope="module")
def small(games):
    env = make_text(SMALL, folder=games)
    yield env
    env.close()


def test_that_the_known_game_is_won_in_four_turns(small, play):
    turns = play(small, WALKTHROUGH, task=50001)
    assert [turn.reward for turn in turns] == [0.0, 0.0, 0.0, 0.0, 1.0]
    assert [turn.info["state"]["intermediate_reward"] for turn in turns] == [0, 1, 1, 1, 1]
    assert [turn.info["progress"] for turn in turns] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert turns[-1].terminated
    assert turns[-1].info["won"]
    assert turns[-1].info["max_score"] == 1.0
    assert small.expert() is None


def test_that_the_expert_follows_the_walkthrough(small, play):
    commands = []
    turn = small.reset(task=50001)
    while not turn.terminated:
        commands.append(small.expert())
        assert commands[-1] in turn.admissible
        turn = small.step(commands[-1])
    assert commands == WALKTHROUGH


def test_that_two_makes_give_the_same_game(make, tmp_path):
    one, other = make(SMALL), make(SMALL, folder=str(tmp_path))
    first, second = one.reset(task=50001), other.reset(task=50001)
    assert first.text == second.text
    assert first.admissible == second.admissible
    assert one.expert() == other.expert()


def test_that_looking_for_ever_is_truncated_and_no_loss(make):
    env = make(SMALL, max_turns=20)
    env.reset(task=50001)
    turns = [env.step("look") for _ in range(20)]
    assert [turn.truncated for turn in turns] == [False] * 19 + [True]
    assert not any(turn.terminated or turn.info["won"] or turn.info["lost"] for turn in turns)


def test_that_a_step_back_is_seen(small):
    small.reset(task=50001)
    small.step("go north")
    turn = small.step("go south")
    assert turn.info["state"]["intermediate_reward"] == -1
    assert turn.info["progress"] == 0.0


@pytest.mark.parametrize("command", ["", "\\", "xyzzy", "héé", "\n\n", "x" * 5000, "\x00\x1b["])
def test_that_nonsense_is_an_invalid_turn(small, command, capfd):
    small.reset(task=50001)
    turn = small.step(command)
    assert not turn.info["valid_command"]
    assert (turn.reward, turn.terminated, turn.info["turn"]) == (0.0, False, 1)
    assert small.step("go north").info["valid_command"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "command",
    ["save", "SAVE", "restore", "restart", "quit", "q", "undo", "script", "transcript on",
     "version", "tw-extra-infos moves", "restrict commands", "go north. save", "look then save",
     "look, save", "go north; restart", "superbrief", "yes"],
)  # fmt: skip
def test_that_no_command_reaches_the_interpreter_itself(small, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small.reset(task=50001)
    small.step("go north")
    turn = small.step(command)
    assert not turn.info["valid_command"]
    assert "That's not a verb I recognise." in turn.text
    assert turn.info["state"]["moves"] == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command", ["x safe", "n", "north", "GO NORTH", "l", "i", "look", "go  north"]
)
def test_that_short_forms_are_understood(small, command):
    small.reset(task=50001)
    assert small.step(command).info["valid_command"]


def test_that_texts_have_no_banner_and_no_prompt(make):
    brief, full = make(SMALL), make(SMALL, text="full")
    for env in (brief, full):
        first = env.reset(task=50001)
        assert first.text.startswith("Get ready to pick stuff up")
        assert "-= Playroom =-" in first.text
        assert first.text.endswith("You are carrying nothing.")
        for command in WALKTHROUGH:
            text = env.step(command).text
            assert not any(mark in text for mark in ("\n\n", "$$", ">", "***", "RESTART"))
    brief.reset(task=50001)
    full.reset(task=50001)
    assert brief.step("inventory").text == "You are in the Playroom.\nYou are carrying nothing."
    assert "unblocked exit to the north" in full.step("inventory").text
    state = make(SMALL, text="state")
    first = state.reset(task=50001).text
    assert first.startswith("-= Playroom =-")
    state.step("go north")
    assert state.step("go south").text == first


def test_that_games_in_one_process_do_not_disturb_each_other(make):
    env, other = make(SMALL), make(SMALL)
    env.reset(task=50001)
    other.reset(task=50001)
    for command in WALKTHROUGH:
        turn = env.step(command)
        other.step("look")
    assert turn.info["won"]
    assert other.step("inventory").text.endswith("You are carrying nothing.")


def test_that_a_random_choice_hardly_ever_wins(small):
    # The bar: at most a tenth with 12 turns.
    random = np.random.default_rng(0)
    won = 0
    for _ in range(20):
        turn = small.reset(task=50001)
        while not (turn.terminated or turn.truncated):
            turn = small.step(turn.admissible[random.integers(len(turn.admissible))])
        won += turn.info["won"]
    assert won <= 2


@pytest.mark.parametrize(
    ("rewards", "points"),
    [
        ("dense", [1, 1, 1, 1, 1, 0, 1, 1]),
        pytest.param("balanced", [0, 0, 0, 0, 1, 0, 1, 1], marks=pytest.mark.bar),
        pytest.param("sparse", [0, 0, 0, 0, 0, 0, 0, 1], marks=pytest.mark.bar),
    ],
)
def test_that_the_simple_game_pays_as_known(make, play, rewards, points):
    env = make("TextWorld-Simple-v0", settings={"rewards": rewards})
    turns = play(env, task=50002)
    assert [turn.reward for turn in turns[1:]] == pytest.approx(
        [point / sum(points) for point in points]
    )
    assert turns[-1].info["max_score"] == sum(points)
    assert turns[-1].info["won"]


@pytest.mark.bar
@pytest.mark.parametrize("name", ["Cooking", "CoinCollector", "TreasureHunter", "W4-O6-Q8"])
def test_that_the_expert_wins_the_other_kinds(make, play, name):
    turns = play(make(f"TextWorld-{name}-v0"), task=5)
    assert turns[-1].info["won"]
    assert sum(turn.reward for turn in turns) == pytest.approx(1.0)


def test_that_a_snapshot_continues_exactly(make):
    env, other = make(SMALL), make(SMALL)
    env.reset(task=50001)
    for command in WALKTHROUGH[:2]:
        env.step(command)
    other.restore(env.snapshot())
    for command in WALKTHROUGH[2:]:
        turn, again = env.step(command), other.step(command)
        assert turn.text == again.text
    assert again.info["won"]


def test_that_a_game_is_made_once(games):
    description = GameDescription(rooms=2, objects=3, quest_length=4)
    file = game_file(description, 50001, _path(games))
    made = file.stat().st_mtime_ns
    assert game_file(description, 50001, _path(games)) == file
    assert file.stat().st_mtime_ns == made
    assert sorted(path.name for path in file.parent.iterdir()) == [
        "game.json", "game.ni", "game.z8",
    ]  # fmt: skip
    assert not [path for path in file.parent.parent.iterdir() if path.name.startswith(".")]


def test_that_a_broken_game_is_made_again_in_a_process_of_its_own(tmp_path):
    description = GameDescription(rooms=1, objects=1, quest_length=1)
    broken = tmp_path / description.key(3)
    broken.mkdir()
    (broken / "game.json").write_text("{}")
    files = list(make_games(description, [3], processes=2, folder=tmp_path))
    assert files == [broken / "game.z8"]
    assert files[0].is_file()


def test_that_everything_a_game_depends_on_is_in_its_name():
    keys = [
        GameDescription(**options).key(seed)
        for seed in (1, 2)
        for options in (
            {}, {"rooms": 3}, {"objects": 4}, {"quest_length": 5}, {"kind": "simple"},
            {"kind": "simple", "settings": {"rewards": "sparse"}}, {"kind": "cooking"},
        )
    ]  # fmt: skip
    assert len(set(keys)) == len(keys) == 14
    assert GameDescription(kind="simple", rooms=9).key(1) == GameDescription(kind="simple").key(1)


def test_that_the_cache_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "ctrl" / "textworld"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "ctrl" / "textworld"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "nothing"}, "kind must be one of"),
        ({"rooms": 0}, "rooms must be at least 1"),
        ({"settings": {"level": 3}}, "settings are those of the other kinds"),
        ({"text": "long"}, "text must be"),
    ],
)
def test_that_bad_options_are_named(make, options, said):
    with pytest.raises(ValueError, match=said):
        make("TextWorld-v0", **options)


def test_that_settings_which_a_challenge_does_not_know_are_named(make):
    env = make("TextWorld-Cooking-v0", settings={"recip": 3})
    with pytest.raises(ValueError, match="unrecognized arguments: --recip"):
        env.reset(task=1)


def _path(folder):
    from pathlib import Path

    return Path(folder)


@pytest.mark.bar
@pytest.mark.parametrize("seed", [0, 1])
def test_that_the_game_can_be_learned_from_the_walkthrough(make, seed):
    from experiments.text.tabular_reinforce import learn

    run = learn(make(SMALL, text="state"), "intermediate", seed, 150)
    assert run["success_last_50"] >= 0.9
