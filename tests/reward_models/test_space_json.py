import json

import numpy as np
import pytest
from gymnasium import spaces

from reward_models.errors import UserError
from reward_models.space_json import described_space, space_from

SPACES = [
    spaces.Box(-np.inf, np.array([1.0, 2.5]), (2,), np.float64),
    spaces.Box(-1, 1, (3,), np.float32),
    spaces.Box(0, 255, (1, 64, 64), np.uint8),
    spaces.Discrete(5, start=2),
    spaces.MultiDiscrete([3, 4]),
    spaces.MultiBinary(4),
    spaces.Dict({"a": spaces.Discrete(3), "b": spaces.Dict({"c": spaces.Box(0, 1, (2,))})}),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_spaces_come_back_through_text(space):
    text = json.dumps(described_space(space))
    assert space_from(json.loads(text)) == space


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_minari_reads_the_same_words(space):
    serialization = pytest.importorskip("minari.serialization")
    text = json.dumps(described_space(space))
    assert serialization.deserialize_space(text) == space
    assert space_from(json.loads(serialization.serialize_space(space))) == space


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"type": "Text"}, "of the type 'Text'"),
        ({}, "of the type None"),
        ({"type": "Box", "dtype": "float32"}, "description of a Box space is damaged"),
        ({"type": "Discrete", "n": -1}, "description of a Discrete space is damaged"),
        ({"type": "Box", "dtype": "nonsense", "low": 0, "high": 1, "shape": []}, "damaged"),
    ],
)
def test_damaged_descriptions_are_refused(data, message):
    with pytest.raises(UserError, match=message):
        space_from(data)
