"""Columns of text environments at their own pace, in this process and in others."""

import os
import signal
from functools import partial

import gymnasium
import numpy as np
import pytest

from envs.text import TextVector, make_text
from envs.text.environment import TextEnvironment
from envs.text.turns import Reply

pytest.importorskip("minigrid")

LEVEL = partial(make_text, "BabyAI-GoToLocal-v0")


@pytest.fixture
def make_vector():
    made = []

    def build(functions, **options):
        made.append(TextVector(functions, **options))
        return made[-1]

    yield build
    for vector in made:
        vector.close()


def _episodes(vector, episodes):
    """Play each column's share of the tasks with the expert; return texts and rewards by task."""
    waiting = list(range(episodes))
    live = vector.reset_many({i: (None, waiting.pop(0)) for i in range(len(vector))})
    told = {}
    while live:
        live = vector.step(vector.expert(live))
        ended = [i for i, turn in live.items() if turn.terminated or turn.truncated]
        for i in ended:
            told[live[i].info["task_id"]] = (live[i].text, live[i].reward, live[i].info["turn"])
            del live[i]
            if waiting:
                live[i] = vector.reset(i, task=waiting.pop(0))
    return told


def test_that_processes_change_nothing(make_vector):
    told = [_episodes(make_vector([LEVEL] * 5, workers=n), 12) for n in (0, 2)]
    assert told[0] == told[1]
    assert sorted(told[0]) == list(range(12))
    assert all(reward > 0 for _, reward, _ in told[0].values())


@pytest.mark.parametrize("workers", [0, 1])
def test_that_columns_which_are_not_named_stand_still(make_vector, workers):
    vector = make_vector([LEVEL] * 3, workers=workers)
    assert len(vector) == 3
    first = vector.reset_many(dict.fromkeys(range(3), (None, 1)))
    assert len({turn.text for turn in first.values()}) == 1  # a group
    moved = vector.step({2: "turn left", 0: "turn right"})
    assert list(moved) == [2, 0]
    assert vector.step({1: "turn left"})[1].text == moved[2].text
    assert vector.observation_space.contains(moved[0].observation)
    assert vector.action_space.contains(moved[0].action)
    saved = vector.snapshot([2])
    assert vector.restore({0: saved[2]})[0].text == moved[2].text


@pytest.mark.parametrize("workers", [0, 1])
def test_that_errors_are_those_of_the_environment_and_leave_nothing_behind(make_vector, workers):
    vector = make_vector([LEVEL] * 2, workers=workers)
    with pytest.raises(gymnasium.error.ResetNeeded):
        vector.step({0: "left"})
    with pytest.raises(ValueError, match="whole number"):
        vector.reset(0, task="x")
    with pytest.raises(IndexError, match="columns 0 to 1, got 2"):
        vector.step({2: "left"})
    assert vector.reset(1, task=1).info["task_id"] == 1
    vector.close()
    with pytest.raises(RuntimeError, match="columns are closed"):
        vector.reset(1)


def test_that_a_dead_process_is_an_error(make_vector):
    vector = make_vector([LEVEL, LEVEL], workers=2)
    vector.reset_many({0: (None, 1), 1: (None, 1)})
    os.kill(vector._holders[1]._process.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match=r"columns \[1\] .* ended with code -9"):
        vector.step({0: "left", 1: "left"})
    assert vector.step({0: "left"})[0].info["turn"] == 2


def test_that_no_process_is_left(make_vector):
    vector = make_vector([LEVEL], workers=1)
    process = vector._holders[0]._process
    vector.close()
    assert process.poll() == 0
    vector = TextVector([LEVEL], workers=1)
    process = vector._holders[0]._process
    del vector
    assert process.poll() is not None


def test_that_what_cannot_work_is_refused(make_vector):
    with pytest.raises(ValueError, match="at least one column"):
        make_vector([])
    with pytest.raises(ValueError, match="no negative number of workers"):
        make_vector([LEVEL], workers=-1)
    with pytest.raises(TypeError, match="must be those of a module"):
        make_vector([lambda: make_text("Addition-v0")], workers=1)
    with pytest.raises(RuntimeError, match="Did you mean 'Addition-v0'"):
        make_vector([partial(make_text, "Additon-v0")], workers=1)
    with pytest.raises(ValueError, match="same spaces"):
        make_vector([LEVEL, partial(make_text, "Addition-v0")])


class Counter(TextEnvironment):
    """Counts how often it was closed."""

    closed = 0

    def __init__(self):
        super().__init__(name="Counter-v0", max_turns=3)

    def _begin(self, task):
        return Reply(text=str(np.int64(task)))

    def _act(self, command):
        return Reply(text=command)

    def close(self):
        super().close()
        type(self).closed += 1


def test_that_environments_are_closed(make_vector):
    make_vector([Counter, Counter]).close()
    assert Counter.closed == 2
