"""Reading a study file: the grid it describes, and what is wrong with it."""

import pytest

from ctrl.study.plan import read_study, training
from reward_models import UnknownNameError, UserError

TRAINING = """
study: hints
about: Does a hint
  help?
seeds: [3, 5]
settings:
  env: {id: Pendulum-v1, n_envs: 2}
  algo: ppo
  steps: 256
  reward: {icm: 0.5}
environments:
  short: {env: {max_episode_steps: 20}}
  long: {}
methods:
  none: {}
  rnd: {reward: {rnd: 0.1}, algo: {gamma: 0.9}}
"""


def written(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return path


def test_the_grid_holds_every_combination_once(tmp_path):
    study = read_study(written(tmp_path, TRAINING))
    names = [cell.name for cell in study.cells()]
    assert len(names) == len(set(names)) == 2 * 2 * 2
    assert names[0] == "none/short/seed_3"
    assert study.about == "Does a hint help?"


def test_layers_are_laid_over_each_other_and_short_forms_mix(tmp_path):
    study = read_study(written(tmp_path, TRAINING))
    cells = {cell.name: training(cell) for cell in study.cells()}
    config = cells["rnd/short/seed_5"]
    assert config.seed == 5
    assert config.env.options == {"max_episode_steps": 20}
    assert config.env.n_envs == 2
    assert config.algo.options == {"gamma": 0.9}
    assert {name: term.weight for name, term in config.reward.items()} == {"icm": 0.5, "rnd": 0.1}
    assert "rnd" not in cells["none/long/seed_5"].reward


@pytest.mark.parametrize("change", ["{weight: 0.25}", "0.25"])
def test_a_term_that_a_method_changes_in_part_stays_the_reward_it_was(tmp_path, change):
    text = TRAINING.replace(
        "reward: {icm: 0.5}", "reward: {bonus: {use: icm, weight: 0.5, embedding_size: 8}}"
    ).replace("reward: {rnd: 0.1}", f"reward: {{bonus: {change}}}")
    cells = {cell.name: training(cell) for cell in read_study(written(tmp_path, text)).cells()}
    whole, changed = (cells[f"{name}/short/seed_3"].reward["bonus"] for name in ("none", "rnd"))
    assert (whole.weight, changed.weight) == (0.5, 0.25)
    assert whole.use == changed.use == "icm"
    assert changed.options == {"embedding_size": 8}


def test_a_file_beside_the_study_is_found(tmp_path):
    (tmp_path / "mine.py").write_text("def run(settings, seed):\n    return {'x': 1.0}\n")
    study = read_study(written(tmp_path, "study: s\nrun: mine.py:run\nmethods: {a: {}}\n"))
    assert study.run == f"{tmp_path / 'mine.py'}:run"
    assert study.seeds == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study: s\nmethod: {a: {}}\n", "Did you mean 'methods'"),
        ("study: s\n", "needs 'methods'"),
        ("methods: {a: {}}\n", "needs 'study'"),
        ("study: s\nmethods: {a: {}}\n", "a on default: A run needs an environment"),
        ("study: s\nmethods: {a: {env: CartPole-v1, stepss: 5}}\n", "Did you mean 'steps'"),
        ("study: s\nmethods: {../a: {env: CartPole-v1}}\n", "names a folder"),
        ("study: s\nseeds: [1, 1]\nmethods: {a: {env: CartPole-v1}}\n", "or different numbers"),
        ("study: s\nseeds: 0\nmethods: {a: {env: CartPole-v1}}\n", "got '0'"),
        ("study: s\nmethods: [a]\n", "methods must be a mapping"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    with pytest.raises((UserError, UnknownNameError), match=message.replace("'", ".")):
        read_study(written(tmp_path, text))
