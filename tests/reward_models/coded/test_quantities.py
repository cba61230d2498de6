import json

import numpy as np
import pytest
from gymnasium import spaces

from reward_models.coded.quantities import ProgramInputs, Quantity
from reward_models.errors import UnknownNameError, UserError


def test_that_spaces_and_examples_become_quantities():
    inputs = ProgramInputs.from_spaces(
        spaces.Dict({"view": spaces.Dict({"map": spaces.Box(0, 9, (2, 3), np.uint8)})}),
        spaces.Box(-1, 1, (4,)),
        state={"speed": 0.5, "hull": spaces.Box(0, 1, (2,)), "message": "hello"},
        meanings={"speed": "of the car"},
        units={"speed": "m/s"},
        max_steps=10,
    )
    assert inputs.identifiers == ("view_map", "speed", "hull", "message")
    assert inputs["view_map"] == Quantity("observation.view.map", "uint8", (2, 3))
    assert inputs["speed"] == Quantity("state.speed", "float64", (), "m/s", "of the car")
    assert inputs["hull"].shape == (2,)
    assert inputs["message"].is_text
    assert inputs.action_shape == (4,)
    with pytest.raises(UnknownNameError, match="'speed'"):
        inputs["sped"]


def test_that_json_gives_back_the_inputs(inputs):
    assert ProgramInputs.from_json(json.loads(json.dumps(inputs.to_json()))) == inputs
    with pytest.raises(UserError):
        ProgramInputs.from_json({"task": ""})


@pytest.mark.parametrize(
    "name", ["reward", "state", "success.x", "state.a b", "state._x", "state.if"]
)
def test_that_unusable_names_are_refused(name):
    with pytest.raises(UserError):
        Quantity(name, "float32")


@pytest.mark.parametrize(
    "names", [("state.a.b", "state.a_b"), ("state.action",), ("state.prev_x",)]
)
def test_that_names_that_hide_something_are_refused(names):
    with pytest.raises(UserError):
        ProgramInputs("", tuple(Quantity(name, "float32") for name in names))


def test_that_action_names_must_fit():
    box, discrete = spaces.Box(-1, 1, (2,)), spaces.Discrete(2)
    with pytest.raises(UserError, match="3 action names for 2"):
        ProgramInputs.from_spaces(box, discrete, actions=("a", "b", "c"))
    with pytest.raises(UserError, match="no discrete"):
        ProgramInputs.from_spaces(box, box, actions=("a", "b"))
    with pytest.raises(UserError, match="Tuple"):
        ProgramInputs.from_spaces(spaces.Tuple([box]), discrete)
