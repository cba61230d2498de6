"""What every text environment does, on the cheapest one and on one that only listens."""

import copy
import json

import gymnasium
import numpy as np
import pytest

import envs
from envs.text.environment import TextEnvironment, task_numbers
from envs.text.rows import decode_row
from envs.text.turns import INFO_KEYS, Reply


class Echo(TextEnvironment):
    """Repeats every command; "stop" wins, "end" loses, and "cut" reaches a limit of its own."""

    def __init__(self, **options):
        super().__init__(**{"name": "Echo-v0", "max_turns": 5, **options})
        self.heard = []

    def _begin(self, task):
        self.heard = []
        return Reply(text=f"task {task}", admissible=tuple("abcdefgh"))

    def _act(self, command):
        self.heard.append(command)
        return Reply(
            text=f"{len(self.heard)}: {command}",
            admissible=tuple("abcdefgh"),
            terminated=command in ("stop", "end"),
            truncated=command == "cut",
            won=command == "stop",
            valid=command != "",
            progress=2.0 if command == "far" else float("nan") if command == "nan" else 0.5,
        )


def test_that_a_turn_holds_what_it_should():
    env = Echo()
    turn = env.reset(task=3)
    assert (turn.text, turn.action, turn.reward) == ("task 3", None, 0.0)
    assert set(turn.info) == set(INFO_KEYS)
    assert turn.info["turn"] == 0
    turn = env.step(" go\n\tno\\rth \x00")
    assert decode_row(turn.action) == "go no rth"
    assert decode_row(turn.observation["text"]) == turn.text == "1: go no rth"
    assert turn.info["turn"] == turn.info["state"]["turn"] == 1
    assert env.observation_space.contains(turn.observation)
    assert env.action_space.contains(turn.action)


@pytest.mark.parametrize(
    ("command", "terminated", "truncated", "won", "lost"),
    [
        ("stop", True, False, True, False),
        ("end", True, False, False, True),
        ("cut", False, True, False, False),
        ("go", False, False, False, False),
    ],
)
def test_that_ends_are_told_apart(command, terminated, truncated, won, lost):
    env = Echo()
    env.reset()
    turn = env.step(command)
    assert (turn.terminated, turn.truncated) == (terminated, truncated)
    assert (turn.info["won"], turn.info["is_success"], turn.info["lost"]) == (won, won, lost)
    if terminated or truncated:
        with pytest.raises(gymnasium.error.ResetNeeded, match="reset"):
            env.step("go")


def test_that_the_limit_truncates_and_a_success_at_the_limit_does_not():
    env = Echo()
    env.reset()
    assert [env.step("go").truncated for _ in range(5)] == [False] * 4 + [True]
    env.reset()
    last = [env.step(c) for c in ["go"] * 4 + ["stop"]][-1]
    assert last.terminated
    assert not last.truncated


def test_that_an_invalid_command_is_a_turn():
    env = Echo()
    env.reset()
    turn = env.step("")
    assert not turn.info["valid_command"]
    assert turn.info["state"]["valid_command"] == 0
    assert turn.info["turn"] == 1


@pytest.mark.parametrize(("command", "progress"), [("far", 1.0), ("nan", 0.0), ("go", 0.5)])
def test_that_progress_is_a_number_from_0_to_1(command, progress):
    env = Echo()
    env.reset()
    assert env.step(command).info["progress"] == progress


def test_that_long_commands_are_cut_and_other_things_refused():
    env = Echo(command_characters=4)
    env.reset()
    env.step("abcdefgh")
    assert env.heard == ["abcd"]
    with pytest.raises(TypeError):
        env.step(3)


@pytest.mark.parametrize("shown", [0, 3, 8, True])
def test_that_commands_are_shown_as_asked(shown):
    env = Echo(show_admissible=shown)
    turn = env.reset(task=1)
    assert turn.admissible == tuple("abcdefgh")
    count = {0: 0, 3: 3}.get(shown, 8) if shown is not True else 8
    listed = turn.text.partition("Commands: ")[2]
    assert len([c for c in listed.split("; ") if c]) == count
    assert env.reset(task=1).text == turn.text


def test_that_tasks_are_drawn_by_seed():
    env = Echo(tasks="10..19")
    env.reset(seed=4)
    first = [env.reset().info["task_id"] for _ in range(40)]
    env.reset(seed=4)
    assert [env.reset().info["task_id"] for _ in range(40)] == first
    assert set(first) == set(range(10, 20))
    assert env.reset(task=99).info["task_id"] == 99
    free = Echo()
    assert free.reset(seed=4).info["task_id"] == 4
    assert len({free.reset().info["task_id"] for _ in range(20)}) == 20


@pytest.mark.parametrize("tasks", [[], "", "9..3", "1..x", [-1], [3, -1], "5"])
def test_that_senseless_tasks_are_refused(tasks):
    with pytest.raises(ValueError, match="tasks must be at least one number"):
        task_numbers(tasks)


@pytest.mark.parametrize("task", [-1, "x", "", 1j])
def test_that_a_task_is_a_number(task):
    with pytest.raises((ValueError, TypeError)):
        Echo().reset(task=task)


@pytest.mark.parametrize("option", ["max_turns", "text_bytes", "command_characters"])
def test_that_sizes_are_positive(option):
    with pytest.raises(ValueError, match=f"{option} of Echo-v0 must be at least 1, got 0"):
        Echo(**{option: 0})


def test_that_a_snapshot_is_plain_data_and_continues_exactly():
    env = Echo(tasks="10..99", max_turns=9)
    env.reset(seed=1)
    for command in ("one", "two"):
        last = env.step(command)
    saved = json.loads(json.dumps(env.snapshot()))
    kept = copy.deepcopy(saved)
    rest = [env.step("three").text, env.reset().info["task_id"], env.reset().info["task_id"]]
    other = Echo(tasks="10..99", max_turns=9)
    back = other.restore(saved)
    assert back.text == last.text
    assert np.array_equal(back.observation["text"], last.observation["text"])
    assert saved == kept
    assert [
        other.step("three").text, other.reset().info["task_id"], other.reset().info["task_id"]
    ] == rest  # fmt: skip


def test_that_a_snapshot_of_something_else_is_refused():
    env = Echo()
    with pytest.raises(envs.SnapshotError, match="before its first reset"):
        env.snapshot()
    env.reset(task=1)
    env.step("one")
    saved = env.snapshot()
    with pytest.raises(envs.SnapshotError, match="is of Other-v0"):
        env.restore({**saved, "environment": "Other-v0"})
    with pytest.raises(envs.SnapshotError, match="led to another text"):
        env.restore({**saved, "commands": ["two"]})
    with pytest.raises(envs.SnapshotError, match="led to another text"):
        Echo(max_turns=1).restore({**saved, "commands": ["one", "two"], "text": "2: two"})


def test_that_a_closed_environment_says_so():
    env = Echo()
    env.reset()
    env.close()
    env.close()
    with pytest.raises(RuntimeError, match="Echo-v0 is closed"):
        env.reset()
