import numpy as np
import pytest
from gymnasium import spaces

from reward_models.demonstration_check import check_demonstrations
from reward_models.demonstrations import Demonstration
from reward_models.errors import UserError

OBSERVATIONS = spaces.Box(-np.inf, np.inf, (3,), np.float32)
ACTIONS = spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 1.0], np.float32))


def _episode(observations=None, actions=None, steps=4):
    flags = np.zeros(steps, dtype=bool)
    return Demonstration(
        observations=np.zeros((steps + 1, 3)) if observations is None else observations,
        actions=np.tile([-2.0, 1.0], (steps, 1)) if actions is None else actions,
        rewards=np.zeros(steps),
        terminations=flags,
        truncations=flags,
    )


def _check(*episodes, observation_space=OBSERVATIONS, action_space=ACTIONS):
    check_demonstrations(episodes, observation_space=observation_space, action_space=action_space)


def test_fitting_demonstrations_pass():
    _check(_episode(), _episode(steps=1))


def test_actions_at_their_bounds_pass_up_to_the_tolerance():
    _check(_episode(actions=np.tile([-2.0 - 9e-6, 1.0 + 9e-6], (4, 1))))
    with pytest.raises(UserError, match=r"Demonstration 1 has the action 1\.00002, outside"):
        _check(_episode(), _episode(actions=np.tile([0.0, 1.0 + 2e-5], (4, 1))))


@pytest.mark.parametrize(
    ("episode", "message"),
    [
        (_episode(steps=0), "at least one transition"),
        (_episode(observations=np.zeros((5, 2))), r"observations .* shape \[2\], .* \[3\]"),
        (_episode(actions=np.zeros((4, 1))), r"actions of demonstration 0 have the shape \[1\]"),
        (_episode(observations=np.full((5, 3), np.nan)), "NaN or infinity"),
        (_episode(actions=np.full((4, 2), np.inf)), "NaN or infinity"),
        (_episode(observations={"a": np.zeros((5, 3))}), r"must be one array, got \['a'\]"),
    ],
)
def test_what_does_not_fit_is_named(episode, message):
    with pytest.raises(UserError, match=message):
        _check(episode)


def test_choices_and_dictionaries_are_checked_too():
    nested = spaces.Dict({"a": OBSERVATIONS})
    choice = spaces.Discrete(3)
    good = _episode(observations={"a": np.zeros((5, 3))}, actions=np.array([0, 1, 2, 0]))
    _check(good, observation_space=nested, action_space=choice)
    bad = _episode(observations={"a": np.zeros((5, 3))}, actions=np.array([0, 3, 2, 0]))
    with pytest.raises(UserError, match="the action 3, outside of 0 to 2"):
        _check(bad, observation_space=nested, action_space=choice)
    with pytest.raises(UserError, match=r"must be \['a'\], got one array"):
        _check(_episode(), observation_space=nested)
