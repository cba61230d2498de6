"""Components by name: what a configuration file may say, and what it can never do."""

import threading

import pytest
import yaml

pytest.importorskip("rlgym.rocket_league")

from rlgym.rocket_league.done_conditions import AnyCondition, TimeoutCondition
from rlgym.rocket_league.obs_builders import DefaultObs
from rlgym.rocket_league.reward_functions import CombinedReward, GoalReward, TouchReward

from envs.rocket_league.rlgym_components import (
    COMPONENT_NAMES,
    ComponentError,
    build_match,
    named_component,
    parts_of,
)


def test_that_text_from_a_file_builds_rlgyms_components():
    text = """
    obs_builder: {DefaultObs: {zero_padding: 2}}
    action_parser: {RepeatAction: {parser: LookupTableAction, repeats: 4}}
    reward_fn: {CombinedReward: [[GoalReward, 5], TouchReward]}
    truncation_cond: {AnyCondition: [{TimeoutCondition: 20}, {NoTouchTimeoutCondition: 5}]}
    """
    game = build_match(**yaml.safe_load(text))
    assert game.obs_builder.zero_padding == 2
    assert game.action_parser.repeats == 4
    assert isinstance(game.reward_fn, CombinedReward)
    assert game.reward_fn.weights == (5, 1.0)
    assert [type(part) for part in game.reward_fn.reward_fns] == [GoalReward, TouchReward]
    assert isinstance(game.truncation_cond, AnyCondition)
    assert [c.timeout_seconds for c in game.truncation_cond.conditions] == [20, 5]


def test_that_every_name_is_a_class_of_rlgym():
    import rlgym.rocket_league as package

    for name in COMPONENT_NAMES:
        options = {
            "RepeatAction": {"parser": "LookupTableAction"},
            "TimeoutCondition": 3,
            "NoTouchTimeoutCondition": 3,
        }.get(name)
        made = named_component(name if options is None else {name: options})
        assert type(made).__name__ == name
        assert type(made).__module__.startswith(package.__name__)


def test_that_a_misspelt_name_gets_the_nearest_one():
    with pytest.raises(ComponentError, match="Did you mean 'TouchReward'"):
        build_match(reward_fn="TouchRewards")
    with pytest.raises(TypeError, match="unexpected keyword argument 'reward'"):
        build_match(reward="TouchReward")


@pytest.mark.parametrize(
    "text", ["os:system", "my_module:reward", "subprocess.Popen", "rewards.py"]
)
def test_that_a_text_can_never_name_code(text):
    with pytest.raises(ComponentError, match="Own components are given as Python objects"):
        build_match(reward_fn=text)
    with pytest.raises(ComponentError, match="Own components are given as Python objects"):
        build_match(reward_fn={text: ["id"]})


@pytest.mark.parametrize(
    ("slot", "value", "message"),
    [
        ("reward_fn", "DefaultObs", "must be an rlgym.api.RewardFunction"),
        ("reward_fn", 3, "must be an rlgym.api.RewardFunction"),
        ("reward_fn", None, "cannot be None"),
        ("truncation_cond", "TimeoutCondition", "TimeoutCondition takes"),
        ("truncation_cond", {"TimeoutCondition": {"seconds": 3}}, "TimeoutCondition takes"),
        ("reward_fn", {"GoalReward": None, "TouchReward": None}, "a mapping with one name"),
    ],
)
def test_that_what_does_not_fit_is_refused(slot, value, message):
    with pytest.raises(ComponentError, match=message):
        build_match(**{slot: value})


def test_that_an_object_is_copied_and_one_that_cannot_be_asks_for_a_function():
    condition = TimeoutCondition(7)
    game = build_match(truncation_cond=condition)
    assert game.truncation_cond is not condition
    assert game.truncation_cond.timeout_seconds == 7

    class Locked(DefaultObs):
        def __init__(self):
            super().__init__()
            self.lock = threading.Lock()

    with pytest.raises(ComponentError, match="obs_builder=lambda"):
        build_match(obs_builder=Locked())
    assert isinstance(build_match(obs_builder=Locked).obs_builder, Locked)


def test_that_the_parts_of_a_component_are_found():
    reward = CombinedReward((GoalReward(), 2.0), TouchReward())
    assert {type(part) for part in parts_of(reward)} == {CombinedReward, GoalReward, TouchReward}
