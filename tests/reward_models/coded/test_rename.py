import pytest

from reward_models.coded.rename import RenameTable
from reward_models.errors import UserError

TABLE = {"hopper.top": "SIM_TOP", "hopper.top_joint": "SIM_JOINT"}


def test_that_the_longest_name_comes_first():
    table = RenameTable(TABLE)
    assert table.apply("hopper.top_joint.angle") == "SIM_JOINT.angle"
    assert table.undo("SIM_JOINT.angle") == "hopper.top_joint.angle"


def test_that_a_round_trip_restores_the_text():
    table = RenameTable(TABLE)
    text = "angle = hopper.top_joint.angle - hopper.top\nhopper.topple()"
    assert table.undo(table.apply(text)) == text


def test_that_targets_that_would_damage_other_names_are_refused():
    with pytest.raises(UserError, match="'a' is part of 'angle'"):
        RenameTable({"hopper.top": "a"}, known=("angle",))
    with pytest.raises(UserError, match="'SIM' is part of"):
        RenameTable({"x": "SIM", "y": "SIM_TOP"})
    with pytest.raises(UserError, match="one target"):
        RenameTable({"x": "SIM", "y": "SIM"})
    with pytest.raises(UserError, match="empty"):
        RenameTable({"x": ""})


def test_that_a_text_with_a_target_in_it_is_refused():
    with pytest.raises(UserError, match="'a'"):
        RenameTable({"hopper.top": "a"}).apply("hopper.top.angle")
