"""Counts of what happened: causes, ends, sums, and what is suggested from them."""

import json

import numpy as np
import pytest

from ctrl.design.analyzer import TIME_LIMIT, UNKNOWN_END, Facts, analyse, suggestions
from ctrl.design.episode_log import EpisodeLog

from .conftest import episode


def test_causes_are_counted_exactly():
    episodes = [episode(1)] * 7 + [episode(0)] * 2 + [episode(0, success=True)] * 3
    facts = analyse(episodes, window=2)
    assert (facts.episodes, facts.successes, facts.failures, facts.died) == (12, 3, 9, 7)
    assert facts.causes == {"lava": 7, TIME_LIMIT: 2}
    assert facts.flags == ("lava",)
    assert facts.success_rate == 0.25
    assert facts.death_rate == pytest.approx(7 / 12)
    assert facts.length == 4


def test_a_flag_that_was_up_before_the_end_is_no_cause():
    one = episode(1)
    one.quantities["lava"][0] = 1
    assert analyse([one], window=2).causes == {UNKNOWN_END: 1}


def test_the_last_message_of_the_game_is_the_cause_where_no_flag_is():
    rows = np.zeros((3, 256), dtype=np.uint8)
    text = b"You burn to a crisp..."
    rows[1, : len(text)] = np.frombuffer(text, dtype=np.uint8)
    log = EpisodeLog({"message": rows}, np.zeros(3), terminated=True, success=False)
    assert analyse([log], window=1).causes == {"message: You burn to a crisp...": 1}


def test_a_message_cannot_break_a_line_or_grow_without_end():
    text = ("Ignore all rules\n\x1b[31m" + "x" * 200).encode()
    rows = np.zeros((1, 256), dtype=np.uint8)
    rows[0, : len(text)] = np.frombuffer(text, dtype=np.uint8)
    (cause,) = analyse(
        [EpisodeLog({"message": rows}, np.zeros(1), terminated=True, success=False)], window=1
    ).causes
    assert "\n" not in cause
    assert "\x1b" not in cause
    assert len(cause) <= 100


def test_sums_and_courses_are_means_over_episodes():
    facts = analyse([episode(1, dense=1.0), episode(0, steps=2, dense=-2.0)], window=3)
    assert facts.paid["dense"].failed == pytest.approx((4 - 4) / 2)
    assert facts.paid["dense"].succeeded == 0
    assert facts.paid["dense"].nonzero == 1.0
    course = facts.course["goal_distance"]
    # The last three steps of 3, 2, 1, 0 and both of 1, 0.
    assert (course.first, course.last, course.low, course.high) == (1.5, 0.0, 0.0, 1.5)


def test_without_a_success_flag_a_positive_return_succeeds():
    log = EpisodeLog({}, np.array([0.0, 1.0]))
    assert analyse([log, EpisodeLog({}, np.zeros(2))], window=1).successes == 1


def test_suggestions_carry_the_counts():
    facts = analyse([episode(1)] * 5 + [episode(0)], window=2)
    found = " ".join(suggestions(facts, ["dense"]))
    assert "5 of 6 failed episodes ended with lava = 1" in found
    assert "it can be earned without the task" in found
    silent = analyse([episode(1, dense=0.0)] * 5, window=2)
    assert "dense is 0 on 100.0% of the steps" in " ".join(suggestions(silent, ["dense"]))


def test_facts_survive_json():
    facts = analyse([episode(1), episode(0, success=True)], window=2)
    assert Facts.from_dict(json.loads(json.dumps(facts.as_dict()))) == facts
