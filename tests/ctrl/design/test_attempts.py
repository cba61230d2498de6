"""Selection among samples and the memory of a design."""

import pytest

from ctrl.design.attempts import (
    FAILED,
    Attempt,
    Selection,
    best_attempt,
    read_history,
    select,
    write_history,
)
from reward_models.errors import UserError

from .conftest import episode


def test_the_first_of_the_best_samples_is_selected():
    assert select([FAILED, 0.2, 0.7, 0.7]) == Selection(2, 0.75)


def test_a_round_in_which_all_failed_selects_none():
    assert select([FAILED] * 4) == Selection(None, 0.0)


def test_a_negative_score_was_executed():
    assert select([FAILED, -3.0]) == Selection(1, 0.5)


def test_a_history_is_read_as_it_was_written(tmp_path, attempt_of):
    history = [
        attempt_of("text \u2028 with\nlines", "def f(): pass\n", 0.5, [episode(1)]),
        Attempt(2, 1, (), "", None, "it failed"),
    ]
    write_history(tmp_path / "history.jsonl", history)
    assert read_history(tmp_path / "history.jsonl") == history
    assert best_attempt(history) is history[0]
    assert history[1].score == FAILED


def test_a_damaged_history_is_refused(tmp_path):
    (tmp_path / "history.jsonl").write_text('{"round": 1}\n')
    with pytest.raises(UserError, match="no history of a design"):
        read_history(tmp_path / "history.jsonl")
