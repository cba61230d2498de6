"""BabyAI in words."""

import numpy as np
import pytest

pytest.importorskip("minigrid")
import gymnasium

from envs.text.babyai import COMMANDS, describe


def test_that_the_bot_solves_the_known_level_in_two_steps(make, play):
    env = make("BabyAI-GoToLocal-v0")
    turns = play(env, task=1)
    assert len(turns) == 3
    assert turns[-1].reward == pytest.approx(0.971875)
    assert turns[-1].info["won"]
    assert turns[0].text.split("\n")[0] == "Mission: go to the purple box."
    assert "You see a purple box 1 step forward and 1 step left." in turns[0].text


@pytest.mark.parametrize("name", ["GoToObj", "OpenDoor", "PickupLoc", "PutNextLocal"])
def test_that_the_bot_solves_levels(make, play, name):
    env = make(f"BabyAI-{name}-v0")
    for task in range(8):
        turns = play(env, task=task)
        assert turns[-1].info["won"], task
        assert 0.1 < turns[-1].reward <= 1.0
        assert all(turn.reward == 0.0 for turn in turns[:-1])


def test_that_the_bot_follows_what_others_do(make):
    env = make("BabyAI-PickupLoc-v0")
    random = np.random.default_rng(0)
    won = 0
    for task in range(8):
        turn = env.reset(task=task)
        while not (turn.terminated or turn.truncated):
            advice = env.expert()
            assert env.expert() == advice  # asking changes nothing
            turn = env.step(COMMANDS[random.integers(3)] if random.random() < 0.3 else advice)
        won += turn.info["won"]
    assert won == 8


def test_that_records_are_those_of_minigrid(make):
    env, own = make("BabyAI-GoToLocal-v0"), gymnasium.make("BabyAI-GoToLocal-v0")
    turn, (observation, _) = env.reset(task=3), own.reset(seed=3)
    random = np.random.default_rng(0)
    for _ in range(30):
        assert env.observation_space.contains(turn.observation)
        assert np.array_equal(turn.observation["image"], observation["image"])
        assert turn.observation["direction"] == observation["direction"]
        assert turn.info["state"]["x"] == own.unwrapped.agent_pos[0]
        action = int(random.integers(6))
        turn = env.step(COMMANDS[action])
        observation, reward, terminated, truncated, _ = own.step(action)
        assert (turn.action, turn.reward, turn.terminated, turn.truncated) == (
            action, reward, terminated, truncated,
        )  # fmt: skip
        if terminated or truncated:
            break
    own.close()


def test_that_the_level_has_its_limit(make):
    env = make("BabyAI-GoToLocal-v0")
    env.reset(task=1)
    for _ in range(64):
        turn = env.step("turn left")
    assert (turn.terminated, turn.truncated, turn.info["lost"]) == (False, True, False)


def test_that_an_unknown_command_moves_nothing(make):
    env = make("BabyAI-GoToLocal-v0", max_turns=2)
    first = env.reset(task=1)
    turn = env.step("fly")
    assert turn.text.startswith("Unknown command.\nYou see")
    assert not turn.info["valid_command"]
    assert np.array_equal(first.observation["image"], turn.observation["image"])
    assert env.step("fly").truncated


@pytest.mark.parametrize("command", ["left", "Turn Left", " turn  left "])
def test_that_commands_have_other_names(make, command):
    env = make("BabyAI-GoToLocal-v0")
    env.reset(task=1)
    assert env.step(command).action == 0


def test_that_the_view_is_read_from_the_agent():
    image = np.ones((7, 7, 3), np.uint8)
    image[:, :, 1:] = 0
    image[3, 6] = (5, 4, 0)  # the agent's own square: carried
    image[2, 4] = (6, 0, 0)
    image[5, 6] = (7, 3, 0)
    image[3, 1] = (4, 5, 2)
    image[3, 0] = (2, 5, 0)
    assert describe(image) == [
        "You see a purple box 2 steps right.",
        "You see a red ball 2 steps forward and 1 step left.",
        "You see a locked grey door 5 steps forward.",
        "You carry a yellow key.",
        "You see a wall 6 steps forward.",
    ]


def test_that_nothing_is_printed_and_unknown_levels_are_named(make, capfd):
    env = make("BabyAI-PutNextLocal-v0")
    for task in range(5):
        env.reset(task=task)
    assert capfd.readouterr() == ("", "")
    with pytest.raises(ValueError, match="no level 'BabyAI-Nothing-v0'"):
        make("BabyAI-Nothing-v0")


def test_that_a_snapshot_continues_exactly(make):
    env, other = make("BabyAI-PickupLoc-v0"), make("BabyAI-PickupLoc-v0")
    env.reset(task=2)
    for command in ("left", "forward", "fly"):
        env.step(command)
    other.restore(env.snapshot())
    for command in ("forward", "right", "forward"):
        assert env.step(command).text == other.step(command).text
