"""Which numbers of the cells a study's rules may be about."""

import pytest
import yaml

from ctrl.study.plan import read_study
from ctrl.study.results import document, findings, table
from reward_models import UnknownNameError

DATA = {
    "study": "steepness",
    "run": "train",
    "seeds": 2,
    "settings": {"env": "CartPole-v1"},
    "methods": {"cloning": {}, "penalty": {}, "none": {}},
    "metric": "score",
}


def cells(gradient_of):
    return [
        {
            "method": method,
            "environment": "default",
            "seed": seed,
            "metrics": {
                "score": 0.1 * seed,
                **({"gradient": 1.0 + seed} if method in gradient_of else {}),
            },
            "settings": {},
            "curves": {},
        }
        for method in DATA["methods"]
        for seed in range(2)
    ]


def judged(folder, gradient_of, **rule):
    rules = [{"claim": "x", "metric": "gradient", "of": "penalty", **rule}]
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump({**DATA, "pass": rules}))
    return findings(read_study(file), cells(gradient_of), [])


def test_a_rule_may_be_about_a_number_that_only_its_methods_have(tmp_path):
    found = judged(tmp_path, ["penalty", "none"], at_most={"of": "none"})
    assert found.passed
    assert found.metrics == ["score", "gradient"]
    assert "no result" in table(found)
    summaries = document(found)["summaries"]
    having = {row["method"] for row in summaries if row["metric"] == "gradient"}
    assert having == {"penalty", "none"}


@pytest.mark.parametrize("rule", [{"at_most": {"of": "cloning"}}, {"beats": "cloning"}])
def test_a_method_of_the_rule_without_the_number_is_named(rule, tmp_path):
    with pytest.raises(UnknownNameError, match=r"'gradient'.*Valid: score"):
        judged(tmp_path, ["penalty", "none"], **rule)
