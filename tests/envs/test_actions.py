"""Actions are checked before they reach an engine."""

import numpy as np
import pytest
from gymnasium import spaces

import envs
from envs.actions import check_actions
from envs.errors import ActionError

BOX = spaces.Box(-1.0, 1.0, (3,), np.float32)


def test_that_valid_actions_pass_unchanged():
    for space, actions in [
        (BOX, np.zeros((2, 3), np.float32)),
        (BOX, np.full((2, 3), 7.0)),  # beyond the bounds: engines clip in their own way
        (spaces.Discrete(3), np.array([0, 2])),
        (spaces.Discrete(3, start=5), np.array([5, 7])),
        (spaces.MultiDiscrete([2, 4]), np.array([[1, 3], [0, 0]])),
        (spaces.MultiBinary(2), np.array([[1, 0], [0, 1]])),
        (spaces.Discrete(2), np.array([True, False])),
    ]:
        assert np.array_equal(check_actions(actions, space, 2), actions)
        assert np.array_equal(check_actions(actions.tolist(), space, 2), actions)


@pytest.mark.parametrize(
    ("space", "actions", "message"),
    [
        (BOX, np.zeros(3), r"shape \(2, 3\) .* got \(3,\)"),
        (BOX, np.zeros((2, 4)), r"got \(2, 4\)"),
        (BOX, [["a", "b", "c"]] * 2, "column 0 .*expected numbers"),
        (BOX, [[0, 0, 0], [0, np.nan, 0]], "column 1 .*finite.*diverged"),
        (BOX, [[np.inf, 0, 0], [0, 0, 0]], "column 0 .*finite"),
        (spaces.Discrete(3), [0, 3], "column 1 is 3: .*outside of Discrete"),
        (spaces.Discrete(3, start=5), [4, 5], "column 0 is 4"),
        (spaces.Discrete(3), [0.0, 1.0], "whole numbers"),
        (spaces.Discrete(3), [[0, 1]], r"got \(1, 2\)"),
        (spaces.MultiDiscrete([2, 4]), [[1, 3], [2, 0]], r"column 1 is \[2 0\]"),
        (spaces.MultiBinary(2), [[1, 2], [0, 0]], "column 0"),
    ],
)
def test_that_each_mistake_is_named(space, actions, message):
    with pytest.raises(ActionError, match=message):
        check_actions(actions, space, 2)


@pytest.mark.parametrize(
    ("name", "action", "message"),
    [
        ("LavaGrid-v0", 4, "LavaGrid-v0: .*outside"),
        ("LavaGrid-v0", -1, "LavaGrid-v0: .*outside"),
        ("LavaGrid-v0", 1.0, "LavaGrid-v0: .*whole numbers"),
        ("LavaGrid-v0", [1], "LavaGrid-v0: .*shape"),
        ("LavaGrid-v0", None, "LavaGrid-v0: .*whole numbers"),
        ("PointMass-v0", [np.nan, 0.0], "PointMass-v0: .*finite"),
        ("PointMass-v0", [0.0, 0.0, 0.0], "PointMass-v0: .*shape"),
    ],
)
def test_that_a_single_environment_names_itself(name, action, message):
    env = envs.make(name)
    env.reset(seed=0)
    with pytest.raises(ActionError, match=message):
        env.step(action)


def test_that_numpy_numbers_and_arrays_are_actions_too():
    ours, plain = (envs.make("LavaGrid-v0") for _ in range(2))
    ours.reset(seed=0)
    plain.reset(seed=0)
    for action in (3, np.int64(1), np.array(1), np.uint8(3)):
        found, wanted = ours.step(action), plain.step(int(action))
        np.testing.assert_array_equal(found[0], wanted[0])
        assert found[1:4] == wanted[1:4]
