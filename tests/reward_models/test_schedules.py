import math

import numpy as np
import pytest

from reward_models.errors import UnknownNameError, UserError
from reward_models.schedules import Decay, Exponential, Fixed, Linear, as_schedule


def test_fixed():
    assert [as_schedule(0.5).at(steps) for steps in (0, 10**6)] == [0.5, 0.5]


def test_linear_holds_its_end():
    schedule = as_schedule({"linear": [1, 0.2, 100]})
    assert schedule == Linear(1, 0.2, 100)
    found = [schedule.at(steps) for steps in (-5, 0, 25, 50, 100, 10**9)]
    assert found == pytest.approx([1, 1, 0.8, 0.6, 0.2, 0.2])


def test_exponential_halves():
    schedule = as_schedule({"exponential": (4, 10)})
    assert schedule == Exponential(4, 10)
    assert [schedule.at(steps) for steps in (0, 10, 20, 5)] == pytest.approx([4, 2, 1, 4 / 2**0.5])


def test_decay_counts_the_rollouts_before_the_present_one():
    schedule = as_schedule({"decay": [1, 0.01, 1024]})
    assert schedule == Decay(1, 0.01, 1024)
    assert [schedule.at(steps) for steps in (0, 1, 1024)] == [1, 1, 1]
    assert schedule.at(1025) == schedule.at(2048) == pytest.approx(0.99)
    assert schedule.at(11 * 1024) == pytest.approx(0.904382, abs=5e-7)
    assert schedule.at(101 * 1024) == pytest.approx(0.366032, abs=5e-7)
    assert Decay(2.0, 0.0, 10).at(10**9) == 2.0


def test_decay_has_an_exponential_twin():
    decay = Decay(3.0, 0.01, 1024)
    smooth = Exponential(3.0, 1024 * math.log(2) / -math.log(0.99))
    for before in (0, 10, 100):
        assert decay.at((before + 1) * 1024) == pytest.approx(smooth.at(before * 1024))


def test_a_schedule_is_itself():
    schedule = Linear(1.0, 0.0, 10)
    assert as_schedule(schedule) is schedule


@pytest.mark.parametrize("number", [np.float32(0.5), np.int64(2), 3])
def test_any_real_number_is_fixed(number):
    assert as_schedule(number) == Fixed(float(number))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), True, "0.5", None, [1, 2]])
def test_other_weights_are_refused(bad):
    with pytest.raises(UserError, match="finite number or a schedule"):
        as_schedule(bad)


def test_unknown_kind_names_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'linear'"):
        as_schedule({"linaer": [1, 0, 10]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({}, "has one kind"),
        ({"linear": [1, 0, 1], "exponential": [1, 1]}, "has one kind"),
        ({"linear": [1, 0]}, r"'linear' takes \[start, end, steps\]"),
        ({"linear": 3}, "takes"),
        ({"exponential": "12"}, "takes"),
        ({"linear": [1, 0, 0]}, "steps must be positive"),
        ({"decay": [1, 1, 10]}, r"kappa must lie in \[0, 1\), got 1"),
        ({"decay": [1, -0.1, 10]}, "kappa must lie in"),
        ({"decay": [1, 0.1, 0]}, "steps must be positive"),
        ({"exponential": [1, -5]}, "half_life must be positive"),
        ({"linear": [1, float("nan"), 5]}, "finite"),
    ],
)
def test_wrong_texts_are_refused(text, message):
    with pytest.raises(UserError, match=message):
        as_schedule(text)


def test_lengths_are_checked_in_python_too():
    with pytest.raises(UserError, match="steps must be positive"):
        Linear(1.0, 0.0, 0)
    with pytest.raises(UserError, match="half_life must be positive"):
        Exponential(1.0, 0)
