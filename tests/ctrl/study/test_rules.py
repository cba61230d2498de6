"""The rules of a pass, judged on numbers whose answer is known."""

import pytest

from ctrl.study.rules import judge, parse_rules
from reward_models import UnknownNameError, UserError

METHODS = {"none": {}, "ours": {}}
ENVIRONMENTS = {"near": {}, "far": {}}
SAMPLES = {
    ("none", "near"): [0.0, 0.2, 0.1, 0.1],
    ("ours", "near"): [0.9, 1.0, 0.8, 0.9],
    ("none", "far"): [0.1, 0.9, 0.5, 0.5],
    ("ours", "far"): [0.6, 0.4, 0.6, 0.6],
}


def verdicts(**rule):
    (parsed,) = parse_rules([{"metric": "success", "of": "ours", **rule}], METHODS, ENVIRONMENTS)
    return {verdict.environment: verdict for verdict in judge(parsed, SAMPLES)}


def passes(**rule):
    return {name: verdict.passed for name, verdict in verdicts(**rule).items()}


def test_a_number_bounds_the_statistic_on_every_environment():
    assert passes(at_least=0.6) == {"near": True, "far": False}
    assert passes(at_least=0.6, statistic="median") == {"near": True, "far": True}
    assert passes(at_most=0.9) == {"near": True, "far": True}
    assert passes(at_least=0.85, at_most=0.95) == {"near": True, "far": False}
    assert passes(at_least=0.8, statistic="min", environments="near") == {"near": True}


def test_another_method_bounds_it():
    found = verdicts(at_least={"of": "none", "times": 1.2})
    assert (found["near"].passed, found["far"].passed) == (True, False)
    assert found["far"].found == pytest.approx(0.55)
    assert "1.2 x none = 0.6" in found["far"].wanted
    assert passes(at_least={"of": "none", "plus": 0.05}) == {"near": True, "far": True}
    assert passes(at_most={"of": "none", "plus": 0.8}) == {"near": True, "far": True}


def test_seeds_are_counted_one_by_one():
    found = verdicts(seeds=3, at_least={"of": "none"})
    assert found["near"].found == 4
    assert found["far"].found == 3
    assert passes(seeds=4, at_least=0.5) == {"near": True, "far": False}


def test_a_significant_difference_is_asked_for():
    found = verdicts(beats="none", p_below=0.01)
    assert found["near"].passed
    assert found["near"].found < 1e-3
    assert not found["far"].passed
    assert "Welch t" in found["near"].wanted
    assert passes(beats="none", test="paired") == {"near": True, "far": False}


def test_a_tie_is_no_win_and_the_bound_itself_is_enough():
    tied = {key: [1.0, 1.0, 1.0] for key in SAMPLES}
    (rule,) = parse_rules([{"metric": "m", "of": "ours", "beats": "none"}], METHODS, ENVIRONMENTS)
    assert not any(verdict.passed for verdict in judge(rule, tied))
    (rule,) = parse_rules(
        [{"metric": "m", "of": "ours", "at_least": {"of": "none"}}], METHODS, ENVIRONMENTS
    )
    assert all(verdict.passed for verdict in judge(rule, tied))


def test_a_method_without_results_is_named():
    (rule,) = parse_rules([{"metric": "m", "of": "ours", "at_least": 0}], METHODS, {"near": {}})
    with pytest.raises(UserError, match="ours on near has no run"):
        judge(rule, {("none", "near"): [1.0]})


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"metric": "m", "of": "our", "at_least": 0}, "Did you mean 'ours'"),
        ({"metric": "m", "of": "ours"}, "needs at_least, at_most or beats"),
        ({"of": "ours", "at_least": 0}, "needs 'metric'"),
        ({"metric": "m", "of": "ours", "atleast": 0}, "Did you mean 'at_least'"),
        ({"metric": "m", "of": "ours", "at_least": "none"}, "A bound is a number"),
        ({"metric": "m", "of": "ours", "at_least": 0, "statistic": "men"}, "Did you mean 'mean'"),
        ({"metric": "m", "of": "ours", "at_least": 0, "beats": "none"}, "make it two rules"),
        ({"metric": "m", "of": "ours", "beats": "none", "environments": ["nar"]}, "'near'"),
        ("ours wins", "is a mapping"),
    ],
)
def test_rules_that_are_none_are_refused(rule, message):
    with pytest.raises((UserError, UnknownNameError), match=message):
        parse_rules([rule], METHODS, ENVIRONMENTS)
