import numpy as np
import pytest
from rlgym.rocket_league.action_parsers import LookupTableAction

from envs.rocket_league.actions import (
    ACTION_NAMES,
    ACTION_TABLE,
    CONTROL_NAMES,
    IDLE,
    action_space,
    to_controls,
)


def test_that_the_table_is_the_one_rlgym_users_know():
    assert np.array_equal(ACTION_TABLE, LookupTableAction.make_lookup_table())


def test_that_names_are_unique_and_say_what_is_held():
    assert len(set(ACTION_NAMES)) == len(ACTION_TABLE) == 90
    assert not ACTION_TABLE[IDLE].any()
    row = ACTION_TABLE[ACTION_NAMES.index("throttle+-steer+boost")]
    held = {n: v for n, v in zip(CONTROL_NAMES, row.tolist(), strict=True) if v}
    assert held == {"throttle": 1, "steer": -1, "yaw": -1, "boost": 1}


def test_that_continuous_actions_are_clipped_and_buttons_pressed_above_zero():
    controls = to_controls(np.array([[2.0, -3, 0.5, 0, 0, 0.1, 0, -0.1]]), "continuous")
    assert controls.tolist() == [[1, -1, 0.5, 0, 0, 1, 0, 0]]


def test_the_spaces():
    assert action_space("discrete").n == 90
    assert action_space("continuous").shape == (8,)
    with pytest.raises(ValueError, match="'discrete' or 'continuous'"):
        action_space("keyboard")
